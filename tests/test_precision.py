"""Losses in bf16 and on a GPU agree with those in float32 on a CPU, within the stated tolerance."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from shared.device import Device
from shared.training.loop import fit
from shared.training.task import Task
from stage1_vqvae.codec import load_codec
from tests.test_shares import naive_task, prior_task, settings, vqvae_task

BF16, GPU = 5e-3, 1e-3  # relative differences of losses, as docs/reliability.md states them
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

MakeTask = Callable[[Path], Task]
TASKS: dict[str, MakeTask] = {
    "codec": vqvae_task,
    "listener": lambda _: prior_task("listener"),
    "composer": lambda _: prior_task("composer"),
    "performer": lambda _: prior_task("performer"),
    "plain encoder-decoder": lambda _: naive_task(),
}


def losses(
    task: Task,
    run: Path,
    device: Device = "cpu",
    precision: Literal["32-true", "bf16-mixed"] = "32-true",
) -> list[float]:
    """Train for three steps, and return the loss of each."""
    fit(task, replace(settings(), log_every=1, precision=precision), run, device=device)
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize("name", TASKS)
def test_bf16(name: str, stem_folder: Path, tmp_path: Path) -> None:
    exact = losses(TASKS[name](stem_folder), tmp_path / "exact")
    coarse = losses(TASKS[name](stem_folder), tmp_path / "coarse", precision="bf16-mixed")
    assert len(exact) == 3
    assert coarse == pytest.approx(exact, rel=BF16)
    assert coarse != exact  # it is another way of computing


@needs_gpu
@pytest.mark.parametrize("name", TASKS)
def test_losses_on_a_gpu(name: str, stem_folder: Path, tmp_path: Path) -> None:
    cpu = losses(TASKS[name](stem_folder), tmp_path / "cpu")
    gpu = losses(TASKS[name](stem_folder), tmp_path / "gpu", device="cuda")
    assert gpu == pytest.approx(cpu, rel=GPU)


@needs_gpu
def test_codes_and_sounds_on_a_gpu() -> None:
    rng = np.random.default_rng(0)
    audio = (0.1 * rng.standard_normal((2, 3 * 44100))).astype(np.float32)
    cpu, gpu = load_codec(None, "cpu"), load_codec(None, "cuda")
    codes = cpu.encode(audio)
    assert np.mean(gpu.encode(audio) == codes) > 0.99
    sounds = [each.decode(codes, audio.shape[-1], ["bass"]) for each in (cpu, gpu)]
    assert np.abs(sounds[0] - sounds[1]).max() < 1e-3
