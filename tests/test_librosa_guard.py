"""Where numba keeps what it compiles for librosa."""

import os
import stat
from pathlib import Path

import pytest

from shared.sound import librosa_guard
from shared.sound.librosa_guard import find_numba_cache


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for temporary files; nothing else can be written."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(librosa_guard, "_writable", lambda folder: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_numba_is_told_nothing_where_it_finds_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(librosa_guard, "_writable", lambda folder: folder.name == "librosa")
    assert find_numba_cache() is None


def test_a_place_that_the_user_names_stays(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    assert find_numba_cache() is None


def test_a_folder_of_the_user_alone_is_used_again(nowhere: Path) -> None:
    folder = find_numba_cache()
    assert folder is not None
    assert folder.parent == nowhere
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert find_numba_cache() == folder


def test_a_folder_that_others_can_write_is_not_used(nowhere: Path) -> None:
    folder = find_numba_cache()
    assert folder is not None
    folder.chmod(0o777)
    other = find_numba_cache()
    assert other is not None
    assert other != folder
    assert stat.S_IMODE(other.stat().st_mode) == 0o700


def test_a_link_to_a_folder_is_not_used(nowhere: Path, tmp_path: Path) -> None:
    folder = find_numba_cache()
    assert folder is not None
    folder.rmdir()
    (tmp_path / "theirs").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "theirs")
    assert find_numba_cache() != folder


def test_without_a_home_the_temporary_folder_is_used(
    monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert find_numba_cache() is not None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="only POSIX has users by number")
def test_what_is_there_decides_whether_a_folder_can_be_written(tmp_path: Path) -> None:
    assert librosa_guard._writable(tmp_path / "not" / "yet")
