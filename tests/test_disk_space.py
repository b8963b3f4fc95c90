"""What will not fit on the disk is said before the work begins."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from shared.band.dataset import make_dataset
from shared.disk_space import require_space, warn_of_space
from shared.errors import UserError
from shared.sound.encoding import Bits, Container, Encoding


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The state of all disks, whose `free` bytes a test sets."""
    disk = SimpleNamespace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: disk)
    return disk


def test_what_fits_exactly_is_written(free: SimpleNamespace, tmp_path: Path) -> None:
    free.free = 2_500_000_000
    require_space(tmp_path / "new" / "folder", 2_500_000_000)
    with pytest.raises(UserError, match=r"/new: the files need 3\.0 GB, and 2\.5 GB are free"):
        require_space(tmp_path / "new", 3_000_000_000)


def test_an_estimate_is_a_warning(
    free: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free.free = 100
    warn_of_space(tmp_path, 100)
    assert capsys.readouterr().err == ""
    warn_of_space(tmp_path, 101)
    assert "will be full before the end" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("container", "bits", "size"),
    [("wav", "16", 400), ("wav", "24", 600), ("wav", "32f", 800), ("flac", "24", 0)],
)
def test_a_file_has_the_bytes_that_were_said(
    container: Container, bits: Bits, size: int, tmp_path: Path
) -> None:
    encoding = Encoding(container, bits)
    assert encoding.least_bytes((2, 100)) == size
    encoding.write(tmp_path / "a", np.zeros((2, 100), np.float32), 44100)
    assert size <= (tmp_path / "a").stat().st_size < size + 9000  # and a header


def test_a_data_set_that_may_not_fit_is_warned_of(
    free: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dataset(tmp_path / "band", 1, 0, seconds=8)
    warning = " ".join(capsys.readouterr().err.split())
    assert f"warning: the disk of {tmp_path / 'band'} will be full before the end" in warning
