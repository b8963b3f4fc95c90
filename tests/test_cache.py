"""Songs are decoded once, to the bit, by one process; a damaged or outdated cache is rebuilt."""

import json
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

import shared.songs.cache
import shared.songs.decode
from shared.errors import UserError, UserErrors
from shared.songs.cache import CachedSong, build_cache, decode_songs
from shared.songs.decode import DecodedSong, decode_song
from shared.songs.tracks import Track
from shared.sound.files import Audio, read_audio, read_stem, stated_seconds
from shared.sound.samples import to_int16
from shared.sources import SOURCES
from tests.conftest import WriteSong

RATE = 44100


@pytest.fixture
def one_song(tmp_path: Path, write_song: WriteSong) -> Path:
    write_song(tmp_path / "data" / "train" / "song")
    return tmp_path / "data"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that is decoded, in order."""
    seen: list[Path] = []

    def spy(path: Path) -> object:
        seen.append(path)
        return read_audio(path)

    monkeypatch.setattr(shared.songs.decode, "read_audio", spy)
    return seen


def only(data: Path, **options: object) -> CachedSong:
    (song,) = build_cache(data, **options).songs  # type: ignore[arg-type]
    return song


def test_cache_holds_the_stems_to_the_bit(one_song: Path) -> None:
    song = only(one_song)
    assert (song.name, song.split, song.sample_rate) == ("song", "train", RATE)
    assert song.stems.dtype == np.int16
    assert song.stems.shape == (4, 22050, 2)
    for index, source in enumerate(SOURCES):
        original, _ = soundfile.read(one_song / "train" / "song" / f"{source}.wav", dtype="int16")
        assert np.array_equal(song.stems[index], original)


def test_the_middle_of_a_song(one_song: Path) -> None:
    song = only(one_song)
    assert np.array_equal(song.middle(0.25), song.read_all((22050 - 11025) // 2, 11025))
    for seconds in (100.0, None):
        assert np.array_equal(song.middle(seconds), song.read_all())
    for seconds in (0.0, 1e-9, -1.0, float("nan")):
        with pytest.raises(UserError, match=rf"{seconds} seconds.*ask for more"):
            song.middle(seconds)


def test_exact_files_left_behind(one_song: Path) -> None:
    build_cache(one_song)
    folder = one_song / ".cache"
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == [
        "stems_44100/.lock",
        "stems_44100/train/song.i16",
        "stems_44100/train/song.json",
    ]


def test_reading_segments(one_song: Path) -> None:
    song = only(one_song)
    whole = song.read_all()
    assert whole.dtype == np.float32
    assert whole.shape == (4, 2, 22050)
    assert np.array_equal(whole * 32768, song.stems.swapaxes(1, 2))
    segment = song.read(1, 100, 500)
    assert segment.flags.c_contiguous
    assert np.array_equal(segment, whole[1, :, 100:600])
    assert np.array_equal(song.read_all(100, 500), whole[:, :, 100:600])
    past = song.read(2, 22000, 100)
    assert np.array_equal(past[:, :50], whole[2, :, 22000:])
    assert not past[:, 50:].any()
    assert not song.read(0, 30000, 10).any()
    with pytest.raises(ValueError, match="negative"):
        song.read(0, -1, 10)


def test_splits(stem_folder: Path, tmp_path: Path) -> None:
    cache = build_cache(stem_folder, tmp_path / "cache")
    assert [song.name for song in cache.split("train")] == ["one", "two"]
    assert [song.name for song in cache.split("valid")] == ["three"]
    assert [song.name for song in cache.split("test")] == ["four"]


def test_a_cache_elsewhere_leaves_the_data_folder_alone(one_song: Path, tmp_path: Path) -> None:
    song = only(one_song, cache=tmp_path / "cache")
    assert song.path == tmp_path / "cache" / "stems_44100" / "train" / "song.i16"
    assert not (one_song / ".cache").exists()


def test_second_build_decodes_nothing(one_song: Path, builds: list[Path]) -> None:
    build_cache(one_song)
    assert len(builds) == 4
    build_cache(one_song)
    assert len(builds) == 4


def test_a_changed_stem_rebuilds_its_song_only(
    one_song: Path, write_song: WriteSong, builds: list[Path]
) -> None:
    write_song(one_song / "train" / "second")
    build_cache(one_song)
    bass = one_song / "train" / "second" / "bass.wav"
    soundfile.write(bass, np.full((22050, 2), 0.25), RATE)
    os.utime(bass, ns=(0, 0))  # as from a backup: older, not newer
    builds.clear()
    songs = {song.name: song for song in build_cache(one_song).songs}
    assert {path.parent.name for path in builds} == {"second"}
    assert (songs["second"].stems[1] == 8192).all()


def test_another_format_version_rebuilds(
    one_song: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_cache(one_song)
    monkeypatch.setattr(shared.songs.cache, "FORMAT", 999)
    build_cache(one_song)
    assert len(builds) == 8


@pytest.mark.parametrize("damage", ["short array", "no array", "no json", "half a json"])
def test_a_damaged_cache_is_rebuilt(one_song: Path, builds: list[Path], damage: str) -> None:
    song = only(one_song)
    before = np.array(song.stems)
    meta = song.path.with_suffix(".json")
    match damage:
        case "short array":
            os.truncate(song.path, 1000)
        case "no array":
            song.path.unlink()
        case "no json":
            meta.unlink()
        case "half a json":
            meta.write_text(meta.read_text()[:50])
    again = only(one_song)
    assert len(builds) == 8
    assert np.array_equal(again.stems, before)


def test_an_interrupted_build_leaves_nothing_that_reads_as_whole(
    one_song: Path, write_song: WriteSong, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = np.array(only(one_song).stems)
    write_song(one_song / "train" / "song", seconds=0.25)

    def interrupt(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", interrupt)  # after the array, before the JSON
        with pytest.raises(KeyboardInterrupt):
            build_cache(one_song)
    left = [p.name for p in (one_song / ".cache").rglob("*") if p.is_file()]
    assert sorted(left) == [".lock", "song.i16"]
    song = only(one_song)
    assert song.num_samples == 11025
    assert song.stems.shape != old.shape


def test_mono_odd_rate_hot_and_silent_stems(tmp_path: Path, write_song: WriteSong) -> None:
    mono = np.full(24000, 0.5, np.float32)
    folder = write_song(
        tmp_path / "song", rate=48000, vocals=np.zeros((24000, 2)), drums=mono, other=None
    )
    soundfile.write(folder / "other.wav", np.full((24000, 2), 3.0), 48000, subtype="FLOAT")
    song = only(tmp_path)
    assert song.num_samples == 22050
    assert song.silent == (True, False, False, False)
    vocals, _, drums, other = song.read_all(1000, 20000)
    assert not vocals.any()
    np.testing.assert_allclose(drums, 0.5, atol=1e-3)
    assert (other == 32767 / 32768).all()


def test_sample_rates_have_caches_of_their_own(one_song: Path, builds: list[Path]) -> None:
    build_cache(one_song)
    assert only(one_song, sample_rate=22050).num_samples == 11025
    build_cache(one_song)
    assert len(builds) == 8


def test_song_json_is_passed_on(one_song: Path) -> None:
    path = one_song / "train" / "song" / "song.json"
    path.write_text("{}")
    assert only(one_song).song_json == path


def test_stem_mp4(tmp_path: Path, stem_mp4: Path) -> None:
    shutil.copy(stem_mp4, tmp_path)
    song = only(tmp_path)
    assert song.name == "The Easton Ellises - Falcon 69"
    assert song.stems.shape == (4, 268288, 2)
    for index, source in enumerate(SOURCES):
        expected = to_int16(read_stem(stem_mp4, source).samples)
        assert np.array_equal(song.stems[index].T, expected)


def test_unequal_lengths_are_named(tmp_path: Path, write_song: WriteSong) -> None:
    write_song(tmp_path / "song", seconds=1.5, drums=np.zeros((100, 2)))
    with pytest.raises(
        UserError, match="differ in length: vocals 66150 samples, drums 100"
    ) as caught:
        build_cache(tmp_path)
    assert str(tmp_path / "song") in str(caught.value)


def test_stems_that_end_a_little_early_are_padded(
    tmp_path: Path, write_song: WriteSong, capsys: pytest.CaptureFixture[str]
) -> None:
    drums = np.full((10_000, 2), 0.5)
    folder = write_song(tmp_path / "song", drums=drums)
    song = only(tmp_path)
    assert song.num_samples == 22050
    read = song.read_all()
    assert (read[SOURCES.index("drums"), :, :10_000] != 0).all()
    assert not read[SOURCES.index("drums"), :, 10_000:].any()
    assert f"warning: the shortest stem of {folder} is padded by 0.273 s" in (
        capsys.readouterr().err
    )


def test_unequal_rates_are_named(tmp_path: Path, write_song: WriteSong) -> None:
    folder = write_song(tmp_path / "song")
    soundfile.write(folder / "bass.wav", np.zeros((22050, 2)), 48000)
    with pytest.raises(UserError, match="sample rate: vocals 44100 Hz, bass 48000 Hz"):
        build_cache(tmp_path)


def test_a_bad_stem_is_named_and_other_songs_are_kept(
    one_song: Path, write_song: WriteSong, builds: list[Path]
) -> None:
    build_cache(one_song)
    bad = write_song(one_song / "train" / "bad") / "bass.wav"
    bad.write_bytes(b"")
    with pytest.raises(UserError, match=r"bad/bass\.wav is empty"):
        build_cache(one_song)
    assert not any(path.parent.name == "song" for path in builds[4:])


def test_all_bad_songs_are_named_at_once_and_the_others_are_decoded(
    one_song: Path, write_song: WriteSong, builds: list[Path]
) -> None:
    for name in ("bad", "worse"):
        (write_song(one_song / "train" / name) / "bass.wav").write_bytes(b"")
    with pytest.raises(UserErrors) as caught:
        build_cache(one_song)
    *reasons, conclusion = caught.value.sentences
    assert sorted(reason.split(" is empty")[0] for reason in reasons) == [
        str(one_song / "train" / name / "bass.wav") for name in ("bad", "worse")
    ]
    assert conclusion.startswith(f"2 songs of {one_song} cannot be used")
    assert [song.name for song in decode_songs(one_song).songs] == ["song"]
    assert sum(path.parent.name == "song" for path in builds) == 4


def test_a_song_that_changes_while_it_is_decoded_is_named(
    one_song: Path, write_song: WriteSong, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache would otherwise lack it without a word."""

    def decode(track: Track, rate: int) -> DecodedSong:
        decoded = decode_song(track, rate)
        write_song(track.path, seconds=0.25)
        return decoded

    monkeypatch.setattr(shared.songs.cache, "decode_song", decode)
    with pytest.raises(UserError, match="song changed while it was decoded"):
        build_cache(one_song)


def test_an_unwritable_data_folder_uses_the_users_cache(
    one_song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: list[Path]
) -> None:
    (one_song / ".cache").touch()  # a file in the way: nobody can make the folder
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for _ in range(2):
        assert only(one_song).path.is_relative_to(tmp_path / "home" / "bassprior")
    assert len(builds) == 4


def test_an_unwritable_cache_is_named(one_song: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is not a folder"):
        build_cache(one_song, tmp_path / "file" / "cache")


def build_slowly(data: Path, ready: Any, log: Path) -> None:
    """Build a cache at the same moment as the other process; note every stem that is decoded."""

    def slow(path: Path | str) -> Audio:
        with log.open("a") as file:
            file.write(f"{Path(path).parent.name}/{Path(path).stem}\n")
        time.sleep(0.1)  # long enough for the other process to begin
        return read_audio(path)

    shared.songs.decode.read_audio = slow
    ready.wait()
    (song,) = build_cache(data).songs
    assert song.num_samples == 22050


def test_of_two_processes_one_decodes_and_the_other_waits(one_song: Path, tmp_path: Path) -> None:
    processes = multiprocessing.get_context("spawn")
    ready = processes.Barrier(2)
    log = tmp_path / "log"
    workers = [
        processes.Process(target=build_slowly, args=(one_song, ready, log)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sorted(log.read_text().splitlines()) == sorted(f"song/{source}" for source in SOURCES)


def test_a_complete_cache_needs_no_lock(
    one_song: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be read-only."""
    build_cache(one_song)
    monkeypatch.setattr(shared.songs.cache, "file_lock", None)
    assert only(one_song).num_samples == 22050
    assert len(builds) == 4


def test_songs_that_will_not_fit_on_the_disk_are_warned_of_before_they_are_decoded(
    one_song: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only songs that are not decoded yet count."""
    disk = SimpleNamespace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: disk)
    build_cache(one_song)
    assert "will be full before the end" in " ".join(capsys.readouterr().err.split())
    build_cache(one_song)
    assert "full" not in capsys.readouterr().err
    (decoded,) = (one_song / ".cache").rglob("*.i16")
    disk.free = decoded.stat().st_size
    build_cache(one_song, one_song.parent / "elsewhere")
    assert "full" not in capsys.readouterr().err


def test_the_length_of_a_stem_file_is_read_from_its_header(stem_mp4: Path, tmp_path: Path) -> None:
    audio = read_audio(stem_mp4)
    seconds = audio.samples.shape[1] / audio.sample_rate
    assert stated_seconds(stem_mp4) == pytest.approx(seconds, abs=0.1)
    (tmp_path / "text.wav").write_text("no sound")
    assert stated_seconds(tmp_path / "text.wav") == 0
