"""What a run trains, as the training loop sees it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from shared.sound.samples import Samples


@dataclass(frozen=True, eq=False)
class Sound:
    """Audio `[C, N]` to listen to while a model is trained."""

    samples: Samples
    sample_rate: int


@dataclass(frozen=True)
class SplitSize:
    """How many songs a split has, and how long they are together."""

    songs: int
    seconds: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "SplitSize":
        """Add up the lengths of songs in seconds."""
        lengths = list(seconds)
        return cls(len(lengths), sum(lengths))


_PREFIX = "whole sum of "


def whole_sum(batch: Mapping[str, Tensor], name: str, own: Tensor) -> Tensor:
    """Return one of `Task.sums` as the mean over all shares of a step, or `own` for a single share.

    `own` is the sum over the share that `batch` holds.
    """
    return batch.get(_key(name), own)


def with_sums(batch: Mapping[str, Tensor], sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put the means of `Task.sums` over all shares into the batch of a share."""
    return {**batch, **{_key(name): value for name, value in sums.items()}}


def whole_sums(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all sums that a batch holds; none where it is the single share of its step."""
    return {
        name.removeprefix(_PREFIX): value
        for name, value in batch.items()
        if name.startswith(_PREFIX)
    }


def _key(name: str) -> str:
    return f"{_PREFIX}{name}"


class Task(ABC):
    """A task is what a run trains: a model, its data and its loss."""

    stage: str
    model: nn.Module

    @abstractmethod
    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Make the share number `rank` of `world` equal shares of the batch of a step.

        The result must be a pure function of the arguments.
        """

    def sums(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the sums over a share of a batch by which `loss` divides, by name; none here.

        Where a step has several shares, each of them must divide by the same numbers: these sums,
        averaged over all shares. They are put into its batch, and `whole_sum` finds them there.
        """
        return {}

    @abstractmethod
    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Compute scalars to log; the one named "loss" is minimised.

        `model` is `self.model`, perhaps wrapped for several processes. Call only this one.
        """

    @abstractmethod
    def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
        """Compute figures on the validation split.

        The checkpoint with the highest finite "score" is kept. `at_most` is given where it only
        has to be seen that validation works: so many examples are then measured, without warnings.
        """

    def sounds(self, model: nn.Module) -> dict[str, Sound]:
        """Return what TensorBoard plays and draws of a validation song; nothing by default."""
        return {}

    def splits(self) -> dict[str, SplitSize]:
        """Return the sizes of the splits by name, as far as they are known."""
        return {}

    def headline(self, figures: dict[str, float]) -> str:
        """Return the text that the progress bar shows about the last validation."""
        return f"score {figures['score']:.3f}"

    @abstractmethod
    def metadata(self) -> dict[str, Any]:
        """Return what the checkpoint's JSON must hold to build and use the model again."""

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with its beginning, as nested dicts.

        The training settings are added to it. By default it is the metadata.
        """
        return self.metadata()
