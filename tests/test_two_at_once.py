"""Two runs that would write the same files: the second is refused in a sentence."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.band.dataset import LOCK_NAME as DATASET_LOCK
from shared.band.dataset import make_dataset
from shared.errors import UserError
from shared.file_lock import sole_owner
from shared.outputs import sole_writer
from shared.sound.files import write_wav
from stage1_vqvae import separate as separation
from stage1_vqvae.separate import Stems, separate
from stage2_prior.studio.run import LOCK_NAME as STUDIO_LOCK
from stage2_prior.studio.run import run_studio
from tests.oracle_codec import OracleCodec, two_tones


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    write_wav(path, np.zeros((2, 8192), np.float32), 44_100)
    return path


@pytest.fixture
def codec() -> OracleCodec:
    return OracleCodec(two_tones())


def stems(*_: Any, **__: Any) -> Stems:
    silence = np.zeros((2, 8192), np.float32)
    return Stems({"bass": silence}, silence, silence)


def test_one_writer_of_a_name(tmp_path: Path) -> None:
    """A folder that it made and left empty is gone afterwards, and one that was there is not."""
    out = tmp_path / "out"
    refused = pytest.raises(UserError, match=r"out/song is being written by process \d+: wait for")
    with sole_writer(out, "song"):
        with refused, sole_writer(out, "song"):
            pytest.fail("there are two")
        with sole_writer(out, "another song"), sole_writer(tmp_path / "elsewhere", "song"):
            pass
    assert list(tmp_path.iterdir()) == []
    with sole_writer(tmp_path, "song"):
        pass
    assert tmp_path.is_dir()


@pytest.mark.parametrize("name", ["x" * 255, "曲" * 85, "a\nb"])
def test_any_name_can_be_locked(tmp_path: Path, name: str) -> None:
    with sole_writer(tmp_path, name):
        (lock,) = tmp_path.iterdir()
        assert ".unfinished-" in lock.name  # so that one that is left is swept


def test_separating_a_song_twice_at_once(
    song: Path, codec: OracleCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separation, "separate_samples", stems)
    with sole_writer(song.parent / "out", "song"):
        with pytest.raises(UserError, match="out/song is being written by process"):
            separate(song, song.parent / "out", codec, ["bass"])
        assert not list((song.parent / "out").glob("*.wav"))
    separate(song, song.parent / "out", codec, ["bass"])
    assert len(list((song.parent / "out").glob("*"))) == 2


def test_what_another_run_has_written_meanwhile_is_not_replaced(
    song: Path, codec: OracleCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = song.parent / "out"

    def separating(*_: Any, **__: Any) -> Stems:
        out.mkdir()
        (out / "song.bass.wav").write_text("the other's")
        return stems()

    monkeypatch.setattr(separation, "separate_samples", separating)
    with pytest.raises(UserError, match=r"song\.bass\.wav exists already"):
        separate(song, out, codec, ["bass"])
    assert [path.read_text() for path in out.iterdir()] == ["the other's"]


@pytest.mark.parametrize(
    ("lock", "run", "sentence"),
    [
        (DATASET_LOCK, partial(make_dataset, songs=1, seed=0), "is being made by process"),
        (
            STUDIO_LOCK,
            lambda out: run_studio(out, pytest.fail, 0, 1.0, 1.0, False),
            "is being served by process",
        ),
    ],
)
def test_folders_with_one_owner(
    tmp_path: Path, lock: str, run: Callable[[Path], Any], sentence: str
) -> None:
    out = tmp_path / "out"
    with sole_owner(out / lock, "out", "wait"):
        began = time.monotonic()
        with pytest.raises(UserError, match=f"out {sentence}"):
            run(out)
        assert time.monotonic() - began < 60
        assert [path.name for path in out.iterdir()] == [lock]
