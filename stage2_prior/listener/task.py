"""The training of the listener, as the training loop runs it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.config import Range
from shared.errors import require
from shared.music.notes import NoteVocabulary
from shared.training.settings import TrainSettings
from shared.training.task import SplitSize, Task, whole_sum
from stage2_prior.listener.accuracy import listening_accuracy, mean_accuracy
from stage2_prior.listener.labels import UNKNOWN
from stage2_prior.listener.network import Heard, Listener
from stage2_prior.listener.sequences import (
    WITHOUT_BASS,
    HeardSong,
    HidingConfig,
    ListeningSequences,
    View,
    collate,
    window,
)
from stage2_prior.rest_weight import rest_weight

REST_SHARE = 0.4  # the largest share of the loss of the notes that frames without bass may have

Weight = Annotated[float, Range(0, 1000)]


@dataclass(frozen=True)
class ListenerTraining:
    """How the listener is trained: the loop, what is hidden, and the weight of each loss."""

    train: TrainSettings = field(default_factory=TrainSettings)
    hiding: HidingConfig = field(default_factory=HidingConfig)
    views: tuple[View, ...] = WITHOUT_BASS  # of a song, one of which is heard at a time
    note: Weight = 1.0
    root: Weight = 1.0
    tones: Weight = 2.0  # the mean over twelve pitch classes is a small number
    beats: Weight = 2.0  # most frames have no beat, so that this mean is small too
    valid_windows: Annotated[int, Range(1, 100_000)] = 64

    def __post_init__(self) -> None:
        """Raise UserError where nothing is heard."""
        require(bool(self.views), "'listener.views' must name at least one view of a song")


class ListenerTask(Task):
    """Trains the listener on random windows, and validates it on whole windows."""

    stage = "listener"

    def __init__(
        self,
        songs: Sequence[HeardSong],
        valid: Sequence[HeardSong],
        model: Listener,
        settings: ListenerTraining,
    ) -> None:
        """Prepare training.

        Args:
            songs: the songs to train on.
            valid: the songs to validate on.
            model: the listener, with its first weights.
            settings: how to train.
        """
        self.model: Listener = model
        self.settings = settings
        self._songs = {"train": songs, "valid": valid}
        self.sequences = ListeningSequences(songs, model.window, model.dropped, settings.hiding)
        self.rest_weight = rest_weight(songs, REST_SHARE)
        windows = [
            window(song, start, model.window, model.dropped)
            for song in valid
            for start in range(0, max(1, song.frames - model.window // 2), model.window)
        ]
        step = max(1, len(windows) // settings.valid_windows)
        self.valid_batches = [collate([each]) for each in windows[::step]]

    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Cut random windows, and hide parts of them."""
        train = self.settings.train
        return self.sequences.batch(train.seed, step, range(rank, train.batch_size, world))

    def sums(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what the losses of the heads are divided by."""
        return listening_sums(batch, self.rest_weight)

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Compute the weighted sum of the losses of all heads."""
        losses = listening_losses(model(batch["accompaniment"]), batch, self.rest_weight)
        total = sum(getattr(self.settings, name) * loss for name, loss in losses.items())
        return {"loss": torch.as_tensor(total), **{k: v.detach() for k, v in losses.items()}}

    def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
        """Measure the accuracy on the validation songs; the score is the sum of the figures."""
        device = next(model.parameters()).device
        parts = []
        for batch in self.valid_batches[:at_most]:
            moved = {name: value.to(device) for name, value in batch.items()}
            parts.append(listening_accuracy(model(moved["accompaniment"]), moved))
        figures = asdict(mean_accuracy(parts))
        known = [value for value in figures.values() if value == value]
        return {"score": sum(known), **figures}

    def splits(self) -> dict[str, SplitSize]:
        """Return the sizes of the splits."""
        rate = self.model.format.frame_rate
        return {
            name: SplitSize.of(song.frames / rate for song in songs)
            for name, songs in self._songs.items()
        }

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must share."""
        return {
            "config": asdict(self.settings),
            "model": asdict(self.model.config),
            "codes": asdict(self.model.format),
        }

    def metadata(self) -> dict[str, Any]:
        """Return what the JSON of a checkpoint holds about the model and its training."""
        return listener_metadata(self.model) | {"config": asdict(self.settings)}


def listener_metadata(model: Listener) -> dict[str, Any]:
    """Return the entries of a checkpoint's JSON from which the network can be built again."""
    return {"model": asdict(model.config), "codes": asdict(model.format)}


def listening_losses(heard: Heard, batch: dict[str, Tensor], rest: float) -> dict[str, Tensor]:
    """Return the mean cross-entropy of each head, over the frames in which the truth is known.

    Args:
        heard: the predictions.
        batch: windows (sequences.py).
        rest: the weight of the frames in which the bass rests.
    """
    note = batch["note"]
    weight = note_weight(batch, rest)
    own = listening_sums(batch, rest)
    notes = F.cross_entropy(heard.note.transpose(1, 2), note, reduction="none")
    roots = F.cross_entropy(
        heard.root.transpose(1, 2), batch["root"], reduction="none", ignore_index=UNKNOWN
    )
    nats = {
        "note": (notes * weight).sum(),
        "root": roots.sum(),
        "tones": _binary(heard.tones, batch["tones"]),
        "beats": _binary(heard.beats, batch["beats"]),
    }
    return {
        name: total / whole_sum(batch, name, own[name]).clamp_min(1e-6)
        for name, total in nats.items()
    }


def note_weight(batch: dict[str, Tensor], rest: float) -> Tensor:
    """Return how much the note of each frame counts `[B, F]`; `rest` where the bass rests."""
    return batch["confidence"] * torch.where(batch["note"] == NoteVocabulary.REST, rest, 1.0)


def listening_sums(batch: dict[str, Tensor], rest: float) -> dict[str, Tensor]:
    """Return what the loss of each head is divided by."""
    known = {name: (batch[name] != UNKNOWN).sum().float() for name in ("root", "tones", "beats")}
    return {"note": note_weight(batch, rest).sum(), **known}


def _binary(logits: Tensor, labels: Tensor) -> Tensor:
    known = labels != UNKNOWN
    nats = F.binary_cross_entropy_with_logits(logits, labels.clamp_min(0).float(), reduction="none")
    return (nats * known).sum()
