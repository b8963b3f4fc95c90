"""Define the settings that every training run has, whichever stage it trains."""

from dataclasses import dataclass
from typing import Annotated, Literal

from shared.config import Range
from shared.errors import require

Count = Annotated[int, Range(1, 10**9)]
Decay = Annotated[float, Range(0, 0.99999)]

MAY_CHANGE = frozenset(
    f"train.{name}"
    for name in (
        "workers",
        "sharded",
        "log_every",
        "patience",
        "keep_every",
        "keep_last",
        "tensorboard",
    )
)
"""Settings that a resumed run may change, because they do not change the weights of a step."""


@dataclass(frozen=True)
class TrainSettings:
    """How long a run trains and how it optimises; the loss and the data are the task's."""

    steps: Count = 1000
    batch_size: Annotated[int, Range(1, 65536)] = 8  # summed over all processes
    accumulate: Annotated[int, Range(1, 65536)] = 1  # parts of a batch, one computed after another
    optimizer: Literal["adam", "adamw", "muon"] = "adamw"
    learning_rate: Annotated[float, Range(1e-9, 10)] = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: Annotated[int, Range(0, 10**9)] = 100
    weight_decay: Annotated[float, Range(0, 10)] = 0.01
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    grad_clip: Annotated[float, Range(0, 1e6)] = 1.0  # largest norm of the gradient; 0 = off
    ema_decay: Decay = 0.999  # of the moving average of the weights; 0 = off
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    fused: bool = False  # Adam and AdamW in one kernel for all weights
    sharded: bool = False  # weights, gradients and moments are divided among the processes
    log_every: Count = 20
    validate_every: Count = 500
    patience: Annotated[int, Range(0, 10**9)] = 0  # validations without a better score; 0 = off
    keep_every: Annotated[int, Range(0, 10**9)] = 0  # steps between weights to keep; 0 = off
    keep_last: Annotated[int, Range(0, 10**9)] = 3  # of the weights to keep; 0 = all
    tensorboard: bool = False
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    workers: Annotated[int, Range(1, 256)] = 1  # threads that prepare batches

    def __post_init__(self) -> None:
        """Raise UserError where two settings do not go together."""
        require(
            not (self.optimizer == "muon" and self.precision == "16-mixed"),
            # The gradient scaler of 16-bit training serves one optimiser only.
            "'train.optimizer=muon' cannot train in 16-mixed: set 'train.precision=bf16-mixed'",
        )
        require(
            not (self.fused and self.precision == "16-mixed"),
            # A fused optimiser takes the scale off the gradients itself, after they are clipped.
            "'train.fused=true' cannot train in 16-mixed: set 'train.precision=bf16-mixed'",
        )
        require(
            not (self.sharded and self.precision == "16-mixed"),
            "'train.sharded=true' cannot train in 16-mixed: set 'train.precision=bf16-mixed'",
        )
        require(
            not (self.sharded and self.compile),
            "'train.sharded=true' and 'train.compile=true' do not go together: leave one out",
        )
