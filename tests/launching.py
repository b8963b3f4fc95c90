"""Run a script in several processes that know each other."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
LONGEST = 900  # seconds


def run_with_torchrun(
    script: Path, *arguments: Any, processes: int = 2
) -> subprocess.CompletedProcess[str]:
    """Run a Python script with torchrun, and wait for it."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [sys.executable, *launch, str(script), *map(str, arguments)],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )


def run_as_srun(script: Path, *arguments: Any, processes: int = 2) -> list[int]:
    """Run a Python script with the variables of a Slurm step, and return the exit codes."""
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        port = listening.getsockname()[1]
    step = {
        "SLURM_STEP_NUM_TASKS": str(processes),
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_JOB_ID": "1",
        "MASTER_PORT": str(port),
    }
    command = [sys.executable, str(script), *map(str, arguments)]
    started = []
    for number in map(str, range(processes)):
        own = {"SLURM_PROCID": number, "SLURM_LOCALID": number}
        started.append(subprocess.Popen(command, env=os.environ | ENVIRONMENT | step | own))
    return [process.wait(timeout=LONGEST) for process in started]
