"""Muon (Jordan et al., 2024), also for matrices that are divided among processes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from shared.device import computes_bf16_fast
from shared.training.sharding import part_like, whole_of


class Muon(torch.optim.Muon):
    """Takes the steps of `torch.optim.Muon`, in float32 where bf16 is slow.

    torch makes the direction of a step orthogonal in bf16. Most laptops multiply bf16 matrices
    several times more slowly than those of float32, and a step of a small batch then takes longer
    than its gradient.

    Where matrices are divided among processes (sharding.py), each process takes the steps of its
    parts. A direction has to be whole to be made orthogonal. The directions are therefore gathered
    one after the other, and every process computes the same. All processes must have processors of
    one kind.

    Args:
        params: the matrices.
        **settings: those of `torch.optim.Muon`. A step has the size of one of AdamW's.
    """

    def __init__(self, params: Any, **settings: Any) -> None:
        """Make an optimiser of matrices."""
        super().__init__(params, **settings, adjust_lr_fn="match_rms_adamw")

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
                whole = whole_of(direction)
                if computes_bf16_fast(whole.device):
                    whole = whole.bfloat16()
                step = orthogonalised(
                    whole, group["ns_coefficients"], group["ns_steps"], group["eps"]
                )
                rate = group["lr"] * 0.2 * max(whole.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(part_like(step.to(weight.dtype), weight), alpha=-rate)


def orthogonalised(
    matrix: Tensor, coefficients: tuple[float, float, float], iterations: int, eps: float
) -> Tensor:
    """Bring all singular values of a matrix near 1 by the Newton-Schulz iterations of Muon.

    Args:
        matrix: `[m, n]`.
        coefficients: of the polynomial of singular values that is applied in each iteration: those
            of the first, the third and the fifth power.
        iterations: how often it is applied.
        eps: the least norm by which the matrix is divided first.

    Returns:
        `[m, n]`, computed in the matrix's own precision.
    """
    first, third, fifth = coefficients
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp(min=eps)
    for _ in range(iterations):
        gram = wide @ wide.T
        factor = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        wide = torch.addmm(wide, factor, wide, beta=first)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
