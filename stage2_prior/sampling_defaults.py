"""The settings of sampling that are tuned for a checkpoint and stored in its JSON."""

import math
from dataclasses import dataclass

from shared.errors import require


@dataclass(frozen=True)
class SamplingDefaults:
    """How strongly logits are sharpened, cut off and guided.

    The JSON of a prior's checkpoint holds these values under `sampling`. The values here apply
    where it does not, and are written into the checkpoints of new training runs.

    Attributes:
        temperature: divides the logits of the codes; 0 takes the most probable code.
        note_temperature: divides the logits of the notes; 0 takes the most probable note.
        top_k: keep only the k most probable tokens; 0 keeps all.
        top_p: keep the most probable tokens that together reach this probability.
        min_p: drop tokens that are less probable than this share of the most probable token.
        guidance: how strongly the accompaniment decides the notes. 1 samples from the model's own
            distribution, 0 ignores the accompaniment.
        note_guidance: how strongly the notes decide the codes, on the same scale.

    Raises:
        UserError: a value is out of range.
    """

    temperature: float = 0.7
    note_temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.02
    guidance: float = 3.0
    note_guidance: float = 2.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("temperature", "note_temperature", "guidance", "note_guidance"):
            value = getattr(self, name)
            spoken = name.replace("_", " ")
            require(
                value >= 0 and math.isfinite(value),
                f"the {spoken} is {value}, but it must be a finite number of at least 0",
            )
        require(self.top_k >= 0, f"top-k is {self.top_k}, but it must be at least 0 (0 keeps all)")
        require(0 < self.top_p <= 1, f"top-p is {self.top_p}, but it must be in (0, 1]")
        require(0 <= self.min_p < 1, f"min-p is {self.min_p}, but it must be in [0, 1)")
