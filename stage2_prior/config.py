"""Define the configuration of stage 2: the prior's network, its data, and its training."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from shared.config import Fraction, Range
from shared.errors import require
from shared.training.settings import TrainSettings

PRESETS = Path(__file__).parent / "presets"

Depth = Annotated[int, Range(1, 64)]
Dropout = Annotated[float, Range(0, 0.95)]
MeanShare = Annotated[float, Range(0, 0.5)]  # shares are drawn from 0 to twice their mean
Weight = Annotated[float, Range(0, 1000)]


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of the Transformer."""

    dim: Annotated[int, Range(8, 8192)] = 256
    # A single head has no output matrix in x-transformers, and sampling needs one.
    heads: Annotated[int, Range(2, 256)] = 4
    encoder_depth: Depth = 4
    decoder_depth: Depth = 6
    feedforward: Annotated[int, Range(1, 64)] = 3  # inner width of such a layer, in units of `dim`
    dropout: Dropout = 0.1
    embedding_dropout: Dropout = 0.15  # on the encoder's input; keeps it from memorising songs
    window_seconds: Annotated[float, Range(1, 600)] = 12.0  # the longest stretch read at once
    # One delay per stream, the note first. () means 0 for the note and 1 + h // 2 for codebook h.
    delays: tuple[Annotated[int, Range(0, 64)], ...] = ()

    def __post_init__(self) -> None:
        """Raise UserError for sizes that do not go together."""
        require(
            self.dim % (4 * self.heads) == 0,
            f"'model.dim' must be a multiple of 4 times 'model.heads', and {self.dim} is no "
            f"multiple of {4 * self.heads}",
        )
        require(
            not self.delays or self.delays[0] == 0,
            "'model.delays' must begin with 0, the delay of the note",
        )


@dataclass(frozen=True)
class DataConfig:
    """What is hidden from the model in training, and the weight of each part of the loss.

    The next-code loss spends nearly all its bits on timbre and phase, and a decoder that may trust
    its own history ignores the song. Hence the weights of the notes, and the hidden history.
    """

    drop_source: Fraction = 0.15  # chance that one source of the accompaniment is dropped
    drop_all: Fraction = 0.1  # chance that all are dropped, which guidance needs
    mask_song: MeanShare = 0.1  # mean share of the accompaniment's codes hidden one by one
    mask_tokens: MeanShare = 0.15  # mean share of history tokens hidden one by one
    mask_span: Fraction = 0.5  # chance that a stretch of history is hidden in all streams
    mask_span_seconds: Annotated[float, Range(0.01, 600)] = 4.0  # the longest such stretch
    mask_notes: Fraction = 0.15  # chance that all notes are hidden, as for note guidance
    note_weight: Weight = 4.0  # the mean over the codes of a frame has the weight 1
    encoder_note_weight: Weight = 2.0
    encoder_root_weight: Weight = 1.0  # of the chord's root, where it is known
    encoder_only: bool = False  # train the encoder alone, for a later run's --init-from
    rest_share: Fraction = 0.4  # the largest share of the loss that frames without bass may have
    valid_windows: Annotated[int, Range(1, 100_000)] = 48

    def __post_init__(self) -> None:
        """Raise UserError where the encoder is trained alone, but on nothing."""
        require(
            not self.encoder_only or self.encoder_note_weight + self.encoder_root_weight > 0,
            "'data.encoder_only' needs a weight above 0 for 'data.encoder_note_weight' or "
            "'data.encoder_root_weight'",
        )


@dataclass(frozen=True)
class PriorConfig:
    """Hold the whole configuration of a `train-prior` run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainSettings = field(default_factory=TrainSettings)
    data: DataConfig = field(default_factory=DataConfig)
