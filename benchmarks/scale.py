"""Measure what an hour of music costs in each step from stems to a trained prior, at three sizes.

    python -m benchmarks.scale [--songs 2 4 8] [--seconds 12] [--out scale.json]

Songs are composed and rendered, and then go through the steps. Times are CPU times of the process
on one thread, which other processes on a busy machine hardly add to. If the cost of an hour is the
same at all sizes, it may be extrapolated; docs/scale.md does that.

A training step costs the same whatever the size of the data, so it is given for an hour of music in
its batches. The networks have the sizes of their `compact` presets, and the shipped weights, which
cost as much as any.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from shared.band.dataset import make_dataset
from shared.codes.manifest import read_manifest
from shared.codes.song_codes import SongCodes
from shared.config import load_config
from shared.music.note_tracking import track_bass_notes
from shared.songs.cache import StemCache, build_cache
from shared.sources import BASS
from shared.training.task import Task
from stage1_vqvae.codec import VQVAECodec, load_codec
from stage1_vqvae.config import PRESETS as VQVAE_PRESETS
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.extract import extract_codes
from stage1_vqvae.train import VQVAETask
from stage2_prior.composer.material import composed_song
from stage2_prior.composer.sequences import ComposedSong
from stage2_prior.composer.task import ComposerTask
from stage2_prior.config import PRESETS as PRIOR_PRESETS
from stage2_prior.config import PriorConfig
from stage2_prior.listener.sequences import HeardSong
from stage2_prior.listener.task import ListenerTask
from stage2_prior.model import load_prior
from stage2_prior.performer.sequences import PerformedSong
from stage2_prior.performer.task import PerformerTask

BATCH = 4
HOUR = 3600.0


@dataclass
class Costs:
    """What was measured at one size.

    Attributes:
        songs: how many songs there are.
        hours: how long they are together.
        cpu: CPU seconds for an hour of music, by the name of the step.
        size: bytes for an hour of music, by the name of what is stored.
    """

    songs: int
    hours: float
    cpu: dict[str, float]
    size: dict[str, float]

    @contextmanager
    def step(self, name: str, seconds: float | None = None) -> Iterator[None]:
        """Time a step that works on so many seconds of music; by default on all of it."""
        began = time.process_time()
        yield
        hours = self.hours if seconds is None else seconds / HOUR
        self.cpu[name] = (time.process_time() - began) / hours


def main() -> None:
    """Measure all sizes, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seconds", type=float, default=12.0, help="length of a song")
    parser.add_argument("--out", type=Path, help="also write the figures into this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measured = [measure(songs, arguments.seconds) for songs in arguments.songs]
    print(table("CPU s an hour of music", measured, lambda costs: costs.cpu))
    print(table("MB an hour of music", measured, lambda costs: costs.size, 1e6))
    if arguments.out:
        arguments.out.write_text(json.dumps([vars(costs) for costs in measured], indent=1))


def measure(songs: int, seconds: float) -> Costs:
    """Let some songs go through all steps."""
    costs = Costs(songs, songs * seconds / HOUR, {}, {})
    codec = load_codec()
    with TemporaryDirectory() as folder:
        data, codes = Path(folder) / "songs", Path(folder) / "codes"
        with costs.step("compose and render"):
            make_dataset(data, songs, seed=0, seconds=seconds, splits=(1.0, 0.0, 0.0))
        with costs.step("decode stems into the cache"):
            cache = build_cache(data)
        length = sum(song.num_samples for song in cache.songs)
        costs.hours = length / codec.sample_rate / HOUR
        costs.cpu = {
            name: cpu * songs * seconds / HOUR / costs.hours for name, cpu in costs.cpu.items()
        }
        with costs.step("encode all views (extract-codes, notes known)"):
            extract_codes(data, codec, codes)
        with costs.step("track the notes of the bass (where not known)"):
            _track(cache, codec)
        costs.size["decoded stems"] = _bytes(cache.folder) / costs.hours
        costs.size["codes"] = _bytes(codes) / costs.hours
        _stage1(costs, cache)
        _stage2(costs, codes)
    return costs


def _track(cache: StemCache, codec: VQVAECodec) -> None:
    for song in cache.songs:
        bass = song.read_all()[BASS]
        track_bass_notes(
            bass, song.sample_rate, codec.num_frames(song.num_samples), codec.frame_rate
        )


def _stage1(costs: Costs, cache: StemCache) -> None:
    config = load_config(VQVAEConfig, VQVAE_PRESETS, "compact")
    config = replace(config, train=replace(config.train, batch_size=BATCH))
    task = VQVAETask(config, list(cache.songs), list(cache.songs)[:1])
    _train(costs, task, "codec", BATCH * config.remix.segment_seconds)


def _stage2(costs: Costs, codes: Path) -> None:
    prior = load_prior().requires_grad_(True)
    config = load_config(PriorConfig, PRIOR_PRESETS, "compact")
    config = replace(
        config,
        listener=replace(config.listener, train=replace(config.listener.train, batch_size=BATCH)),
        composer=replace(config.composer, train=replace(config.composer.train, batch_size=BATCH)),
        performer=replace(
            config.performer, train=replace(config.performer.train, batch_size=BATCH)
        ),
    )
    songs = [SongCodes.load(path) for path in read_manifest(codes).files]
    heard = [HeardSong.of(song) for song in songs]
    performed = [PerformedSong.of(song) for song in songs]
    in_memory = sum(song.accompaniments.nbytes for song in heard)
    costs.size["codes in the listener's memory"] = in_memory / costs.hours
    listener = ListenerTask(heard, heard, prior.listener, config.listener)
    _train(costs, listener, "listener", BATCH * prior.config.listener.window_seconds)
    with costs.step("hear a song once, for the composer"), torch.no_grad():
        found = [composed_song(song, prior.listener.eval(), 1) for song in songs]
    composed = [song for song in found if isinstance(song, ComposedSong)]
    shown = min(sum(song.seconds for song in composed) / len(composed), 64.0)
    composer = ComposerTask(composed, composed, prior.composer, config.composer)
    _train(costs, composer, "composer", BATCH * shown)
    performer = PerformerTask(performed, performed, prior.performer, config.performer)
    _train(costs, performer, "performer", BATCH * prior.config.performer.window_seconds)


def _train(costs: Costs, task: Task, name: str, seconds: float) -> None:
    """Time making a batch, and a step forward and backward; the first step prepares much."""
    task.loss(task.model.train(), task.make_batch(0, 0, 1), 0)["loss"].backward()
    with costs.step(f"make batches of the {name}", seconds):
        batch = task.make_batch(1, 0, 1)
    with costs.step(f"train the {name}, forward and backward", seconds):
        task.loss(task.model, batch, 1)["loss"].backward()


def _bytes(folder: Path) -> float:
    return float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def table(
    title: str, measured: list[Costs], of: Callable[[Costs], dict[str, float]], unit: float = 1.0
) -> str:
    """Write a row for each step or file, and a column for each size, as Markdown."""
    sizes = [f"{costs.songs} songs, {costs.hours * 60:.1f} min" for costs in measured]
    lines = [f"| {title} | {' | '.join(sizes)} |", "|---|" + "---:|" * len(sizes)]
    for name in of(measured[0]):
        cells = " | ".join(f"{of(costs)[name] / unit:.3g}" for costs in measured)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
