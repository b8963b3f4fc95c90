"""Files that exist are not replaced unless that is asked for, and inputs never are."""

from pathlib import Path

import pytest

from shared.errors import UserError
from shared.outputs import require_free


def test_what_does_not_exist_may_be_written(tmp_path: Path) -> None:
    require_free([tmp_path / "new", tmp_path / "folder" / "new"], [tmp_path / "missing"])


def test_what_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    existing = tmp_path / "mix.wav"
    existing.touch()
    with pytest.raises(UserError, match=r"mix\.wav exists already: .*--force"):
        require_free([tmp_path / "new", existing])
    require_free([existing], force=True)


def test_a_link_to_nothing_exists_too(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match="exists already"):
        require_free([tmp_path / "link"])


@pytest.mark.parametrize("way", ["same", "relative", "symbolic link", "hard link"])
@pytest.mark.parametrize("force", [False, True])
def test_an_input_is_never_replaced(
    way: str, force: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = output = tmp_path / "mix.wav"
    song.touch()
    if way == "relative":
        monkeypatch.chdir(tmp_path)
        output = Path("mix.wav")
    elif way == "symbolic link":
        output = tmp_path / "link.wav"
        output.symlink_to(song)
    elif way == "hard link":
        output = tmp_path / "link.wav"
        output.hardlink_to(song)
    with pytest.raises(UserError, match="is read by this command"):
        require_free([output], [tmp_path / "other", song], force)


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mix.wav").touch()
    for folder in (tmp_path / "mix.wav", tmp_path / "mix.wav" / "stems"):
        with pytest.raises(UserError, match=r"/mix\.wav is not a folder, but the results need one"):
            require_free([folder / "new.wav"], force=True)
