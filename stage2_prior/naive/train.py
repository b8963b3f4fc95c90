"""The training of the plain encoder-decoder: what `train-naive-prior` does."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from shared.config import Range
from shared.console import err_console
from shared.device import Device
from shared.errors import require
from shared.training.loop import fit
from shared.training.settings import TrainSettings
from shared.training.task import SplitSize, Task, whole_sum
from stage2_prior.corpus import open_corpus, read_songs
from stage2_prior.naive.network import STAGE, NaivePrior, NaiveSizes, naive_metadata
from stage2_prior.naive.sequences import PairedSong, collate, random_windows, window
from stage2_prior.performer.task import code_nats

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class NaiveConfig:
    """Hold the whole configuration of a `train-naive-prior` run."""

    model: NaiveSizes = field(default_factory=NaiveSizes)
    train: TrainSettings = field(default_factory=TrainSettings)
    valid_windows: Annotated[int, Range(1, 100_000)] = 48


class NaiveTask(Task):
    """Trains the network on random windows, and validates it on the beginnings of songs."""

    stage = STAGE

    def __init__(
        self,
        songs: Sequence[PairedSong],
        valid: Sequence[PairedSong],
        model: NaivePrior,
        config: NaiveConfig,
    ) -> None:
        """Prepare training.

        Args:
            songs: the songs to train on.
            valid: the songs to validate on.
            model: the network, with its first weights.
            config: the settings.
        """
        self.model: NaivePrior = model
        self.config = config
        self._songs = {"train": songs, "valid": valid}
        self.windows = [window(song, 0, model.window) for song in valid[: config.valid_windows]]

    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Cut random windows."""
        train, songs = self.config.train, self._songs["train"]
        items = range(rank, train.batch_size, world)
        return random_windows(songs, self.model.window, train.seed, step, items)

    def sums(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the number of frames."""
        return {"weight": batch["weight"].sum()}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Compute the mean cross-entropy of a code."""
        weight = batch["weight"]
        nats = code_nats(model(batch["accompaniment"], batch["target"]), batch["target"])
        whole = whole_sum(batch, "weight", weight.sum()).clamp_min(1e-6)
        loss = (nats.mean(1) * weight).sum() / whole
        return {"loss": loss, "bits_per_code": loss.detach() / math.log(2)}

    def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
        """Measure bits per code with the song's accompaniment, and with that of another song."""
        device = next(model.parameters()).device
        windows = self.windows[:at_most]
        others = [*windows[1:], windows[0]]
        bits = {"song": 0.0, "shuffled": 0.0}
        frames = 0.0
        for each, other in zip(windows, others, strict=True):
            batch = {name: values.to(device) for name, values in collate([each]).items()}
            borrowed = torch.from_numpy(other["accompaniment"])[None].to(device)
            for name, heard in (("song", batch["accompaniment"]), ("shuffled", borrowed)):
                nats = code_nats(model(heard, batch["target"]), batch["target"]).mean(1)
                bits[name] += float((nats * batch["weight"]).sum()) / math.log(2)
            frames += float(batch["weight"].sum())
        figures = {f"bits_per_code_{name}": value / frames for name, value in bits.items()}
        return {"score": -figures["bits_per_code_song"], **figures}

    def splits(self) -> dict[str, SplitSize]:
        """Return the sizes of the splits."""
        rate = self.model.format.frame_rate
        return {
            name: SplitSize.of(song.frames / rate for song in songs)
            for name, songs in self._songs.items()
        }

    def metadata(self) -> dict[str, Any]:
        """Return what the JSON of a checkpoint holds about the model and its training."""
        return naive_metadata(self.model) | {"config": asdict(self.config)}


def train_naive_prior(
    codes: Path,
    out: Path,
    config: NaiveConfig,
    resume: Literal["auto", "never"] = "never",
    device: Device = "auto",
) -> Path:
    """Train the plain encoder-decoder on a folder of codes; return the path of the checkpoint.

    Args:
        codes: a folder that `extract-codes` wrote.
        out: the folder of the run.
        config: the settings.
        resume: whether to continue the run in `out`.
        device: where to compute.

    Raises:
        UserError: there are no usable codes, or `out` holds a run that this one does not continue.
    """
    corpus = open_corpus(codes)
    songs = [*read_songs(corpus, PairedSong.of)]
    train, valid = ([song for song in songs if song.split == name] for name in ("train", "valid"))
    require(bool(train), "none of the codes belong to the split 'train': add training songs")
    if not valid:
        err_console.print("no song belongs to the split 'valid': validating on training songs")
    torch.manual_seed(config.train.seed)
    task = NaiveTask(train, valid or train, NaivePrior(config.model, corpus.format), config)
    return fit(task, config.train, out, resume, device)
