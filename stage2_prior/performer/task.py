"""The training of the performer, as the training loop runs it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.config import Range
from shared.errors import require
from shared.training.settings import TrainSettings
from shared.training.task import SplitSize, Task, whole_sum
from stage2_prior.performer.network import Performer
from stage2_prior.performer.score import HIDDEN, TONE
from stage2_prior.performer.sequences import (
    PerformedSong,
    PracticeConfig,
    PractisingSequences,
    collate,
    whole_windows,
)


@dataclass(frozen=True)
class PerformerTraining:
    """How the performer is trained: the loop, and what is hidden."""

    train: TrainSettings = field(default_factory=TrainSettings)
    practice: PracticeConfig = field(default_factory=PracticeConfig)
    valid_windows: Annotated[int, Range(1, 100_000)] = 48


class PerformerTask(Task):
    """Trains the performer on random windows, and validates it on whole windows."""

    stage = "performer"

    def __init__(
        self,
        songs: Sequence[PerformedSong],
        valid: Sequence[PerformedSong],
        model: Performer,
        settings: PerformerTraining,
    ) -> None:
        """Prepare training.

        Args:
            songs: the songs to train on.
            valid: the songs to validate on.
            model: the performer, with its first weights.
            settings: how to train.

        Raises:
            UserError: there is no song to train on, or none to validate on.
        """
        require(bool(songs) and bool(valid), "there are no songs to train the performer on")
        self.model: Performer = model
        self.settings = settings
        self._songs = {"train": songs, "valid": valid}
        self.sequences = PractisingSequences(
            songs, model.window, model.format.frame_rate, settings.practice
        )
        windows = whole_windows(valid, model.window, settings.valid_windows)
        self.valid_batches = [collate([each]) for each in windows]

    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Cut random windows, and hide parts of them."""
        train = self.settings.train
        return self.sequences.batch(train.seed, step, range(rank, train.batch_size, world))

    def sums(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum of the weights of all frames."""
        return {"weight": batch["weight"].sum()}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Compute the mean cross-entropy of a code."""
        nats = code_nats(model(batch["score"], batch["history"]), batch["target"])
        weight = batch["weight"]
        whole = whole_sum(batch, "weight", weight.sum()).clamp_min(1e-6)
        loss = (nats.mean(1) * weight).sum() / whole
        return {"loss": loss, "bits_per_code": loss.detach() / math.log(2)}

    def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
        """Measure the bits per code with the notes and without them; fewer are better."""
        device = next(model.parameters()).device
        bits = {"given": 0.0, "hidden": 0.0}
        codes = 0
        for batch in self.valid_batches[:at_most]:
            moved = {name: values.to(device) for name, values in batch.items()}
            tone_only = torch.full_like(moved["score"], HIDDEN)
            tone_only[:, TONE] = moved["score"][:, TONE]
            for name, score in (("given", moved["score"]), ("hidden", tone_only)):
                nats = code_nats(model(score, moved["history"]), moved["target"])
                bits[name] += float((nats * moved["weight"][:, None]).sum()) / math.log(2)
            codes += int(moved["weight"].sum()) * self.model.format.codebooks
        given, hidden = (bits[name] / codes for name in ("given", "hidden"))
        a_second = self.model.format.frame_rate * self.model.format.codebooks
        return {
            "score": -given,
            "bits_per_code": given,
            "bits_per_code_without_notes": hidden,
            "bits_per_second_saved_by_notes": a_second * (hidden - given),
        }

    def splits(self) -> dict[str, SplitSize]:
        """Return the sizes of the splits."""
        rate = self.model.format.frame_rate
        return {
            name: SplitSize.of(song.frames / rate for song in songs)
            for name, songs in self._songs.items()
        }

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must share."""
        return self.metadata()

    def metadata(self) -> dict[str, Any]:
        """Return what the JSON of a checkpoint holds about the model and its training."""
        return performer_metadata(self.model) | {"config": asdict(self.settings)}


def performer_metadata(model: Performer) -> dict[str, Any]:
    """Return the entries of a checkpoint's JSON from which the network can be built again."""
    return {"model": asdict(model.config), "codes": asdict(model.format)}


def code_nats(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cost of each code in nats `[B, H, F]`.

    Args:
        logits: `[B, F, H, m]`.
        target: the true codes `[B, H, F]`.
    """
    return F.cross_entropy(logits.float().permute(0, 3, 2, 1), target, reduction="none")
