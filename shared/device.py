"""Choose the device to compute on, and the number of threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from shared.errors import UserError
from shared.processes import find_processes

Device = Literal["auto", "cpu", "cuda", "mps"]


def resolve_device(device: str) -> torch.device:
    """Return the torch device of `auto`, `cpu`, `cuda` or `mps`; auto takes the fastest available.

    Raises:
        UserError: the device is unknown, or this machine or this build of torch does not have it.
    """
    available = {  # from the fastest to the slowest
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        device = next(name for name, usable in available.items() if usable)
    if not available.get(device, False):
        raise UserError(f"the device '{device}' is not available here: use --device auto")
    if device == "cuda":  # each process of a machine has a GPU of its own
        return torch.device(device, find_processes().local_rank % torch.cuda.device_count())
    return torch.device(device)


def computes_bf16_fast(device: torch.device) -> bool:
    """Tell whether matrices of bf16 are multiplied at least about as fast as those of float32.

    A recent GPU does so, and a CPU whose instructions oneDNN can use for it. Others take several
    times as long.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # torch has no public name for this; builds without oneDNN do not have it at all.
        return torch.backends.mkldnn.is_available() and bool(
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
    return True


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, and restore the number of its threads afterwards.

    A single step of an autoregressive network is so small that a second thread slows it down.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
