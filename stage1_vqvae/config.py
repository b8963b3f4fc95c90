"""Define the configuration of stage 1. Its presets are `paper`, `compact` and `tiny`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from shared.config import Fraction, Range
from shared.errors import require
from shared.training.settings import TrainSettings

PRESETS = Path(__file__).parent / "presets"

Width = Annotated[int, Range(1, 8192)]
Depth = Annotated[int, Range(0, 64)]
Temperature = Annotated[float, Range(0.01, 100)]
Weight = Annotated[float, Range(0, 1000)]
Decibels = Annotated[float, Range(-60, 60)]


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of the network. Each is our choice, because the paper gives none."""

    # The encoder separates frequencies below 3.45 kHz from those above: both need some bins.
    sample_rate: Annotated[int, Range(8000, 192000)] = 44100
    hop: Annotated[int, Range(16, 4096)] = 1024  # samples between frames; windows are twice as long
    codebooks: Annotated[int, Range(1, 64)] = 8  # H, per source
    entries: Annotated[int, Range(2, 65536)] = 64  # m, per codebook
    code_size: Annotated[int, Range(1, 1024)] = 16
    shared_codebooks: bool = False  # between the sources
    tied_logits: bool = False  # logits are the distances of a point to the entries
    encoder_width: Width = 256
    encoder_blocks: Depth = 4
    bass_blocks: Depth = 0  # blocks of the encoder that only the bass's codes are read from
    decoder_width: Width = 384
    decoder_blocks: Depth = 5
    kernel: Annotated[int, Range(1, 255)] = 7  # frames that a convolution spans
    expansion: Annotated[int, Range(1, 64)] = 4  # inner width of a block, in units of its width
    layer_scale: Annotated[float, Range(0, 10)] = 0.1
    long_window: bool = False  # the encoder also reads magnitudes in a window of 8 hops
    mask_head: bool = False  # the encoder also gives masks for the mixture
    mask_blocks: Depth = 0  # blocks of the mask head by itself, on the encoder's hidden state
    pitch_head: bool = False  # a linear head reads pitches from the codes' vectors in training
    level_head: bool = False  # a small network reads levels from them in training

    def __post_init__(self) -> None:
        """Raise UserError for a kernel without a middle."""
        require(self.kernel % 2 == 1, f"'model.kernel' must be odd, not {self.kernel}")


@dataclass(frozen=True)
class QuantizerSchedule:
    """How temperature and noise change over training, at fractions of all steps."""

    temperature_start: Temperature = 1.0
    temperature_end: Temperature = 0.3
    temperature_until: Fraction = 0.6
    noise_full_at: Fraction = 0.5  # noise grows from 0 to 1 until here; 0 = full from the start
    hard_from: Fraction = 0.85  # straight-through from here on; 1 = never


@dataclass(frozen=True)
class LossConfig:
    """The weights of the loss terms; 0 switches a term off.

    The paper has the first two terms, on the selection and on its complement.
    """

    waveform: Weight = 1.0
    stft: Weight = 1.0
    snr: Weight = 0.0
    magnitude: Weight = 0.0
    usage: Weight = 0.0
    mask: Weight = 0.0  # needs model.mask_head
    pitch: Weight = 0.0  # needs model.pitch_head
    level: Weight = 0.0  # needs model.level_head
    complement: bool = True

    @property
    def compares_sound(self) -> bool:
        """Tell whether any term compares the decoded sound with its target.

        Without such a term the decoder learns nothing, and the codes hold no sound.
        """
        return any((self.waveform, self.stft, self.snr, self.magnitude))


@dataclass(frozen=True)
class RemixConfig:
    """How training mixtures are made of stems."""

    segment_seconds: Annotated[float, Range(0.1, 60)] = 1.5
    coherent: Fraction = 0.5  # share of examples whose sources come from one moment of one song
    absent: Fraction = 0.08  # chance of each source to be missing (the presence mask C)
    alone: Fraction = 0.0  # share of mixtures that hold one source only
    single_source: Fraction = 0.25  # share of selections of one source; else each source with 1/2
    gain_low_db: Decibels = -6.0
    gain_high_db: Decibels = 4.0
    flip: bool = True  # random polarity and swapped channels
    equalised: Fraction = 0.0  # chance of each stem to have its colour changed by an equaliser
    equaliser_db: Annotated[float, Range(0, 24)] = 6.0  # its gains are between minus and plus this

    def __post_init__(self) -> None:
        """Raise UserError for an empty range of gains."""
        require(
            self.gain_low_db <= self.gain_high_db,
            "'remix.gain_low_db' must not be above 'remix.gain_high_db'",
        )


@dataclass(frozen=True)
class ValidationConfig:
    """What is measured while training."""

    songs: Annotated[int, Range(1, 100_000)] = 16  # at most
    seconds: Annotated[float, Range(1, 3600)] = 10.0  # from the middle of each song


@dataclass(frozen=True)
class VQVAEConfig:
    """Hold the whole configuration of a `train-vqvae` run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    quantizer: QuantizerSchedule = field(default_factory=QuantizerSchedule)
    loss: LossConfig = field(default_factory=LossConfig)
    remix: RemixConfig = field(default_factory=RemixConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    train: TrainSettings = field(default_factory=TrainSettings)
    freeze_codes: bool = False  # keep encoder and codebooks, and with them all codes, as they are
    relearn_bass: bool = False  # with freeze_codes: learn the bass's codes anew (bass_blocks)

    @property
    def keeps_all_codes(self) -> bool:
        """Whether no source gets other codes."""
        return self.freeze_codes and not self.relearn_bass

    @property
    def masks_alone(self) -> bool:
        """Whether the mask head is all that learns, so that nothing need be decoded."""
        return self.keeps_all_codes and self.loss.mask > 0 and not self.loss.compares_sound

    def __post_init__(self) -> None:
        """Raise UserError for a loss of a head that the model lacks, or that only moves codes."""
        for head in ("mask", "pitch", "level"):
            require(
                getattr(self.loss, head) == 0 or getattr(self.model, f"{head}_head"),
                f"'loss.{head}' needs 'model.{head}_head=true'",
            )
        require(
            not self.relearn_bass or (self.freeze_codes and self.model.bass_blocks > 0),
            "'relearn_bass=true' needs 'freeze_codes=true' and a 'model.bass_blocks' above 0",
        )
        for term in ("usage", "pitch", "level"):
            require(
                not self.keeps_all_codes or getattr(self.loss, term) == 0,
                f"'freeze_codes=true' leaves 'loss.{term}' nothing to train: set it to 0",
            )
