"""Convert arrays of samples: channels, sample rate, length, level and word size.

Samples are float32 `[channels, samples]` with full scale 1.0.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from shared.sound.sliced import SlicedSamples

Samples = npt.NDArray[np.float32]

BLOCK = 1 << 18  # samples that are worked on at once: 6 s at 44.1 kHz, 2 MiB in stereo

_LARGEST_TERM = 1000  # Between 44.1 kHz and the usual rates of 8 to 192 kHz it is at most 640.


def to_stereo(samples: Samples) -> Samples:
    """Bring 1 to 8 channels `[C, N]` to two `[2, N]`: mono is doubled, surround is mixed down.

    The mix-down has the weights of ITU-R BS.775: centre and rears at -3 dB, no LFE. They are scaled
    so that the result cannot exceed the loudest channel. Three to eight channels are taken in the
    order of WAV files.
    """
    channels = len(samples)
    if channels == 2:
        return samples
    if channels == 1:
        return np.repeat(samples, 2, axis=0)
    weights = np.array([_PLACES[place] for place in _LAYOUTS[channels].split()], np.float32).T
    weights /= weights.sum(axis=1, keepdims=True)
    return weights @ samples


_LAYOUTS = {
    3: "L R C",
    4: "L R Ls Rs",
    5: "L R C Ls Rs",
    6: "L R C LFE Ls Rs",
    7: "L R C LFE Cs Ls Rs",
    8: "L R C LFE Ls Rs Ls Rs",
}
_3DB = 0.5**0.5
_PLACES = {
    "L": (1, 0),
    "R": (0, 1),
    "C": (_3DB, _3DB),
    "LFE": (0, 0),
    "Ls": (_3DB, 0),
    "Rs": (0, _3DB),
    "Cs": (0.5, 0.5),
}


def resample(samples: Samples, original_rate: int, new_rate: int) -> Samples:
    """Resample float32 `[..., N]` to exactly `round(N * new_rate / original_rate)` samples.

    torchaudio's windowed-sinc method does it for the usual rates. Its filter bank grows with the
    product of the two terms of the reduced ratio. Ratios with a large term (44101 : 44100)
    therefore go through scipy's polyphase filter, which grows with their sum.
    """
    if original_rate == new_rate:
        return samples
    length = round(samples.shape[-1] * new_rate / original_rate)
    ratio = Fraction(new_rate, original_rate)
    up, down = ratio.numerator, ratio.denominator
    if max(up, down) <= _LARGEST_TERM:
        import torch

        from shared.sound.torchaudio_guard import torchaudio

        waveform = torch.from_numpy(np.ascontiguousarray(samples))
        resampled = torchaudio.functional.resample(waveform, down, up).numpy()
    else:
        from scipy.signal import resample_poly

        resampled = resample_poly(samples, up, down, axis=-1).astype(np.float32)
    return resampled[..., :length]  # Both methods round the length up.


def resample_to(samples: Samples, original_rate: int, new_rate: int, num_samples: int) -> Samples:
    """Resample `[C, N]` to `num_samples` samples, as resampling there and back must end."""
    return fit_length(resample(samples, original_rate, new_rate), num_samples)


def fit_length(samples: Samples, num_samples: int) -> Samples:
    """Cut `[C, N]` to `num_samples`, or append zeros.

    Resampling to another rate and back may change the length by one sample.
    """
    missing = max(0, num_samples - samples.shape[-1])
    return np.pad(samples[:, :num_samples], ((0, 0), (0, missing)))


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    """Round float samples to int16, where 1.0 is 32768.

    Samples beyond full scale are clipped; they never wrap round.
    """
    scaled = samples * 32768.0
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -32768, 32767, out=scaled).astype(np.int16)


def to_int24(samples: Samples) -> npt.NDArray[np.int32]:
    """Round float samples to 24 bits, where 1.0 is 2^23; they are the upper bits of an int32.

    Samples beyond full scale are clipped; they never wrap round.
    """
    scaled = samples * 8388608.0
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -8388608, 8388607, out=scaled).astype(np.int32) << 8


def rms(samples: "npt.NDArray[np.floating] | SlicedSamples") -> float:
    """Compute the root mean square of samples of any shape, full scale 1.0; 0 for no samples.

    What is no array is read block after block.
    """
    if isinstance(samples, np.ndarray):
        return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if samples.size else 0.0
    starts = range(0, samples.shape[1], BLOCK)
    return rms_of_blocks(samples[:, start : start + BLOCK] for start in starts)


def rms_of_blocks(blocks: Iterable[Samples]) -> float:
    """Compute the root mean square of samples that come block after block, as `rms` does."""
    power, count = 0.0, 0
    for block in blocks:
        power += float(np.square(block, dtype=np.float64).sum())
        count += block.size
    return float(np.sqrt(power / count)) if count else 0.0


def unclipped(samples: Samples) -> tuple[Samples, float]:
    """Scale samples as a whole so that none exceeds full scale.

    Returns the samples and the scale, which is 1 where none exceeded it.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    scale = 1.0 if peak <= 1 else 1 / peak
    return samples * np.float32(scale), scale
