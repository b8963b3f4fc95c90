"""Data sets of the synthetic band: what a song folder holds, and runs that are interrupted."""

import errno
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest
import soundfile

from shared.band import dataset as dataset_module
from shared.band.composing.style import find_style
from shared.band.dataset import MANIFEST, make_dataset
from shared.band.recording.render import SAMPLE_RATE
from shared.errors import UserError
from shared.music.song_facts import read_song_facts
from shared.shard import Shard
from shared.sources import SOURCES

ARGUMENTS: dict[str, Any] = {"songs": 3, "seed": 8, "seconds": 8.0, "splits": (0.5, 0.5, 0.0)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of an uninterrupted run. Do not write into it."""
    out = tmp_path_factory.mktemp("band")
    report = make_dataset(out, **ARGUMENTS)
    assert report.songs == ("train/band-00000", "valid/band-00001", "valid/band-00002")
    assert (report.dropped, report.kept) == ((), 0)
    return out


def content_of(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder, by their relative paths."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stop_after(
    monkeypatch: pytest.MonkeyPatch, finished: int, error: type[BaseException]
) -> list[str]:
    """Let the song after `finished` songs raise an error. Returns the names of songs begun."""
    begun: list[str] = []
    real = dataset_module.make_song

    def make_song(job: Any, *arguments: Any) -> str | None:
        begun.append(job.name)
        if len(begun) > finished:
            raise error
        return real(job, *arguments)

    monkeypatch.setattr(dataset_module, "make_song", make_song)
    return begun


def test_a_song_folder_has_stems_labels_and_midi(dataset: Path) -> None:
    song = dataset / "train" / "band-00000"
    names = {"song.json", "song.mid", "mixture.wav", *(f"{source}.wav" for source in SOURCES)}
    assert {path.name for path in song.iterdir()} == names
    stems = {
        name: soundfile.read(song / f"{name}.wav", dtype="int16")[0].astype(int)
        for name in (*SOURCES, "mixture")
    }
    assert np.array_equal(sum(stems[source] for source in SOURCES), stems["mixture"])
    facts = read_song_facts(song / "song.json")
    assert facts.duration is not None
    assert abs(len(stems["mixture"]) / SAMPLE_RATE - facts.duration) < 0.01
    assert facts.bass_notes
    assert facts.chords
    assert not list(dataset.glob(".*"))


def test_the_midi_file_has_the_songs_notes_at_their_times(dataset: Path) -> None:
    song = dataset / "train" / "band-00000"
    facts = read_song_facts(song / "song.json")
    midi = pretty_midi.PrettyMIDI(str(song / "song.mid"))
    bass = next(track for track in midi.instruments if track.name.startswith("bass"))
    expected = facts.bass_notes or ()
    played = sorted(bass.notes, key=lambda note: note.start)
    assert [note.pitch for note in played] == [note.pitch for note in expected]
    assert [note.velocity for note in played] == [note.velocity for note in expected]
    assert len({note.velocity for note in expected}) > 3
    assert bass.program == facts.bass_program
    onsets, ends = [note.onset for note in expected], [note.end for note in expected]
    assert np.allclose([note.start for note in played], onsets, atol=0.003)
    assert np.allclose([note.end for note in played], ends, atol=0.003)
    beats = [beat for beat in facts.beats if beat < midi.get_end_time() - 0.1]
    assert np.allclose(midi.get_beats()[: len(beats)], beats, atol=0.003)
    downbeats = [beat for beat in facts.downbeats if beat < midi.get_end_time() - 0.1]
    assert np.allclose(midi.get_downbeats()[: len(downbeats)], downbeats, atol=0.003)


def test_a_song_does_not_depend_on_how_many_there_are(dataset: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path, songs=1, seed=8, seconds=8.0, splits=(1.0, 0.0, 0.0))
    song = "train/band-00000"
    assert content_of(tmp_path / song) == content_of(dataset / song)


def test_songs_and_seeds_differ(dataset: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path, songs=1, seed=4, seconds=8.0, splits=(1.0, 0.0, 0.0))
    songs = [
        *(dataset / name for name in ("train/band-00000", "valid/band-00001", "valid/band-00002")),
        tmp_path / "train/band-00000",
    ]
    for name in ("mixture.wav", "song.json", "song.mid"):
        assert len({(song / name).read_bytes() for song in songs}) == len(songs)


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 1, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            make_dataset(tmp_path, **ARGUMENTS)
    finished = content_of(tmp_path)
    assert {Path(name).parts[0] for name in finished} == {"train", MANIFEST}
    begun = stop_after(monkeypatch, 3, AssertionError)
    report = make_dataset(tmp_path, **ARGUMENTS)
    assert begun == ["band-00001", "band-00002"]
    assert (len(report.songs), report.kept) == (3, 1)
    assert content_of(tmp_path) == content_of(dataset)


def test_what_a_killed_run_left_unfinished_is_removed(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in content_of(dataset).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / ".unfinished" / "band-00001-abc").mkdir(parents=True)
    begun = stop_after(monkeypatch, 0, AssertionError)
    report = make_dataset(tmp_path, **ARGUMENTS)
    assert begun == []
    assert (len(report.songs), report.kept) == (3, 3)
    assert content_of(tmp_path) == content_of(dataset)
    assert not (tmp_path / ".unfinished").exists()


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"songs": 4}, "songs"),
        ({"seed": 4}, "seed"),
        ({"seconds": 9.0}, "seconds"),
        ({"styles": ["rock"]}, "styles"),
        ({"audio_format": "flac"}, "audio_format"),
        ({"splits": (1.0, 0.0, 0.0), "seed": 5}, "seed, splits"),
    ],
)
def test_other_arguments_are_refused(dataset: Path, other: dict[str, Any], named: str) -> None:
    before = content_of(dataset)
    with pytest.raises(UserError, match=f"holds songs .* another value of {named}: give"):
        make_dataset(dataset, **{**ARGUMENTS, **other})
    assert content_of(dataset) == before


def test_songs_of_others_are_not_added_to(tmp_path: Path) -> None:
    (tmp_path / "test" / "mine").mkdir(parents=True)
    for manifest in (None, "", "[]"):
        if manifest is not None:
            (tmp_path / MANIFEST).write_text(manifest)
        with pytest.raises(UserError, match="already holds songs"):
            make_dataset(tmp_path, **ARGUMENTS)


def test_a_song_beside_the_folders_of_the_splits_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="already holds mine; choose an empty folder"):
        make_dataset(tmp_path, **ARGUMENTS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_song_does_not_depend_on_the_songs_before_it(dataset: Path, tmp_path: Path) -> None:
    """In this data set symusic would play the last song differently after the first two."""
    for name in ("train/band-00000", "valid/band-00001"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / MANIFEST).write_bytes((dataset / MANIFEST).read_bytes())
    make_dataset(tmp_path, **ARGUMENTS)
    last = "valid/band-00002"
    assert content_of(tmp_path / last) == content_of(dataset / last)


def test_any_number_of_workers_writes_the_same(dataset: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path, **ARGUMENTS, workers=2)
    assert content_of(tmp_path) == content_of(dataset)


def test_shards_together_are_the_data_set(dataset: Path, tmp_path: Path) -> None:
    songs: dict[str, bytes] = {}
    for number in (1, 2):
        out = tmp_path / str(number)
        make_dataset(out, **ARGUMENTS, shard=Shard(number, 2))
        made = {name: data for name, data in content_of(out).items() if name != "dataset.json"}
        assert not made.keys() & songs.keys()
        songs |= made
    whole = content_of(dataset)
    del whole["dataset.json"]
    assert songs == whole
    with pytest.raises(UserError, match="with another value of shard"):
        make_dataset(tmp_path / "1", **ARGUMENTS, shard=Shard(2, 2))


def test_styles_are_taken_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    styles: list[str | None] = []

    def make_song(job: Any, *_: Any) -> None:
        styles.append(job.style)

    monkeypatch.setattr(dataset_module, "make_song", make_song)
    make_dataset(tmp_path, songs=3, seed=0, styles=["rock", "funk"])
    assert styles == ["rock", "funk", "rock"]


def test_a_misspelt_style_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no style 'Rokc': did you mean 'rock'\? Choose one of"):
        make_dataset(tmp_path / "out", songs=2, seed=0, styles=["funk", "Rokc"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="no style 'xyzzy': choose one of ballad, "):
        find_style("xyzzy")


def test_bad_soundfonts_and_arguments_are_refused_in_a_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad.sf2"
    bad.write_bytes(b"RIFF\0\0\0\0sfbkxxxx")
    text = tmp_path / "text.sf2"
    text.write_text("hello")
    for path, words in ((bad, "damaged"), (text, "not a soundfont"), (tmp_path / "no.sf2", "read")):
        with pytest.raises(UserError, match=words):
            make_dataset(tmp_path / "out", songs=1, seed=0, soundfonts=[path])
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"songs": 0}, "no song to make"),
        ({"songs": -1}, "songs is -1: give a number from 0 to 1000000"),
        ({"workers": 0}, "workers is 0: give a number from 1 to 1000"),
        ({"seconds": 7.9}, "seconds is 7.9: give a number from 8 to 1800"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"audio_format": "mp3"}, "wav or flac"),
        ({"splits": (0.5, 0.6, 0.1)}, "add up to 1"),
    ]
    for change, words in wrong:
        with pytest.raises(UserError, match=words):
            make_dataset(tmp_path / "out", **{"songs": 1, "seed": 0, **change})
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is not a folder"):
        make_dataset(tmp_path / "file", songs=1, seed=0)


def test_a_song_that_cannot_be_written_is_dropped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr(soundfile, "write", fail)
    report = make_dataset(tmp_path, songs=1, seed=0, seconds=8.0, splits=(1.0, 0.0, 0.0))
    assert report.songs == ()
    reason = report.dropped[0].reason
    assert reason == f"cannot write {tmp_path}/train/band-00000 (Format not recognised)"
    assert not list(tmp_path.glob("*/*"))


@pytest.mark.parametrize(
    ("module", "name", "calls"), [(soundfile, "write", 7), (tempfile, "mkdtemp", 1)]
)
def test_a_full_disk_stops_the_run_and_keeps_the_songs_before(
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    calls: int,
) -> None:
    real, done = getattr(module, name), []

    def fail(*arguments: Any, **settings: Any) -> Any:
        done.extend([name] * ("band-0000" in f"{arguments} {settings}"))  # not the soundfonts
        if len(done) > calls:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **settings)

    monkeypatch.setattr(module, name, fail)
    with pytest.raises(UserError, match=rf"^no space left in {tmp_path}: free some space"):
        make_dataset(tmp_path, **ARGUMENTS)
    written = content_of(tmp_path)
    first = {file: content for file, content in content_of(dataset).items() if "00000" in file}
    assert written.keys() == {*first, MANIFEST}
    assert {file: written[file] for file in first} == first


def test_flac_files_hold_the_same_samples(dataset: Path, tmp_path: Path) -> None:
    make_dataset(
        tmp_path, songs=1, seed=8, seconds=8.0, splits=(1.0, 0.0, 0.0), audio_format="flac"
    )
    for name in (*SOURCES, "mixture"):
        wav, flac = (
            soundfile.read(folder / "train/band-00000" / f"{name}{suffix}", dtype="int16")[0]
            for folder, suffix in ((dataset, ".wav"), (tmp_path, ".flac"))
        )
        assert np.array_equal(wav, flac)
