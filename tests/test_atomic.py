"""Files appear whole or not at all, alone and together."""

from pathlib import Path

import pytest

from shared.atomic import atomic_path, files_together
from shared.errors import UserError


def write_and_fail(path: Path) -> None:
    path.write_text("half")
    raise ZeroDivisionError


def test_a_file_appears_when_the_body_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert (temporary.parent, temporary.suffix) == (path.parent, ".txt")
    assert path.read_text() == "whole"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        with atomic_path(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_a_failing_body_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        write_and_fail(temporary)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["file/a.txt", "folder", f"{'x' * 300}.txt"])
def test_places_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot write"), atomic_path(tmp_path / name):
        pytest.fail("the body must not run")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_files_appear_together(tmp_path: Path) -> None:
    paths = {"a": tmp_path / "a.txt", "b": tmp_path / "new" / "b.txt"}
    with files_together(paths) as temporary:
        for name, path in temporary.items():
            path.write_text(name)
        assert not any(path.exists() for path in paths.values())
    assert {name: path.read_text() for name, path in paths.items()} == {"a": "a", "b": "b"}


def test_files_fail_together(tmp_path: Path) -> None:
    paths = {"a": tmp_path / "a.txt", "b": tmp_path / "b.txt"}
    with pytest.raises(ZeroDivisionError), files_together(paths) as temporary:
        write_and_fail(temporary["a"])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    paths = {"a": tmp_path / "a", "b": tmp_path / "b"}
    with pytest.raises(UserError, match="b, which is a folder"), files_together(paths):
        pytest.fail("the body must not run")
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
