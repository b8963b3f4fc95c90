"""What a training of stage 1 costs: counted operations, and hours computed for known GPUs."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from shared.sources import SOURCES
from shared.training.settings import TrainSettings
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage1_vqvae.train import batch_loss

# Peak rates of dense matrix products, in operations per second (NVIDIA's data sheets).
PEAKS = {"A100": {"32-true": 19.5e12, "16": 312e12}, "H100": {"32-true": 67e12, "16": 989e12}}
REACHED = 0.35  # the assumed share of the peak


def operations_per_step(config: VQVAEConfig) -> float:
    """Count the operations of a training step: those of matrix products and convolutions.

    One example is computed forward and backward, on the CPU, and multiplied by the batch size.
    """
    model = VQVAE(config.model)
    length = round(config.remix.segment_seconds * config.model.sample_rate)
    noise = torch.Generator().manual_seed(0)
    selection = torch.zeros(1, len(SOURCES))
    selection[0, 0] = 1
    batch = {
        "stems": 0.1 * torch.randn(1, len(SOURCES), 2, length, generator=noise),
        "presence": torch.ones(1, len(SOURCES)),
        "selection": selection,
    }
    with FlopCounterMode(display=False) as counter:
        batch_loss(model, model, config, batch, 0)["loss"].backward()
    return float(counter.get_total_flops()) * config.train.batch_size


def gpu_hours(operations: float, settings: TrainSettings) -> dict[str, float]:
    """Compute the hours that operations take on one GPU that reaches REACHED of its peak."""
    kind = "32-true" if settings.precision == "32-true" else "16"
    return {name: operations / (REACHED * peaks[kind]) / 3600 for name, peaks in PEAKS.items()}
