"""A batch gives the same weights in one share and in several, in one process and in several."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shared.config import load_config
from shared.songs.cache import build_cache
from shared.training.loop import fit
from shared.training.settings import TrainSettings
from shared.training.task import Task
from stage1_vqvae.bass_decoder.config import PRESETS as BASS_DECODER_PRESETS
from stage1_vqvae.bass_decoder.config import BassDecoderConfig
from stage1_vqvae.bass_decoder.songs import read_bass_songs
from stage1_vqvae.bass_decoder.train import BassDecoderTask
from stage1_vqvae.config import PRESETS as VQVAE_PRESETS
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.train import VQVAETask
from stage2_prior.composer.material import composed_song
from stage2_prior.composer.task import ComposerTask
from stage2_prior.config import PRESETS as PRIOR_PRESETS
from stage2_prior.config import PriorConfig
from stage2_prior.listener.sequences import HeardSong
from stage2_prior.listener.task import ListenerTask
from stage2_prior.naive.network import NaivePrior
from stage2_prior.naive.sequences import PairedSong
from stage2_prior.naive.train import PRESETS as NAIVE_PRESETS
from stage2_prior.naive.train import NaiveConfig, NaiveTask
from stage2_prior.performer.sequences import PerformedSong
from stage2_prior.performer.task import PerformerTask
from stage2_prior.train import new_prior
from tests.conftest import WriteSong
from tests.launching import run_as_srun, run_with_torchrun
from tests.toy_bass import ToneCodec, write_songs
from tests.toy_songs import FORMAT, make_song
from tests.toy_task import state

FACTS = {
    "beats": [0.0, 0.5, 1.0, 1.5, 2.0],
    "downbeats": [0.0, 2.0],
    "chords": [{"start": 0.0, "end": 1.2, "root": 7, "quality": "maj"}],
    "bass_notes": [{"onset": t / 2, "duration": 0.4, "pitch": 30 + t} for t in range(5)],
}
HEADS = ("model.pitch_head=true", "model.mask_head=true", "loss.pitch=0.1", "loss.mask=1")
CLOSE = 1e-5

Make = Callable[[], Task]


def settings(steps: int = 3) -> TrainSettings:
    return TrainSettings(steps=steps, batch_size=4, warmup_steps=1, validate_every=steps)


def vqvae_config(*overrides: str) -> VQVAEConfig:
    overrides = ("train.batch_size=4", "train.steps=3", *HEADS, *overrides)
    return load_config(VQVAEConfig, VQVAE_PRESETS, "tiny", overrides=overrides)


def vqvae_task(songs: Path, *overrides: str) -> Task:
    config = vqvae_config(*overrides)
    cache = build_cache(songs, sample_rate=config.model.sample_rate)
    return VQVAETask(config, list(cache.split("train")), list(cache.split("valid")))


def prior_task(part: str) -> Task:
    """A part of the prior with dropout, on songs of which different shares are known."""
    dropout = [f"model.{name}.dropout=0.2" for name in ("listener", "composer", "performer")]
    sizes = [f"{part}.train.batch_size=4", f"{part}.train.seed=1"]
    config = load_config(PriorConfig, PRIOR_PRESETS, "tiny", overrides=[*dropout, *sizes])
    prior = new_prior(config, FORMAT)
    songs = [make_song("a", "train", song=FACTS), make_song("b", "train", frames=50)]
    if part == "listener":
        heard = [HeardSong.of(song) for song in songs]
        return ListenerTask(heard, heard, prior.listener, config.listener)
    if part == "composer":
        listened = [composed_song(song, prior.listener.eval(), 1) for song in songs]
        composed = [song for song in listened if song is not None]
        return ComposerTask(composed, composed, prior.composer, config.composer)
    performed = [PerformedSong.of(song) for song in songs]
    return PerformerTask(performed, performed, prior.performer, config.performer)


def naive_task() -> Task:
    overrides = ["train.batch_size=4", "model.dropout=0.2"]
    config = load_config(NaiveConfig, NAIVE_PRESETS, "tiny", overrides=overrides)
    songs = [
        PairedSong.of(make_song(name, "train", frames=30 * n)) for n, name in ((1, "a"), (4, "b"))
    ]
    torch.manual_seed(0)
    return NaiveTask(songs, songs, NaivePrior(config.model, FORMAT), config)


def farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference between the weights of two states."""
    names = [name for name in one if name.startswith("model.")]
    assert names
    return max(float((one[name] - other[name]).abs().max()) for name in names)


def trained(task: Task, run: Path, accumulate: int = 1) -> dict[str, Tensor]:
    fit(task, replace(settings(), accumulate=accumulate), run, device="cpu")
    return state(run)


def check_shares(make: Make, folder: Path) -> None:
    whole = trained(make(), folder / "1")
    for parts in (2, 4):
        assert farthest(whole, trained(make(), folder / str(parts), parts)) < CLOSE
    first = {f"model.{name}": value for name, value in make().model.state_dict().items()}
    assert farthest(whole, first) > 100 * CLOSE  # training has moved the weights


@pytest.mark.parametrize("part", ["listener", "composer", "performer"])
def test_parts_of_the_prior(part: str, tmp_path: Path) -> None:
    check_shares(lambda: prior_task(part), tmp_path)


def test_the_plain_encoder_decoder(tmp_path: Path) -> None:
    check_shares(naive_task, tmp_path)


def test_the_codec(stem_folder: Path, tmp_path: Path) -> None:
    """But for its usage term, which is not known of examples that are computed later."""
    check_shares(lambda: vqvae_task(stem_folder, "loss.usage=0"), tmp_path)


def test_the_bass_decoder(write_song: WriteSong, tmp_path: Path) -> None:
    songs = write_songs(tmp_path / "songs", write_song)
    config = load_config(
        BassDecoderConfig, BASS_DECODER_PRESETS, "tiny", overrides=["train.batch_size=4"]
    )

    def make() -> Task:
        train, valid = read_bass_songs(*songs)
        return BassDecoderTask(config, ToneCodec(), train, valid)

    check_shares(make, tmp_path / "runs")


SCRIPT = """
import sys
from pathlib import Path
from shared.training.loop import fit
from tests.test_shares import prior_task, settings, vqvae_task

songs, out = map(Path, sys.argv[1:])
fit(vqvae_task(songs, "loss.usage=0.02"), settings(), out / "vqvae", device="cpu")
for part in ("listener", "composer"):
    fit(prior_task(part), settings(), out / part, device="cpu")
"""


@pytest.mark.slow
@pytest.mark.parametrize("start", ["Slurm's srun, two processes", "torchrun, four processes"])
def test_several_processes(start: str, stem_folder: Path, tmp_path: Path) -> None:
    script, several = tmp_path / "run.py", tmp_path / "several"
    script.write_text(SCRIPT)
    if "srun" in start:
        assert run_as_srun(script, stem_folder, several, processes=2) == [0, 0]
    else:
        done = run_with_torchrun(script, stem_folder, several, processes=4)
        assert done.returncode == 0, done.stderr
    one = {"vqvae": trained(vqvae_task(stem_folder, "loss.usage=0.02"), tmp_path / "vqvae")}
    one |= {part: trained(prior_task(part), tmp_path / part) for part in ("listener", "composer")}
    for name, weights in one.items():
        assert farthest(weights, state(several / name)) < CLOSE, name
