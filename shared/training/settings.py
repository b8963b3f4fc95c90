"""The settings that every training run has, whichever stage is trained."""

from dataclasses import dataclass
from typing import Literal

from shared.errors import require

CHANGE_NO_WEIGHTS = ("train.workers", "train.log_every")  # so a resumed run may change them


@dataclass(frozen=True)
class TrainSettings:
    """How long and how to optimise; the loss and the data are the task's."""

    steps: int = 1000
    batch_size: int = 8  # over all processes
    optimizer: Literal["adam", "adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    grad_clip: float = 1.0  # 0 = off
    ema_decay: float = 0.999  # 0 = off
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    log_every: int = 20
    validate_every: int = 500
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        require(self.steps >= 1, "'train.steps' must be at least 1")
        require(self.batch_size >= 1, "'train.batch_size' must be at least 1")
        require(self.learning_rate > 0, "'train.learning_rate' must be above 0")
        require(
            not (self.optimizer == "muon" and self.precision == "16-mixed"),
            # Its gradient scaler serves one optimizer only.
            "'train.optimizer=muon' cannot train in 16-mixed: set 'train.precision=bf16-mixed'",
        )
        require(0 <= self.ema_decay < 1, "'train.ema_decay' must be in [0, 1)")
        require(self.log_every >= 1, "'train.log_every' must be at least 1")
        require(self.validate_every >= 1, "'train.validate_every' must be at least 1")
        require(self.workers >= 1, "'train.workers' must be at least 1")
