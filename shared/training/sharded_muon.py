"""Muon for matrices that are divided among processes (shared/training/sharding.py)."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from shared.training.sharding import part_like

_ORTHOGONALISING = ("lr", "eps", "ns_coefficients", "ns_steps", "adjust_lr_fn")


class ShardedMuon(torch.optim.Muon):
    """Takes the steps of `torch.optim.Muon`, each process those of its parts.

    Only to make the direction of a step orthogonal, a whole matrix is needed. One after the other,
    the directions are gathered for it, and every process computes the same.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take a step."""
        for group in self.param_groups:
            for weight in group["params"]:
                gradient = weight.grad
                if gradient is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(gradient)
                mean = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
                direction = gradient.lerp(mean, group["momentum"]) if group["nesterov"] else mean
                step = _orthogonal_step(cast(DTensor, direction).full_tensor(), group)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(part_like(step, weight))


def _orthogonal_step(direction: Tensor, group: dict[str, Any]) -> Tensor:
    """Return how torch's Muon without momentum changes a matrix in this direction."""
    step = nn.Parameter(torch.zeros_like(direction))
    step.grad = direction
    options = {name: group[name] for name in _ORTHOGONALISING}
    torch.optim.Muon([step], momentum=0, nesterov=False, weight_decay=0, **options).step()
    return step.detach()
