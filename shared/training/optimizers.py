"""Optimisers, the moving average of the weights, and the learning rate schedule."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from shared.training.settings import TrainSettings

TensorList = tuple[Tensor, ...] | list[Tensor]


def make_optimizers(model: nn.Module, settings: TrainSettings) -> list[torch.optim.Optimizer]:
    """Adam or AdamW alone, or Muon (Jordan et al., 2024) beside an AdamW.

    Weight decay spares vectors (biases, norms, scales) and embeddings. Muon takes the matrices but
    embeddings and layers named "head", whose outputs leave the network; its steps are scaled to
    the size of AdamW's, so that one learning rate serves both. `grad_clip` holds for each apart.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    hidden: list[nn.Parameter] = []
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or id(parameter) in embeddings:
            spared.append(parameter)
        elif settings.optimizer == "muon" and parameter.ndim == 2 and "head.weight" not in name:
            hidden.append(parameter)
        else:
            decayed.append(parameter)
    rate, decay = settings.learning_rate, settings.weight_decay
    groups = [
        {"params": decayed, "weight_decay": decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    optimizers: list[torch.optim.Optimizer] = [
        kind([g for g in groups if g["params"]], lr=rate, betas=settings.betas)
    ]
    if hidden:
        optimizers.append(
            torch.optim.Muon(hidden, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers


def make_average(model: nn.Module, settings: TrainSettings) -> AveragedModel | None:
    """The exponential moving average of the weights, or None where it is off.

    The decay grows with the steps as (1 + n) / (10 + n) up to its setting, so that a short run is not an
    average of its random start.
    """
    if settings.ema_decay == 0:
        return None

    def update(averaged: TensorList, current: TensorList, count: Tensor | int) -> None:
        number = int(count)
        decay = min(settings.ema_decay, (1 + number) / (10 + number))
        torch._foreach_lerp_(averaged, current, 1 - decay)

    return AveragedModel(model, multi_avg_fn=update)


def set_learning_rate(
    optimizers: Sequence[torch.optim.Optimizer], settings: TrainSettings, step: int
) -> float:
    """Linear warm-up, then constant or a cosine down to a hundredth; returns the rate of this step."""
    rate = settings.learning_rate * min(1.0, (step + 1) / max(1, settings.warmup_steps))
    if settings.schedule == "cosine":
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rate
