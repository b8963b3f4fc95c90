"""How strongly the sound of a song sets in over time, by spectral flux.

The flux of a frame is the sum, over mel bands, of the rise of the compressed magnitude since the
frame before. Its peaks lie within about 5 ms of the attacks, which is several times finer than a
frame of codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.sound.samples import Samples
from shared.sound.sliced import SlicedSamples, StoredSamples

HOP_SECONDS = 0.005
WINDOW_SECONDS = 0.023
MEL_BANDS = 40
# A magnitude far below this share of the loudest is not raised by the compression, so that the
# first trace of an attack at the edge of a window is not taken for the attack.
COMPRESSION_KNEE = 0.1

FRAMES = 4096  # frames that are worked on at once
MOST_FRAMES_IN_MEMORY = 1 << 18  # 20 minutes

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OnsetEnvelope:
    """The onset strength of a song.

    Attributes:
        strength: at least 0, without a unit `[E]`. Entry i belongs to the time i / rate.
        rate: entries per second.
    """

    strength: Floats
    rate: float


def onset_envelope(audio: SlicedSamples, rate: int) -> OnsetEnvelope:
    """Measure the onset strength of audio `[C, N]` with a sample rate in Hz."""
    hop = max(1, round(HOP_SECONDS * rate))
    window = max(16, round(WINDOW_SECONDS * rate))
    bands = StoredSamples(MEL_BANDS, most_in_memory=MOST_FRAMES_IN_MEMORY)
    loudest = 0.0
    for block in _magnitudes(audio, rate, hop, window):
        loudest = max(loudest, float(block.max()))
        bands.append(block)
    knee = max(COMPRESSION_KNEE * loudest, 1e-9)
    count = bands.shape[-1] - 1
    strength = np.empty(count)
    for start in range(0, count, FRAMES):
        compressed = np.log1p(bands[:, start : start + FRAMES + 1].astype(np.float64) / knee)
        flux = np.maximum(np.diff(compressed, axis=1), 0).sum(0)
        strength[start : start + FRAMES] = flux
    return OnsetEnvelope(strength[: audio.shape[1] // hop + 1], rate / hop)


def _magnitudes(audio: SlicedSamples, rate: int, hop: int, window: int) -> Iterator[Samples]:
    """Compute the magnitudes of all channels in mel bands, block after block `[MEL_BANDS, n]`.

    Before the audio there are `hop` samples of silence, so that an attack at time 0 is a rise too,
    and after it there are `window` samples.
    """
    from scipy.fft import rfft

    filters = mel_filters(rate, window, MEL_BANDS).astype(np.float32)
    taper = np.hanning(window + 1)[:-1].astype(np.float32)
    length = audio.shape[1]
    count = 1 + (length + hop + window) // hop
    for first in range(0, count, FRAMES):
        stop = min(first + FRAMES, count)
        start = (first - 1) * hop - window // 2
        end = start + (stop - 1 - first) * hop + window
        inside = audio[:, max(0, start) : max(0, end)]
        before = min(max(0, -start), end - start)
        padded = np.pad(inside, ((0, 0), (before, end - start - before - inside.shape[1])))
        power = np.zeros((MEL_BANDS, stop - first), np.float32)
        for channel in padded:
            frames = np.lib.stride_tricks.sliding_window_view(channel, window)[::hop]
            power += np.square(filters @ np.abs(rfft(frames * taper, axis=1)).T)
        yield np.sqrt(power)


def mel_filters(rate: int, window: int, bands: int) -> Floats:
    """Make triangular filters of equal area on Slaney's mel scale `[bands, window // 2 + 1]`.

    They are those of `librosa.filters.mel`.
    """
    hertz = np.fft.rfftfreq(window, 1 / rate)
    # The scale is linear up to 1 kHz, 15 mels, and goes up in 27 steps for a factor of 6.4 above.
    mels = np.linspace(0, 15 + 27 * np.log(rate / 2000) / np.log(6.4), bands + 2)
    if rate < 2000:
        mels = np.linspace(0, 15 * rate / 2000, bands + 2)
    edges = np.where(mels < 15, mels * 1000 / 15, 1000 * 6.4 ** ((mels - 15) / 27))
    widths = np.diff(edges)
    rising = (hertz - edges[:-2, None]) / widths[:-1, None]
    falling = (edges[2:, None] - hertz) / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (edges[2:] - edges[:-2]))[:, None])
