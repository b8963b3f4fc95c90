"""Choose the device to compute on."""

from typing import Literal

import torch

from shared.errors import UserError

Device = Literal["auto", "cpu", "cuda", "mps"]


def resolve_device(device: str) -> torch.device:
    """The torch device of `auto`, `cpu`, `cuda` or `mps`; auto takes the fastest that is there.

    Raises:
        UserError: an unknown device, or one that this machine or this build of torch lacks.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        device = next(name for name, available in there.items() if available)
    if not there.get(device, False):
        raise UserError(f"the device '{device}' is not available here: use --device auto")
    return torch.device(device)
