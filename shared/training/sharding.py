"""Divide a model in training among its processes, with torch's FSDP.

Each process holds an equal part of every weight, of its average, of its gradient and of its
moments. While a block of the network computes, its weights are whole in every process; then all but
the own parts are dropped. Files hold whole tensors, so that they do not tell whether a run was
divided: `gather` brings the parts together, and `part_like` divides.
"""

import copy
import warnings
from collections.abc import Iterator, Mapping

import torch
from lightning_fabric.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from shared.processes import find_processes

_LISTS = (nn.ModuleList, nn.Sequential)


def sharding_strategy() -> ModelParallelStrategy:
    """Return the strategy with which Fabric runs a model that is divided already.

    Fabric would divide it after the optimisers are made, which must know the parts.
    """
    return ModelParallelStrategy(
        lambda model, mesh: model,
        data_parallel_size=find_processes().world,
        tensor_parallel_size=1,
    )


def sharded(model: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of a model that is divided among all processes and is on the device.

    What stands in a list of modules, such as the blocks of a network, is gathered by itself, and
    the rest together.
    """
    # It warns of outputs that are views, which are harmless unless they are changed in place.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module")
    model = copy.deepcopy(model)
    mesh = init_device_mesh(device.type, (find_processes().world,))
    for block in (*_blocks(model), model):
        fully_shard(block, mesh=mesh)
    return model


def whole_of(tensor: Tensor) -> Tensor:
    """Return a tensor whole. Where it is divided, all processes must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors, whole, into the main memory of the first process; the others get none.

    All processes must call this where some are divided.
    """
    first = find_processes().rank == 0
    found = {}
    for name, tensor in tensors.items():
        # One after the other, so that a device holds a single one whole.
        whole = whole_of(tensor)
        if first:
            found[name] = whole.detach().cpu().clone().contiguous()
    return found


def part_like(whole: Tensor, like: Tensor) -> Tensor:
    """Divide a tensor, which every process has, as `like` is divided, if it is.

    A file of an older version may hold a number where a weight now is a vector of one.
    """
    if whole.ndim == 0:
        whole = whole.reshape(like.shape)
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(
        whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Find the outermost modules that stand in a list and have weights."""
    for child in module.children():
        if isinstance(module, _LISTS) and not isinstance(child, _LISTS):
            if any(True for _ in child.parameters()):
                yield child
        else:
            yield from _blocks(child)
