"""Make the optimisers and the moving average of the weights, and set the learning rate."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from shared.training.muon import Muon
from shared.training.settings import TrainSettings

TensorList = tuple[Tensor, ...] | list[Tensor]


def make_optimizers(model: nn.Module, settings: TrainSettings) -> list[torch.optim.Optimizer]:
    """Make Adam or AdamW alone, or AdamW and Muon (Jordan et al., 2024).

    Weight decay spares vectors (biases, norms, scales) and embeddings. Muon takes every matrix,
    except for embeddings and for layers named "head", whose outputs leave the network. AdamW takes
    the rest.
    Muon's steps are scaled to the size of AdamW's, so that one learning rate serves both.
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
        kind(
            [group for group in groups if group["params"]],
            lr=rate,
            betas=settings.betas,
            fused=settings.fused or None,
        )
    ]
    if hidden:
        optimizers.append(Muon(hidden, lr=rate, weight_decay=decay))
    return optimizers


def make_average(model: nn.Module, settings: TrainSettings) -> AveragedModel | None:
    """Make the exponential moving average of the weights, or None where it is off.

    After n updates the decay is (1 + n) / (10 + n), until that reaches its setting. So the random
    start hardly counts in the average of a short run.
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
    """Set the learning rate of a step, counted from 0, in all optimisers, and return it.

    It rises linearly over the warm-up. A cosine also lowers it from the first step on, to a
    hundredth at the end.
    """
    rate = settings.learning_rate * min(1.0, (step + 1) / max(1, settings.warmup_steps))
    if settings.schedule == "cosine":
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rate
