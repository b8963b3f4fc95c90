"""How the files of a song are called, and what they may replace."""

from pathlib import Path

import pytest

from shared.errors import UserError
from stage2_prior.delivery import Delivery, default_name


def test_the_files_are_called_after_the_song_or_as_the_user_says(tmp_path: Path) -> None:
    song = tmp_path / "A - B.wav"
    names = {kind: path.name for kind, path in Delivery().paths(song, tmp_path).items()}
    assert names == {
        "bass": "A - B.bass.wav",
        "backing": "A - B.backing.wav",
        "mix": "A - B.mix.wav",
        "midi": "A - B.mid",
        "codes": "A - B.codes.safetensors",
        "picture": "A - B.png",
        "json": "A - B.json",
    }
    assert list(names)[-1] == "json"
    named = Delivery("flac", name="take 2").paths(song, tmp_path / "out")
    assert named["mix"] == tmp_path / "out" / "take 2.mix.flac"


def test_a_song_in_two_formats_does_not_collide(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "b.wav", "b.mid", "b.png", "C.stem.mp4", "c.wav"):
        (tmp_path / name).touch()
    assert default_name(tmp_path / "a.wav") == "a.wav"
    assert default_name(tmp_path / "a.flac") == "a.flac"
    assert default_name(tmp_path / "b.wav") == "b"
    assert default_name(tmp_path / "C.stem.mp4") == "C.stem.mp4"
    assert default_name(tmp_path / "missing" / "d.wav") == "d"


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "/a", "../a", "a\0b"])
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of files"):
        Delivery(name=name)


def test_a_form_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="FLAC cannot hold"):
        Delivery("flac", "32f")


def test_files_that_exist_or_are_read_are_refused(tmp_path: Path) -> None:
    song, line = tmp_path / "mix.wav", tmp_path / "mix.mid"
    song.touch()
    assert Delivery().checked_paths(song, tmp_path, [])["midi"] == line
    line.touch()
    with pytest.raises(UserError, match="exists already"):
        Delivery().checked_paths(song, tmp_path, [])
    assert Delivery(force=True).checked_paths(song, tmp_path, [])["midi"] == line
    with pytest.raises(UserError, match="is read by this command"):
        Delivery(force=True).checked_paths(song, tmp_path, [line])
