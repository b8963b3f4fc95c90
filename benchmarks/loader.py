"""Measure how fast training segments are read, from the cache and by musdb.

    python -m benchmarks.loader [--seconds 3] [--steps 10]

1. Segments per second (four sources, stereo, from a random position in one track) that are read
   from the cache, and by musdb with `chunk_start` and `chunk_duration`. The track is the real
   excerpt's `.stem.mp4`, and wav files of the excerpt repeated to the length of a song. musdb reads
   both with the programs ffmpeg and ffprobe; without them on PATH only the cache is timed.
   Target: the cache is 100 times as fast.
2. The share of a `compact` training step of stage 1 that is spent waiting for its batch.
   Target: at most 2 %.
"""

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from shared.console import console
from shared.songs.cache import CachedSong, build_cache
from shared.sound.files import read_stem, write_wav
from shared.sound.stem_streams import STEM_STREAMS
from shared.sources import SOURCES
from shared.training.loader import BatchStream

REPEATS = 30  # 30 times the excerpt of 6.08 s make a song of 3 minutes
READS_MUSDB, READS_CACHE = 5, 500


def main() -> None:
    """Print the rates and the share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a segment")
    parser.add_argument("--steps", type=int, default=10, help="training steps to time; 0 skips")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stem_file, wav_root = write_tracks(Path(folder))
        for kind, root, is_wav in (("stem.mp4", stem_file, False), ("wav", wav_root, True)):
            compare(kind, root, is_wav, options.seconds)
        if options.steps:
            share_of_waiting(wav_root, options.steps)


def compare(kind: str, root: Path, is_wav: bool, seconds: float) -> None:
    """Print segments per second of one track, cached and by musdb, and their ratio."""
    ours, theirs = rates(root, is_wav, seconds)
    console.print(f"{kind}: cache {ours:,.0f} segments/s of {seconds:g} s")
    if theirs is None:
        console.print(f"{kind}: musdb not timed, it needs ffmpeg and ffprobe on PATH")
    else:
        console.print(f"{kind}: musdb {theirs:.2f} segments/s; the cache is {ours / theirs:,.0f}x")


def rates(root: Path, is_wav: bool, seconds: float) -> tuple[float, float | None]:
    """Return segments per second of one track, cached and by musdb; None where that cannot run."""
    (song,) = build_cache(root).split("test")
    length = round(seconds * song.sample_rate)
    ours = _rate(READS_CACHE, lambda: song.read_all(_start(song, length), length))
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        return ours, None
    import musdb

    (track,) = musdb.DB(root=str(root), is_wav=is_wav, subsets="test")
    track.chunk_duration = seconds

    def read_musdb() -> None:
        track.chunk_start = _start(song, length) / song.sample_rate
        for source in SOURCES:
            assert len(track.sources[source].audio) == length

    return ours, _rate(READS_MUSDB, read_musdb)


def share_of_waiting(root: Path, steps: int) -> None:
    """Print which share of compact training steps passes before the batch is there."""
    import torch

    from shared.config import load_config
    from shared.training.optimizers import make_optimizers
    from stage1_vqvae.config import PRESETS, VQVAEConfig
    from stage1_vqvae.train import VQVAETask

    config = load_config(VQVAEConfig, PRESETS, "compact")
    task = VQVAETask(config, list(build_cache(root).songs), [])
    optimizers = make_optimizers(task.model, config.train)
    waiting = 0.0
    with BatchStream(
        lambda step: task.make_batch(step, 0, 1), 0, steps + 1, config.train.workers
    ) as batches:
        for step in range(steps + 1):
            if step == 1:  # the first step warms up
                waiting, started = 0.0, time.perf_counter()
            asked = time.perf_counter()
            batch = next(batches)
            waiting += time.perf_counter() - asked
            task.loss(task.model, batch, step)["loss"].backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
    spent = time.perf_counter() - started
    console.print(
        f"compact step: {spent / steps:.2f} s with {torch.get_num_threads()} thread(s) and "
        f"{config.train.workers} loader worker(s), {waiting / spent:.2%} of it waiting for data"
    )


def write_tracks(folder: Path) -> tuple[Path, Path]:
    """Write data folders with one test track each: the excerpt's stem.mp4, and a song as wav."""
    package = find_spec("stempeg")  # located only, because importing it needs ffmpeg
    assert package is not None
    assert package.submodule_search_locations
    (excerpt,) = Path(package.submodule_search_locations[0]).glob("data/*.stem.mp4")
    (folder / "mp4" / "test").mkdir(parents=True)
    shutil.copy(excerpt, folder / "mp4" / "test")
    for stream in STEM_STREAMS:
        audio = read_stem(excerpt, stream)
        path = folder / "wav" / "test" / "song" / f"{stream}.wav"
        write_wav(path, np.tile(audio.samples, REPEATS), audio.sample_rate)
    return folder / "mp4", folder / "wav"


def _start(song: CachedSong, length: int) -> int:
    return random.randrange(song.num_samples - length)


def _rate(reads: int, read: Callable[[], object]) -> float:
    """Count reads per second, after one read that warms up."""
    read()
    started = time.perf_counter()
    for _ in range(reads):
        read()
    return reads / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
