"""Data sets of other layouts, and what `check-data` finds in a folder of songs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from typer.testing import CliRunner

import cli
from shared.errors import UserError
from shared.songs.cache import CachedSong, build_cache
from shared.songs.check import check_data
from shared.songs.layouts import parse_names, read_names, write_names
from shared.songs.tracks import find_tracks
from shared.sources import BASS, SOURCES
from tests.conftest import WriteSong

RATE = 44100


def constant(path: Path, level: float, samples: int = 22050, rate: int = RATE) -> Path:
    """Write a mono file that has the same value everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(samples, level), rate)
    return path


def levels(song: CachedSong) -> dict[str, float]:
    """The value at the beginning of each source."""
    return dict(
        zip(SOURCES, song.read_all()[:, 0, 100].astype(np.float64).round(3).tolist(), strict=True)
    )


def moisesdb_song(folder: Path) -> Path:
    tracks = {
        "vocals": {"v1": 0.125, "v2": 0.25},
        "bass": {"b1": 0.0625},
        "guitar": {"g1": 0.125},
        "percussion": {"p1": 0.25},
    }
    stems = []
    for stem, files in tracks.items():
        for name, level in files.items():
            constant(folder / stem / f"{name}.wav", level)
        of_stem = [{"id": name, "trackType": "any", "extension": "wav"} for name in files]
        stems.append({"stemName": stem, "tracks": of_stem})
    constant(folder / "vocals" / "v2.wav", 0.25, samples=1000)  # it ends early
    (folder / "data.json").write_text(json.dumps({"song": "S", "artist": "A", "stems": stems}))
    return folder


def slakh_song(folder: Path) -> Path:
    stems = {
        "S00": {"inst_class": "Drums", "is_drum": True},
        "S01": {"inst_class": "Bass", "is_drum": False},
        "S02": {"inst_class": "Piano", "is_drum": False},
        "S03": {"inst_class": "Guitar", "is_drum": False},
        "S04": {"inst_class": "Organ", "is_drum": False},  # it was not rendered
    }
    for index, name in enumerate(list(stems)[:4]):
        constant(folder / "stems" / f"{name}.flac", 0.0625 * (index + 1))
    constant(folder / "mix.flac", 0.5)
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"UUID": "u", "stems": stems}))
    return folder


def test_a_song_of_moisesdb(tmp_path: Path) -> None:
    moisesdb_song(tmp_path / "1234-5678")
    (song,) = build_cache(tmp_path).songs
    assert song.name == "1234-5678"
    assert levels(song) == {"vocals": 0.375, "bass": 0.062, "drums": 0.0, "other": 0.375}
    assert song.num_samples == 22050
    assert song.read_all()[0, 0, 2000] == 0.125  # the second voice has ended


def test_a_track_that_is_gone_is_named(tmp_path: Path) -> None:
    song = moisesdb_song(tmp_path / "1234-5678")
    (song / "bass" / "b1.wav").unlink()
    with pytest.raises(UserError, match=r"b1\.wav"):
        build_cache(tmp_path)
    (found,) = check_data(tmp_path).songs
    assert "b1.wav" in found.wrong[0]


def test_songs_of_slakh(tmp_path: Path) -> None:
    slakh_song(tmp_path / "train" / "Track00001")
    slakh_song(tmp_path / "validation" / "Track00002")
    slakh_song(tmp_path / "omitted" / "Track00003")
    songs = build_cache(tmp_path).songs
    assert [(song.name, song.split) for song in songs] == [
        ("Track00001", "train"),
        ("Track00002", "valid"),
    ]
    assert levels(songs[0]) == {"vocals": 0.0, "bass": 0.125, "drums": 0.062, "other": 0.438}


def test_a_damaged_description_is_named_and_another_one_is_no_song(tmp_path: Path) -> None:
    song = moisesdb_song(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "data.json").write_text("{}")
    assert [track.name for track in find_tracks(tmp_path)] == ["a"]
    (song / "data.json").write_text("{")
    with pytest.raises(UserError, match=r"a/data\.json is not one of MoisesDB"):
        find_tracks(tmp_path)
    (song / "data.json").unlink()
    slakh = slakh_song(tmp_path / "c")
    (slakh / "metadata.yaml").write_text("stems: 3")
    with pytest.raises(UserError, match=r"c/metadata\.yaml is not one of Slakh2100"):
        find_tracks(tmp_path)


def test_other_names_are_noted_in_the_folder(tmp_path: Path, write_song: WriteSong) -> None:
    song = write_song(tmp_path / "song", bass=None, other=None)
    constant(song / "BASS_DI.wav", 0.125)
    constant(song / "Gtr.wav", 0.25)
    constant(song / "keys.flac", 0.0625)
    with pytest.raises(UserError, match="has no bass and no other stem"):
        build_cache(tmp_path)
    given = ["bass=bass_di.wav", "other=gtr.wav", "other=KEYS", "other=choir.wav"]
    write_names(tmp_path, parse_names(given))
    (cached,) = build_cache(tmp_path).songs
    assert levels(cached)["bass"] == 0.125
    assert levels(cached)["other"] == 0.312  # there is no choir in this song
    constant(song / "bass.wav", 0.5)
    write_names(tmp_path, parse_names(given[1:]))  # other files are read: the song is decoded again
    (cached,) = build_cache(tmp_path).songs
    assert levels(cached)["bass"] == 0.5


@pytest.mark.parametrize("text", ["bass", "bass=", "tuba=a.wav", "=a.wav"])
def test_a_mapping_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError, match="is not SOURCE=FILE with a source of vocals, bass"):
        parse_names([text])


@pytest.mark.parametrize(
    ("text", "message"),
    [("bass = 3", "cannot be read"), ("bass = ", "cannot be read"), ("tuba = 'a'", "names tuba")],
)
def test_a_note_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "stems.toml").write_text(text)
    with pytest.raises(UserError, match=rf"stems\.toml {message}"):
        read_names(tmp_path)


@pytest.fixture
def good(tmp_path: Path, write_song: WriteSong) -> Path:
    """A folder with nothing wrong in it."""
    for name in ("train/one", "valid/two", "test/three"):
        write_song(tmp_path / "data" / name)
    return tmp_path / "data"


def test_a_sound_folder(good: Path) -> None:
    found = check_data(good)
    assert found.is_sound
    assert [(song.name, song.split, song.seconds) for song in found.songs] == [
        ("one", "train", 0.5),
        ("two", "valid", 0.5),
        ("three", "test", 0.5),
    ]
    assert found.cache_bytes == sum(song.stems.nbytes for song in build_cache(good).songs)
    text = found.as_markdown()
    assert "| train | 1 | 0.00 |" in text
    assert "Nothing is wrong." in text
    result = CliRunner().invoke(cli.app, ["check-data", str(good)])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:5] == text.splitlines()[:5]


def without_a_stem(song: Path) -> None:
    (song / "drums.wav").unlink()


def without_sound(song: Path) -> None:
    for source in SOURCES:
        constant(song / f"{source}.wav", 0.0)


def damaged(song: Path) -> None:
    (song / "other.wav").write_bytes(b"nothing")


def unequal(song: Path) -> None:
    constant(song / "bass.wav", 0.1, samples=2 * RATE)


def of_another_mixture(song: Path) -> None:
    constant(song / "mixture.wav", 0.9)


def twice(song: Path) -> None:
    shutil.copytree(song, song.parents[1] / "test" / "copy")


@pytest.mark.parametrize(
    ("spoil", "name", "message"),
    [
        (without_a_stem, "one", "it has no drums stem"),
        (without_sound, "one", "all its stems are silent"),
        (damaged, "one", "other.wav"),
        (unequal, "one", "differ in length: bass 88200 samples"),
        (of_another_mixture, "one", "do not sum to mixture.wav: what is missing has "),
        (twice, "copy", "it is the same as 'one' of the split 'train'"),
    ],
)
def test_what_is_wrong_with_a_song(
    good: Path, spoil: Callable[[Path], None], name: str, message: str
) -> None:
    spoil(good / "train" / "one")
    found = check_data(good)
    assert not found.is_sound
    wrong = {song.name: song.wrong for song in found.songs if song.wrong}
    assert list(wrong) == [name]
    assert message in wrong[name][0]
    result = CliRunner().invoke(cli.app, ["check-data", str(good)])
    assert result.exit_code == 1
    assert f"| {name} | wrong | " in result.stdout


def test_what_is_only_noted(good: Path, write_song: WriteSong) -> None:
    loud = np.full((22050, 2), 0.5)
    loud[:100] = 1.0
    silent, short = np.zeros((22050, 2)), np.full((20000, 2), 0.5)
    write_song(good / "train" / "one", bass=silent, drums=loud, vocals=short)
    found = check_data(good)
    assert found.is_sound
    (notes,) = [song.notes for song in found.songs if song.notes]
    assert notes == (
        "its bass is silent",
        "its shortest stem is padded by 0.046 s",
        "drums clips in 0.45% of its samples",
    )


def test_stems_that_sum_to_their_mixture(good: Path) -> None:
    song = good / "train" / "one"
    stems = [soundfile.read(song / f"{source}.wav")[0] for source in SOURCES]
    soundfile.write(song / "mixture.wav", sum(stems), RATE)
    assert check_data(good).is_sound
    soundfile.write(song / "mixture.wav", sum(stems) - 0.9 * stems[BASS], RATE)
    assert not check_data(good).is_sound


def test_a_split_without_songs(good: Path) -> None:
    shutil.rmtree(good / "valid")
    (good / "valid").mkdir()
    found = check_data(good)
    assert found.wrong == ("no song is in the split 'valid'",)
    assert "wrong: no song is in the split 'valid'" in found.as_markdown()


def test_the_command_notes_a_mapping(good: Path) -> None:
    for song in good.glob("*/*"):
        (song / "bass.wav").rename(song / "DI.wav")
    assert CliRunner().invoke(cli.app, ["check-data", str(good)]).exit_code == 1
    result = CliRunner().invoke(cli.app, ["check-data", str(good), "--map", "bass=DI.wav"])
    assert result.exit_code == 0
    assert CliRunner().invoke(cli.app, ["check-data", str(good)]).exit_code == 0
    result = CliRunner().invoke(cli.app, ["check-data", str(good / "no"), "--map", "bass=DI.wav"])
    assert (result.exit_code, "there is no folder" in result.stderr) == (2, True)


def test_songs_one_folder_too_deep_are_named(
    tmp_path: Path, write_song: WriteSong, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    for name in ("one", "two", "three", "artist/four", ".hidden/five"):
        write_song(data / name)
    found = check_data(data)
    assert sorted(song.name for song in found.songs) == ["one", "three", "two"]
    assert found.wrong == (f"{data / 'artist/four'} lies one folder too deep: move it up",)
    build_cache(data, tmp_path / "cache")
    warning = f"1 songs lie one folder too deep and are left out, such as {data / 'artist/four'}:"
    assert warning in " ".join(capsys.readouterr().err.split())
