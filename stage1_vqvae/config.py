"""The configuration of stage 1. Presets: `paper`, `compact`, `tiny`."""

from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import require
from shared.training.settings import TrainSettings

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; every width and depth is our choice, the paper gives none."""

    sample_rate: int = 44100
    hop: int = 1024  # samples between frames; the window is twice as long
    codebooks: int = 8  # H, per source
    entries: int = 64  # m
    code_size: int = 16
    shared_codebooks: bool = False
    tied_logits: bool = False  # how near a point is to each entry, instead of the encoder's own
    encoder_width: int = 256
    encoder_blocks: int = 4
    decoder_width: int = 384
    decoder_blocks: int = 5
    kernel: int = 7
    expansion: int = 4
    layer_scale: float = 0.1

    def __post_init__(self) -> None:
        for name in ("codebooks", "code_size", "encoder_width"):
            require(getattr(self, name) >= 1, f"'model.{name}' must be at least 1")
        # The encoder tells frequencies below 3.45 kHz from those above: both must hold some bins.
        require(8000 <= self.sample_rate <= 192000, "'model.sample_rate' must be in 8000..192000")
        require(self.hop >= 16, "'model.hop' must be at least 16")
        require(2 <= self.entries <= 65536, "'model.entries' must be in 2..65536")
        require(self.kernel % 2 == 1, "'model.kernel' must be odd")


@dataclass(frozen=True)
class QuantizerSchedule:
    """How temperature and noise move over training; positions are fractions of all steps."""

    temperature_start: float = 1.0
    temperature_end: float = 0.3
    temperature_until: float = 0.6
    noise_full_at: float = 0.5  # noise grows from 0 to 1 until here; 0 = full from the start
    hard_from: float = 0.85  # straight-through from here on; 1 = never

    def __post_init__(self) -> None:
        require(self.temperature_end > 0, "'quantizer.temperature_end' must be above 0")
        for name in ("temperature_until", "noise_full_at", "hard_from"):
            require(0 <= getattr(self, name) <= 1, f"'quantizer.{name}' must be in [0, 1]")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss terms; 0 switches a term off. The paper has the first two, with the complement."""

    waveform: float = 1.0
    stft: float = 1.0
    snr: float = 0.0
    magnitude: float = 0.0
    usage: float = 0.0
    complement: bool = True


@dataclass(frozen=True)
class RemixConfig:
    """How training mixtures are made of stems."""

    segment_seconds: float = 1.5
    coherent: float = 0.5  # share of examples whose sources come from one moment of one song
    absent: float = 0.08  # chance of each source to be missing (the presence mask C)
    single_source: float = 0.25  # share of selections of one source; otherwise each source with 1/2
    gain_low_db: float = -6.0
    gain_high_db: float = 4.0
    flip: bool = True  # random polarity and swapped channels

    def __post_init__(self) -> None:
        require(self.segment_seconds > 0, "'remix.segment_seconds' must be above 0")
        for name in ("coherent", "absent", "single_source"):
            require(0 <= getattr(self, name) <= 1, f"'remix.{name}' must be in [0, 1]")
        require(self.gain_low_db <= self.gain_high_db, "'remix.gain_low_db' is above gain_high_db")


@dataclass(frozen=True)
class ValidationConfig:
    """What is measured while training."""

    songs: int = 16
    seconds: float = 10.0


@dataclass(frozen=True)
class VQVAEConfig:
    """All of stage 1."""

    model: ModelConfig = field(default_factory=ModelConfig)
    quantizer: QuantizerSchedule = field(default_factory=QuantizerSchedule)
    loss: LossConfig = field(default_factory=LossConfig)
    remix: RemixConfig = field(default_factory=RemixConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    train: TrainSettings = field(default_factory=TrainSettings)
