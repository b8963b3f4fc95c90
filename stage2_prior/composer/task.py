"""The training of the composer, as the training loop runs it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from shared.config import Range
from shared.training.settings import TrainSettings
from shared.training.task import SplitSize, Task, whole_sum
from stage2_prior.composer.network import CHOICES, NONE, Composer
from stage2_prior.composer.sequences import (
    COMMON_BAR,
    ComposedSong,
    ComposingSequences,
    VaryingConfig,
    collate,
    window,
)


@dataclass(frozen=True)
class ComposerTraining:
    """How the composer is trained: the loop, and how songs are varied."""

    train: TrainSettings = field(default_factory=TrainSettings)
    varying: VaryingConfig = field(default_factory=VaryingConfig)
    loudness: Annotated[float, Range(0, 1000)] = 0.3  # weight of this choice; the others have 1
    valid_songs: Annotated[int, Range(1, 100_000)] = 64


class ComposerTask(Task):
    """Trains the composer on random windows, and validates it on the beginnings of songs."""

    stage = "composer"

    def __init__(
        self,
        songs: Sequence[ComposedSong],
        valid: Sequence[ComposedSong],
        model: Composer,
        settings: ComposerTraining,
        listener: str | None = None,
    ) -> None:
        """Prepare training.

        Args:
            songs: the songs to train on.
            valid: the songs to validate on.
            model: the composer, with its first weights.
            settings: how to train.
            listener: the fingerprint of the listener that heard the songs, where it is known.
        """
        self.model: Composer = model
        self.settings = settings
        self.listener = listener
        self._songs = {"train": songs, "valid": valid}
        self.sequences = ComposingSequences(songs, model.config.bars, settings.varying)
        self.valid = valid[: settings.valid_songs]

    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Cut random windows."""
        train = self.settings.train
        return self.sequences.batch(train.seed, step, range(rank, train.batch_size, world))

    def sums(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the number of steps of all lines."""
        return {"steps": (batch["gap"] != NONE).sum().float()}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Compute the mean cost of a step, as the weighted sum of its choices."""
        nats = model(batch)
        steps = whole_sum(batch, "steps", self.sums(batch)["steps"]).clamp_min(1e-6)
        means = {name: nats[name].sum() / steps for name in CHOICES}
        weights = {"loudness": self.settings.loudness}
        total = sum(weights.get(name, 1.0) * mean for name, mean in means.items())
        return {"loss": torch.as_tensor(total), **{k: v.detach() for k, v in means.items()}}

    def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
        """Measure bits per second of the line: with the song, without it, and with another song."""
        longest = self.model.config.bars * COMMON_BAR
        bits = {"song": 0.0, "none": 0.0, "shuffled": 0.0}
        parts = dict.fromkeys(CHOICES, 0.0)
        seconds = 0.0
        device = next(model.parameters()).device
        songs = self.valid[:at_most]
        windows = [window(song, 0, longest) for song in songs]
        for index, (song, each) in enumerate(zip(songs, windows, strict=True)):
            batch = {name: values.to(device) for name, values in collate([each]).items()}
            shown = torch.tensor([False], device=device)
            other = windows[(index + 1) % len(windows)]["features"]
            repeats = -(-batch["features"].shape[1] // len(other))
            borrowed = torch.from_numpy(other).to(device).repeat(repeats, 1)
            borrowed = borrowed[None, : batch["features"].shape[1]]
            conditions = {
                "song": {**batch, "hidden": shown},
                "none": {**batch, "hidden": ~shown},
                "shuffled": {**batch, "features": borrowed, "hidden": shown},
            }
            for name, condition in conditions.items():
                nats = {choice: float(cost.sum()) for choice, cost in model(condition).items()}
                # The loudness is left out, because not every song knows it.
                bits[name] += sum(nats[choice] for choice in CHOICES[:3]) / math.log(2)
                if name == "song":
                    parts = {c: parts[c] + nats[c] / math.log(2) for c in CHOICES}
            seconds += min(song.positions, longest) * song.position_seconds
        return {
            "score": -bits["song"] / seconds,
            **{f"bits_per_second_{name}": value / seconds for name, value in bits.items()},
            **{f"{name}_bits_per_second": value / seconds for name, value in parts.items()},
        }

    def splits(self) -> dict[str, SplitSize]:
        """Return the sizes of the splits."""
        return {
            name: SplitSize.of(song.positions * song.position_seconds for song in songs)
            for name, songs in self._songs.items()
        }

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must share."""
        return {**self.metadata(), "weights of the listener": self.listener}

    def metadata(self) -> dict[str, Any]:
        """Return what the JSON of a checkpoint holds about the model and its training."""
        return {"model": asdict(self.model.config), "config": asdict(self.settings)}
