"""The log-ratio of error to signal, bounded so that no example outweighs all others."""

import torch
from torch import Tensor

SNR_FLOOR = 0.001  # errors more than 30 dB below the signal count as 30 dB below it
# Mean square, -35 dBFS. With a smaller value, silent targets outweigh all others.
SNR_SILENCE = 3e-4


def log_ratio(error: Tensor, signal: Tensor) -> Tensor:
    """Average the log10 of the ratios of mean squares, of any shape.

    The result is bounded below at -3 (30 dB), and for silent signals by SNR_SILENCE.
    """
    ratio = (error + SNR_FLOOR * signal + SNR_SILENCE) / (signal + SNR_SILENCE)
    return torch.log10(ratio).mean()
