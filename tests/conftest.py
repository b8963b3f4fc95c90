"""Small, deterministic inputs that several test files share."""

import hashlib
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shared.sources import SOURCES

RATE = 44100
WriteSong = Callable[..., Path]


def _tone(name: str, num_samples: int, rate: int) -> np.ndarray:
    """A stereo tone with some noise, its own for every name: float32 `[N, 2]`."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    rng = np.random.default_rng(seed)
    time = np.arange(num_samples) / rate
    tone = 0.2 * np.sin(2 * np.pi * rng.uniform(60, 600) * time)
    return (tone[:, None] + 0.01 * rng.standard_normal((num_samples, 2))).astype(np.float32)


@pytest.fixture(scope="session")
def write_song() -> WriteSong:
    """`write_song(folder, seconds=0.5, rate=44100, suffix=".wav", **stems)` writes a stem folder.

    A keyword named after a source replaces its float `[N, 2]` array; None leaves the stem out.
    """

    def write(
        folder: Path,
        seconds: float = 0.5,
        rate: int = RATE,
        suffix: str = ".wav",
        **stems: np.ndarray | None,
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for source in SOURCES:
            default = _tone(f"{folder.name}/{source}", round(seconds * rate), rate)
            samples = stems.get(source, default)
            if samples is not None:
                soundfile.write(folder / f"{source}{suffix}", samples, rate)
        return folder

    return write


@pytest.fixture(scope="session")
def stem_folder(write_song: WriteSong, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of four 2 s songs: two train, one valid, one test. Do not write into it."""
    root = tmp_path_factory.mktemp("stems")
    for name in ("train/one", "train/two", "valid/three", "test/four"):
        write_song(root / name, seconds=2.0)
    return root


@pytest.fixture(scope="session")
def stem_mp4() -> Path:
    """The real MUSDB18 test excerpt that the stempeg package carries: 6.08 s, 268288 samples."""
    (path,) = (_package_folder("stempeg") / "data").glob("*.stem.mp4")
    return path


@pytest.fixture(scope="session")
def musdb_config() -> Path:
    """musdb's own list of splits and streams."""
    return _package_folder("musdb") / "configs" / "mus.yaml"


@pytest.fixture
def deadline() -> Iterator[None]:
    """Fail a test that takes 10 seconds, such as one that waits for a pipe."""

    def expire(number: int, frame: object) -> None:
        pytest.fail("the test waits for ever")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _package_folder(name: str) -> Path:
    """Where a package lies. It is not imported: these two cannot be without ffmpeg."""
    package = find_spec(name)
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0])
