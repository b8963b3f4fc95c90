"""Decide whether a song has a bass.

A kick drum, a low piano and a pad all leave something in the bass of a separation. A bass has to
show in three ways, and the weakest of them counts: in the sound that the codec decodes from the
song's codes, in the estimate that it separates from the song, and in the pitched part of that
estimate. All three are levels relative to the song, so that neither its loudness nor a fade
matters.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.sound.samples import Samples, rms

# The pitched part is looked for where basses have their fundamental and their first overtones.
LOWEST_HZ, HIGHEST_HZ = 30.0, 400.0
WORKING_RATE = 5500  # Hz, about
WINDOW, HOP = 1024, 256  # samples at that rate: 186 and 46 ms
# Medians over so many frames (0.3 s) keep what is held, and over so many bins what is struck.
HELD_FRAMES, STRUCK_BINS = 7, 11


@dataclass(frozen=True)
class BassSearch:
    """How loud the bass of a song is beside the song, by three measures.

    Attributes:
        decoded: RMS of the decoded bass, as a share of the song's.
        separated: RMS of the separated bass, as a share of the song's.
        pitched: RMS of the pitched part of the separated bass, as a share of the song's between 30
            and 400 Hz.
        threshold: the share from which a song counts as having a bass.
    """

    decoded: float
    separated: float
    pitched: float
    threshold: float

    @property
    def share(self) -> float:
        """The smallest of the three shares."""
        return min(self.decoded, self.separated, self.pitched)

    @property
    def found(self) -> bool:
        """Whether the song has a bass."""
        return self.share >= self.threshold

    def __str__(self) -> str:
        """Say what was found, as a sentence."""
        share, threshold = f"{self.share:.2f}", f"{self.threshold:.2f}"
        if self.found:
            return f"the song has a bass (share {share}, from {threshold} on it counts)"
        return f"the song has no bass (share {share}, below {threshold})"


def search_bass(
    song: Samples, decoded: Samples, separated: Samples, sample_rate: int, threshold: float
) -> BassSearch:
    """Measure the bass of a song that is not silent. All audio is `[2, N]` at one level."""
    level = rms(song)
    lows = _lows(separated, sample_rate)
    return BassSearch(
        decoded=rms(decoded) / level,
        separated=rms(separated) / level,
        pitched=_norm(_pitched(lows)) / max(_norm(_lows(song, sample_rate)), 1e-9),
        threshold=threshold,
    )


def _lows(audio: Samples, sample_rate: int) -> npt.NDArray[np.float64]:
    """Compute the magnitudes `[bins, frames]` from LOWEST_HZ to HIGHEST_HZ of both channels."""
    from scipy.signal import resample_poly

    from shared.sound.librosa_guard import librosa

    factor = max(1, sample_rate // WORKING_RATE)
    mono = resample_poly(audio.mean(0, dtype=np.float64), 1, factor)
    mono = np.pad(mono, (0, max(0, WINDOW - len(mono))))
    magnitudes = np.abs(librosa.stft(mono, n_fft=WINDOW, hop_length=HOP))
    hertz = np.fft.rfftfreq(WINDOW, factor / sample_rate)
    return magnitudes[(hertz > LOWEST_HZ) & (hertz < HIGHEST_HZ)]


def _pitched(magnitudes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keep what is held over time, by median filtering (Fitzgerald, 2010)."""
    from shared.sound.librosa_guard import librosa

    return librosa.decompose.hpss(magnitudes, kernel_size=(HELD_FRAMES, STRUCK_BINS))[0]


def _norm(magnitudes: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(magnitudes).sum()))
