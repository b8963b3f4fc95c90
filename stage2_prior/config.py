"""Settings of the prior: what it is, how it is trained, what it is fed."""

from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import require
from shared.training.settings import TrainSettings

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class ModelConfig:
    """Size and layout of the Transformer."""

    dim: int = 256
    heads: int = 4
    encoder_depth: int = 4
    decoder_depth: int = 6
    feedforward: int = 3  # inner width of a feed-forward layer, in units of `dim`
    dropout: float = 0.1
    embedding_dropout: float = 0.15  # on the encoder's input, against learning songs by heart
    window_seconds: float = 12.0  # the longest stretch of music read at once
    delays: tuple[int, ...] = ()  # per stream, note first; empty: 0, then two codebooks a step

    def __post_init__(self) -> None:
        for name in ("dim", "heads", "encoder_depth", "decoder_depth", "feedforward"):
            require(getattr(self, name) >= 1, f"'model.{name}' must be at least 1")
        require(self.dim % self.heads == 0, "'model.dim' must be a multiple of 'model.heads'")
        require(
            self.dim // self.heads % 4 == 0, "'model.dim' / 'model.heads' must be a multiple of 4"
        )
        for name in ("dropout", "embedding_dropout"):
            require(0 <= getattr(self, name) < 1, f"'model.{name}' must be in [0, 1)")
        require(self.window_seconds > 0, "'model.window_seconds' must be above 0")


@dataclass(frozen=True)
class DataConfig:
    """What is hidden from the model in training, and what each part of the loss weighs.

    The next-code loss spends nearly all its bits on timbre and phase, and a decoder that may trust
    its own history ignores the song. Hence the weights of the notes, and the hidden history.
    """

    drop_source: float = 0.15  # chance that one source of the accompaniment is dropped
    drop_all: float = 0.1  # chance that all are: the unconditional half of guidance
    mask_song: float = 0.1  # mean share of the accompaniment's codes hidden one by one
    mask_tokens: float = 0.15  # mean share of history tokens hidden one by one
    mask_span: float = 0.5  # chance that a stretch of history is hidden in all streams
    mask_span_seconds: float = 4.0  # the longest such stretch
    mask_notes: float = 0.15  # chance that all notes are hidden, as for note guidance
    note_weight: float = 4.0  # against 1 for the mean over the codes of a frame
    encoder_note_weight: float = 2.0
    encoder_root_weight: float = 1.0  # the chord's root, where it is known
    encoder_only: bool = False  # train the encoder alone: a start for a whole run's --init-from
    rest_share: float = 0.4  # the most that frames without bass may take of the loss
    valid_windows: int = 48

    def __post_init__(self) -> None:
        for name in ("drop_source", "drop_all", "mask_span", "mask_notes", "rest_share"):
            require(0 <= getattr(self, name) <= 1, f"'data.{name}' must be in [0, 1]")
        for name in ("mask_song", "mask_tokens"):
            require(0 <= getattr(self, name) <= 0.5, f"'data.{name}' must be in [0, 0.5]")
        require(self.mask_span_seconds > 0, "'data.mask_span_seconds' must be above 0")
        require(self.note_weight >= 0, "'data.note_weight' must not be negative")
        for name in ("encoder_note_weight", "encoder_root_weight"):
            require(getattr(self, name) >= 0, f"'data.{name}' must not be negative")
        require(self.valid_windows >= 1, "'data.valid_windows' must be at least 1")


@dataclass(frozen=True)
class PriorConfig:
    """The whole configuration of a `train-prior` run; presets lie in `PRESETS`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainSettings = field(default_factory=TrainSettings)
    data: DataConfig = field(default_factory=DataConfig)
