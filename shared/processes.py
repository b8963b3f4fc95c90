"""The processes that share a job, as `torchrun` or Slurm's `srun` started them."""

import os
import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor

from shared.errors import UserError

A = TypeVar("A")
B = TypeVar("B")

AT_ONCE = 8  # items of each process, after which the processes exchange their results
FIRST_PORT, PORTS = 12000, 20000  # by the number of the Slurm job, the port for a first meeting
_LONGEST_WAIT = timedelta(days=365)


@dataclass(frozen=True)
class Processes:
    """This process among all that share a job.

    Attributes:
        rank: its number, from 0 on.
        world: how many there are.
        local_rank: its number on this machine.
        local_world: how many there are on this machine.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1


def find_processes(environment: MutableMapping[str, str] | None = None) -> Processes:
    """Read the variables of `torchrun`, or else those of a Slurm job step.

    Slurm's are translated into torchrun's, which torch.distributed reads.

    Args:
        environment: the variables; those of this process by default.

    Raises:
        UserError: they cannot be read.
    """
    variables = os.environ if environment is None else environment
    if "WORLD_SIZE" not in variables and int(variables.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        variables.update(_translated(variables))
    try:
        world = int(variables.get("WORLD_SIZE", "1"))
        return Processes(
            rank=int(variables.get("RANK", "0")),
            world=world,
            local_rank=int(variables.get("LOCAL_RANK", "0")),
            local_world=int(variables.get("LOCAL_WORLD_SIZE", world)),
        )
    except ValueError as error:
        raise UserError(
            f"RANK, WORLD_SIZE, LOCAL_RANK or LOCAL_WORLD_SIZE is no number ({error}): unset them, "
            "or start the command with torchrun"
        ) from error


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes, without gradient; all must call this."""
    if not _know_each_other():
        return value.detach()
    total = value.detach().clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def wait_for_all(processes: Processes) -> None:
    """Wait until all processes that torchrun started have come here.

    torchrun ends all processes as soon as one of them has failed, so that one whose work failed in
    part must not end before the others are done.
    """
    if processes.world > 1 and torch.distributed.is_torchelastic_launched():
        torch.distributed.init_process_group("gloo", timeout=_LONGEST_WAIT)
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def shared_map(function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
    """Yield the function's results for all items in order; each process computes its share of them.

    All processes must call this, and all receive all results, which must be picklable.

    Raises:
        UserError: the function raised it for an item, in any of the processes.
    """
    if not _know_each_other():
        yield from map(function, items)
        return
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    # Some items at a time, so that what is sent stays small and nobody waits for long.
    for first in range(0, len(items), world * AT_ONCE):
        together = items[first : first + world * AT_ONCE]
        shares: list[list[B] | UserError] = [[]] * world
        shares[rank] = _results(function, together[rank::world])
        torch.distributed.all_gather_object(shares, shares[rank])
        found: list[list[B]] = []
        for share in shares:
            if isinstance(share, UserError):
                raise share
            found.append(share)
        yield from (found[index % world][index // world] for index in range(len(together)))


def _results(function: Callable[[A], B], items: Sequence[A]) -> list[B] | UserError:
    """Compute the results, or return the error, which all processes must learn of."""
    try:
        return [function(item) for item in items]
    except UserError as error:
        return error


def _know_each_other() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _translated(slurm: MutableMapping[str, str]) -> dict[str, str]:
    """Translate the variables of a Slurm job step into those of torchrun."""
    try:
        world, machines = int(slurm["SLURM_STEP_NUM_TASKS"]), int(slurm["SLURM_STEP_NUM_NODES"])
        if world % machines:
            raise UserError(
                f"{world} Slurm tasks are not equally many on {machines} machines: give "
                "--ntasks-per-node"
            )
        return {
            "RANK": slurm["SLURM_PROCID"],
            "WORLD_SIZE": str(world),
            "LOCAL_RANK": slurm["SLURM_LOCALID"],
            "LOCAL_WORLD_SIZE": str(world // machines),
            "GROUP_RANK": slurm.get("SLURM_NODEID", "0"),
            "MASTER_ADDR": slurm.get("MASTER_ADDR") or _first_host(slurm["SLURM_STEP_NODELIST"]),
            "MASTER_PORT": slurm.get("MASTER_PORT")
            or str(FIRST_PORT + int(slurm["SLURM_JOB_ID"]) % PORTS),
        }
    except (KeyError, ValueError) as error:
        raise UserError(
            f"the variables of the Slurm step cannot be read ({error}): start the processes with "
            "srun, or with torchrun"
        ) from error


def _first_host(hosts: str) -> str:
    """Return the first of several hosts as Slurm writes them: "a[03-05,9],b" gives "a03"."""
    first = re.match(r"([^\[,]+)(?:\[(\w+))?", hosts)
    if first is None:
        raise ValueError(f"'{hosts}' names no host")
    return first[1] + (first[2] or "")
