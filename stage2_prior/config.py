"""Define the configuration of stage 2: the networks of the prior, and how each is trained."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from shared.config import Range
from shared.errors import require
from stage2_prior.composer.network import ComposerConfig
from stage2_prior.composer.task import ComposerTraining
from stage2_prior.listener.network import ListenerConfig
from stage2_prior.listener.task import ListenerTraining
from stage2_prior.performer.network import PerformerConfig
from stage2_prior.performer.task import PerformerTraining

PRESETS = Path(__file__).parent / "presets"

Part = Literal["listener", "composer", "performer"]
PARTS: tuple[Part, ...] = ("listener", "composer", "performer")


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of the three networks of the prior."""

    listener: ListenerConfig = field(default_factory=ListenerConfig)
    composer: ComposerConfig = field(default_factory=ComposerConfig)
    performer: PerformerConfig = field(default_factory=PerformerConfig)


@dataclass(frozen=True)
class PriorConfig:
    """Hold the whole configuration of a `train-prior` run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    # What is trained, in the order of PARTS. The others keep the weights of --init-from.
    parts: tuple[Part, ...] = PARTS
    hearings: Annotated[int, Range(1, 64)] = 2  # how often the listener hears a training song
    listener: ListenerTraining = field(default_factory=ListenerTraining)
    composer: ComposerTraining = field(default_factory=ComposerTraining)
    performer: PerformerTraining = field(default_factory=PerformerTraining)

    def __post_init__(self) -> None:
        """Raise UserError where nothing is trained."""
        require(bool(self.parts), f"'parts' must name at least one of {', '.join(PARTS)}")
