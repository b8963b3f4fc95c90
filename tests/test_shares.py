"""A batch gives the same weights in one share and in several, in one process and in several."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from shared.codes.song_codes import SongCodes
from shared.config import load_config
from shared.errors import require
from shared.processes import find_processes
from shared.songs.cache import build_cache
from shared.training.checkpoint import load_checkpoint
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
from stage2_prior import train
from stage2_prior.composer.material import composed_song
from stage2_prior.composer.sequences import ComposedSong
from stage2_prior.composer.task import ComposerTask
from stage2_prior.config import PARTS, PriorConfig
from stage2_prior.config import PRESETS as PRIOR_PRESETS
from stage2_prior.listener.sequences import HeardSong
from stage2_prior.listener.task import ListenerTask
from stage2_prior.naive.network import NaivePrior
from stage2_prior.naive.sequences import PairedSong
from stage2_prior.naive.train import PRESETS as NAIVE_PRESETS
from stage2_prior.naive.train import NaiveConfig, NaiveTask
from stage2_prior.performer.sequences import PerformedSong
from stage2_prior.performer.task import PerformerTask
from stage2_prior.train import new_prior, train_prior
from tests.conftest import WriteSong
from tests.launching import run_as_srun, run_with_torchrun
from tests.toy_bass import ToneCodec, write_songs
from tests.toy_songs import FORMAT, make_song, write_codes
from tests.toy_task import state

FACTS = {
    "beats": [0.0, 0.5, 1.0, 1.5, 2.0],
    "downbeats": [0.0, 2.0],
    "chords": [{"start": 0.0, "end": 1.2, "root": 7, "quality": "maj"}],
    "bass_notes": [{"onset": t / 2, "duration": 0.4, "pitch": 30 + t} for t in range(5)],
}
HEADS = (
    *(f"model.{head}_head=true" for head in ("mask", "pitch", "level")),
    *("loss.mask=1", "loss.pitch=0.1", "loss.level=0.1"),
)
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


def hear_and_compose(folder: Path, out: Path) -> None:
    """Train a composer on five songs, and save what it reads and which songs this process heard."""
    heard, own = {}, []

    def noted_song(song: SongCodes, *others: Any) -> ComposedSong | None:
        own.append(song.track)
        return composed_song(song, *others)

    def noted_task(songs: Sequence[ComposedSong], *others: Any) -> ComposerTask:
        heard.update({song.track: torch.from_numpy(song.features.copy()) for song in songs})
        return ComposerTask(songs, *others)

    overrides = ["composer.train.batch_size=4", "hearings=2", "parts=['composer']"]
    config = load_config(PriorConfig, PRIOR_PRESETS, "tiny", overrides=overrides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "composed_song", noted_song)
        patch.setattr(train, "ComposerTask", noted_task)
        patch.setattr("shared.processes.AT_ONCE", 2)
        prior = folder / "prior" / "model.safetensors"
        train_prior(folder / "codes", out, config, device="cpu", init_from=prior)
    assert [*heard] == [*"abcde"]
    save_file(heard, out / f"heard-{find_processes().rank}.safetensors", {"own": "".join(own)})


def refuse_the_third(number: int) -> int:
    require(number != 2, "the third is refused")
    return number


SCRIPT = """
import sys
from pathlib import Path
from dataclasses import replace
from shared.processes import find_processes
from shared.training.loop import fit
from shared.errors import UserError
from shared.processes import shared_map
from tests.test_shares import *

songs, folder, out = map(Path, sys.argv[1:])
if find_processes().world == 2:
    hear_and_compose(folder, out / "composed")
    try:
        list(shared_map(refuse_the_third, range(5)))
    except UserError as error:
        (out / f"error-{find_processes().rank}").write_text(str(error))

def train_all(settings, out):
    fit(vqvae_task(songs, "loss.usage=0.02"), settings, out / "vqvae", device="cpu")
    for part in ("listener", "composer", "performer"):
        fit(prior_task(part), settings, out / part, device="cpu")

train_all(settings(), out)
if find_processes().world == 2:
    train_all(replace(settings(), sharded=True), out / "sharded")
"""


@pytest.mark.slow
@pytest.mark.parametrize("start", ["Slurm's srun, two processes", "torchrun, four processes"])
def test_several_processes(start: str, stem_folder: Path, tmp_path: Path) -> None:
    script, several = tmp_path / "run.py", tmp_path / "several"
    script.write_text(SCRIPT)
    write_codes(tmp_path / "codes", [make_song(name, "train", song=FACTS) for name in "abcde"])
    config = load_config(PriorConfig, PRIOR_PRESETS, "tiny")
    train._save(new_prior(config, FORMAT), tmp_path / "prior", config)
    if "srun" in start:
        assert run_as_srun(script, stem_folder, tmp_path, several, processes=2) == [0, 0]
    else:
        done = run_with_torchrun(script, stem_folder, tmp_path, several, processes=4)
        assert done.returncode == 0, done.stderr
    one = {"vqvae": trained(vqvae_task(stem_folder, "loss.usage=0.02"), tmp_path / "vqvae")}
    one |= {part: trained(prior_task(part), tmp_path / part) for part in PARTS}
    for name, weights in one.items():
        assert farthest(weights, state(several / name)) < CLOSE, name
    if "srun" in start:
        for name in one:
            check_sharded(tmp_path / name, several / "sharded" / name)
        check_hearing(tmp_path, tmp_path / "composed", several / "composed")
        for rank in "01":
            assert (several / f"error-{rank}").read_text() == "the third is refused"


def check_sharded(one: Path, sharded: Path) -> None:
    """The files of a sharded run are those of any other, up to rounding."""
    whole, gathered = state(one), state(sharded)
    assert whole.keys() == gathered.keys()
    assert farthest(whole, gathered) < CLOSE
    for name, tensor in whole.items():
        torch.testing.assert_close(gathered[name], tensor, rtol=1e-3, atol=CLOSE)
    shipped, other = (load_checkpoint(run, one.name) for run in (one, sharded))
    for name, tensor in shipped.weights.items():
        torch.testing.assert_close(other.weights[name], tensor, rtol=1e-3, atol=1e-3)  # halves
    assert other.meta["metrics"] == pytest.approx(shipped.meta["metrics"], abs=1e-3, nan_ok=True)


def check_hearing(folder: Path, one: Path, several: Path) -> None:
    """Two processes share the songs; each has what one process hears, and the same weights."""
    hear_and_compose(folder, one)
    expected = load_file(one / "heard-0.safetensors")
    for rank, own in enumerate(("ace", "bd")):
        path = several / f"heard-{rank}.safetensors"
        with safe_open(path, framework="pt") as file:
            assert file.metadata() == {"own": own}
        heard = load_file(path)
        for track, features in expected.items():
            assert features.shape[0] == 2  # hearings
            assert torch.equal(heard[track], features)
    assert farthest(state(one / "composer"), state(several / "composer")) < CLOSE
