"""Measure the Frechet distance between sets of sounds, with an embedding that needs no training.

The embedding of a second of audio is its mean log-mel spectrum: 32 bands up to 8 kHz, in dB, at
most 80 dB below the loudest band of the clip. It measures timbre and register, not music. Frechet
distances with other embeddings are not comparable, so reports name this one.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

EMBEDDING = "mean log-mel spectrum of each second, 32 bands to 8 kHz"
BANDS = 32
RANGE_DB = 80.0


def embed(audio: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float64]:
    """Return an embedding for each whole second of audio `[C, N]`, as `[seconds, BANDS]`."""
    from shared.sound.librosa_guard import librosa

    mel = librosa.feature.melspectrogram(
        y=audio.mean(0), sr=sample_rate, n_fft=4096, hop_length=2048, n_mels=BANDS, fmax=8000.0
    )
    decibels = librosa.power_to_db(mel, ref=1.0, amin=1e-12, top_db=RANGE_DB)
    per_second = sample_rate // 2048
    seconds = decibels.shape[1] // per_second
    return decibels[:, : seconds * per_second].reshape(BANDS, seconds, per_second).mean(2).T


def frechet_distance(
    first: Sequence[npt.NDArray[np.float64]], second: Sequence[npt.NDArray[np.float64]]
) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2), of means m and covariances C.

    Args:
        first: embeddings, each `[n, D]`. They are pooled.
        second: other embeddings.

    Returns:
        The distance; nan where a set has fewer than two embeddings.
    """
    a, b = np.concatenate(first), np.concatenate(second)
    if min(len(a), len(b)) < 2:
        return float("nan")
    covariance_a, covariance_b = np.cov(a.T), np.cov(b.T)
    # The eigenvalues of the product are real and not negative, apart from rounding errors.
    roots = np.sqrt(np.linalg.eigvals(covariance_a @ covariance_b).astype(complex)).real.sum()
    trace = np.trace(covariance_a) + np.trace(covariance_b) - 2 * roots
    return float(np.square(a.mean(0) - b.mean(0)).sum() + max(0.0, trace))
