"""Arrays of samples: their level, and conversions of channels, sample rate, length and word size.

Samples are float32 `[channels, samples]` with full scale 1.0.
"""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_LARGEST_BANK = 1000  # ratio terms; 8, 11.025 ... 192 kHz to 44.1 kHz have at most 640


def to_stereo(samples: np.ndarray) -> np.ndarray:
    """Bring 1-8 channels `[C, N]` to two `[2, N]`: mono is doubled, surround is mixed down.

    The mix-down has ITU-R BS.775's weights (centre and rears at -3 dB, no LFE), scaled so that it
    cannot exceed the loudest channel. Three to eight channels are taken in WAV order.
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


def resample(samples: np.ndarray, original_rate: int, new_rate: int) -> np.ndarray:
    """Resample float32 `[..., N]` to exactly `round(N * new_rate / original_rate)` samples.

    torchaudio's windowed-sinc method. Its filter bank grows with the product of the two terms of
    the reduced ratio, so ratios without small terms (44101 : 44100) go through scipy's polyphase
    filter, which grows with their sum.
    """
    if original_rate == new_rate:
        return samples
    length = round(samples.shape[-1] * new_rate / original_rate)
    ratio = Fraction(new_rate, original_rate)
    up, down = ratio.numerator, ratio.denominator
    if max(up, down) <= _LARGEST_BANK:
        import torch

        from shared.sound.torchaudio_guard import torchaudio

        waveform = torch.from_numpy(np.ascontiguousarray(samples))
        resampled = torchaudio.functional.resample(waveform, down, up).numpy()
    else:
        from scipy.signal import resample_poly

        resampled = resample_poly(samples, up, down, axis=-1).astype(np.float32)
    return resampled[..., :length]  # both give the length rounded up


def fit_length(samples: np.ndarray, num_samples: int) -> np.ndarray:
    """Cut `[C, N]` to `num_samples`, or fill up with zeros: resampling there and back may miss by one."""
    missing = max(0, num_samples - samples.shape[-1])
    return np.pad(samples[:, :num_samples], ((0, 0), (0, missing)))


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Round float samples to int16, 1.0 = 32768. What lies beyond full scale is clipped; it never
    wraps round.
    """
    scaled = samples * 32768.0
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -32768, 32767, out=scaled).astype(np.int16)


def rms(samples: np.ndarray) -> float:
    """Root mean square of samples of any shape, full scale 1.0; 0 for no samples."""
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if samples.size else 0.0


def unclipped(samples: np.ndarray) -> tuple[np.ndarray, float]:
    """The samples, scaled as a whole so that none exceeds full scale, and the scale (1 if none did)."""
    peak = float(np.abs(samples).max(initial=0.0))
    scale = 1.0 if peak <= 1 else 1 / peak
    return samples * np.float32(scale), scale
