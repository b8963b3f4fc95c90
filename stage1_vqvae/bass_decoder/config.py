"""Define the configuration of the bass decoder. Its presets are `compact` and `tiny`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from shared.config import Range
from shared.errors import require
from shared.training.settings import TrainSettings
from stage1_vqvae.config import Depth, ValidationConfig, Weight, Width

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class NetworkConfig:
    """The sizes of the network, and of the sound that it controls."""

    width: Width = 256  # of the blocks at the rate of the codes
    blocks: Depth = 4
    fine_width: Width = 128  # of the blocks at `upsampling` times that rate
    fine_blocks: Depth = 2
    low_width: Width = 192  # of the blocks that write the lows
    low_blocks: Depth = 3
    note_blocks: Depth = 2  # of the head that finds the notes where they are not known
    upsampling: Annotated[int, Range(1, 64)] = 4
    harmonics: Annotated[int, Range(1, 512)] = 128
    noise_bands: Annotated[int, Range(2, 128)] = 48
    kernel: Annotated[int, Range(1, 255)] = 7  # frames that a convolution spans
    expansion: Annotated[int, Range(1, 64)] = 4  # inner width of a block, in units of its width
    layer_scale: Annotated[float, Range(0, 10)] = 0.1

    def __post_init__(self) -> None:
        """Raise UserError for a kernel without a middle."""
        require(self.kernel % 2 == 1, f"'model.kernel' must be odd, not {self.kernel}")

    def node_hop(self, hop: int) -> int:
        """Return the samples between the nodes of a synthesiser, for a codec with this hop.

        Raises:
            UserError: a frame cannot be divided so.
        """
        require(
            hop % self.upsampling == 0,
            f"'model.upsampling' must divide the {hop} samples of a frame, which {self.upsampling} "
            "does not",
        )
        return hop // self.upsampling


@dataclass(frozen=True)
class LossConfig:
    """The weights of the loss terms beside that of the log magnitudes, whose weight is 1."""

    lows: Weight = 1.0  # the errors of the lows: of their waveform and of their log magnitudes
    convergence: Weight = 0.5  # the error of the magnitudes as a share of the target's
    notes: Weight = 0.2  # the cross-entropy of the note head, in nats
    deviation: Weight = 1.0  # the error of the pitch, in semitones


@dataclass(frozen=True)
class DataConfig:
    """Which segments of the songs are trained on."""

    segment_seconds: Annotated[float, Range(0.1, 60)] = 1.5
    redraws: Annotated[int, Range(0, 1000)] = 8  # how often a silent segment is drawn again


@dataclass(frozen=True)
class BassDecoderConfig:
    """Hold the whole configuration of a `train-bass-decoder` run."""

    model: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    train: TrainSettings = field(default_factory=TrainSettings)
