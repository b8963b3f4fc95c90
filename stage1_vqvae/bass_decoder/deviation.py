"""How far the pitch of a recorded bass is from that of its known notes.

The frequency of each partial is the speed of its phase between two windows a few samples apart. The
signal is decimated to about 5.5 kHz, where a window is short enough for the notes of a quick line.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import get_window, resample_poly

WORKING_RATE = 5512.5  # Hz
WINDOW = 512  # samples at about WORKING_RATE: 93 ms
N_FFT = 2048
SHIFT = 4  # samples from one window to the other
PARTIALS = 6
HIGHEST = 2000.0  # Hz; partials above it are not used
STEPS = np.linspace(-1, 1, 9)  # semitones around the note, among which each partial is looked for
MAX_SPREAD = 0.25  # semitones by which the partials may disagree
SOUNDING = 1e-3  # RMS from which a window counts as sounding


@dataclass(frozen=True, eq=False)
class PitchDeviation:
    """The deviation of the pitch at each frame.

    Attributes:
        semitones: float32 `[T]`, 0 where it is not known.
        known: whether it is known, bool `[T]`.
    """

    semitones: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]


def measure_deviation(
    samples: npt.NDArray[np.float32], pitches: npt.NDArray[np.int64], sample_rate: int, hop: int
) -> PitchDeviation:
    """Measure the deviation where one note fills the window.

    Args:
        samples: the bass `[N]`.
        pitches: MIDI pitches of the notes at the frames `[T]`, -1 for rests. Frame t is centred at
            sample `t * hop`.
        sample_rate: in Hz.
        hop: samples per frame.
    """
    factor = max(1, round(sample_rate / WORKING_RATE))
    rate = sample_rate / factor
    decimated = resample_poly(samples.astype(np.float64), 1, factor)
    frames = np.arange(len(pitches))
    starts = np.round(frames * hop / factor).astype(np.int64) - WINDOW // 2
    inside = (starts >= 0) & (starts + WINDOW + SHIFT <= len(decimated))
    reach = int(np.ceil(WINDOW / 2 * factor / hop))
    known = inside & _steady(pitches, reach)
    semitones = np.zeros(len(pitches), np.float32)
    (chosen,) = np.nonzero(known)
    if chosen.size:
        starts, sounding = starts[chosen], pitches[chosen]
        deviation, spread, level = _partials(decimated, starts, sounding, rate)
        good = (level > SOUNDING) & (spread < MAX_SPREAD) & (np.abs(deviation) < 1)
        known[chosen] = good
        semitones[chosen[good]] = deviation[good]
    return PitchDeviation(semitones, known)


def _steady(pitches: npt.NDArray[np.int64], reach: int) -> npt.NDArray[np.bool_]:
    """Whether the same pitch sounds in all frames within `reach` of a frame."""
    padded = np.pad(pitches, reach, constant_values=-1)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return (pitches >= 0) & (around == pitches[:, None]).all(-1)


def _partials(
    signal: npt.NDArray[np.float64],
    starts: npt.NDArray[np.int64],
    pitches: npt.NDArray[np.int64],
    rate: float,
) -> tuple[npt.NDArray[np.float64], ...]:
    """Compute deviation, disagreement of the partials and RMS at windows, each `[M]`."""
    window = get_window("hann", WINDOW)
    samples = np.arange(WINDOW)
    pieces = [signal[(starts + shift)[:, None] + samples] for shift in (0, SHIFT)]
    early, late = (np.fft.rfft(piece * window, N_FFT) for piece in pieces)
    partials = np.arange(1, PARTIALS + 1)
    nominal = 440 * 2 ** ((pitches[:, None] - 69) / 12) * partials  # [M, partials]
    bins = nominal[..., None] * 2 ** (STEPS / 12) * N_FFT / rate
    bins = np.minimum(np.round(bins).astype(np.int64), N_FFT // 2)
    rows = np.arange(len(pitches))[:, None]
    strongest = np.abs(early)[rows[..., None], bins].argmax(-1)
    bins = np.take_along_axis(bins, strongest[..., None], -1)[..., 0]
    first, second = early[rows, bins], late[rows, bins]
    # The phase advances by about that of the nominal frequency, and never by half a turn more.
    expected = 2 * np.pi * nominal * SHIFT / rate
    surplus = np.angle(second * np.conj(first) * np.exp(-1j * expected))
    frequency = nominal + surplus * rate / (2 * np.pi * SHIFT)
    semitones = 12 * np.log2(np.maximum(frequency, 1) / nominal)
    # A shift by some Hz, by which neighbours disturb a partial, is the less the higher it is.
    weight = np.where(nominal < min(HIGHEST, rate / 2), np.abs(first) * partials, 0)
    weight = weight / np.maximum(weight.sum(-1, keepdims=True), 1e-12)
    mean = (weight * semitones).sum(-1)
    spread = np.sqrt((weight * np.square(semitones - mean[:, None])).sum(-1))
    return mean, spread, np.sqrt(np.square(pieces[0]).mean(-1))
