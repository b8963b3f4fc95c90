"""The most plausible beats of a song, from an activation that says how likely each moment has one.

The model is the bar pointer's (Whiteley et al. 2006; Krebs, Böck and Widmer 2015) in the form of a
semi-Markov chain: a state is the time of a beat together with the period until the next, and the
period may change a little at every beat. The best path is found by dynamic programming in two
passes. The first searches all tempi for the song's own; the second stays near it, so that a song
never jumps to half or double its tempo, and resolves the tempo more finely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

MIN_BPM, MAX_BPM = 40.0, 220.0
DEFAULT_BPM = 120.0
WORKING_RATE = 170.0  # Hz: the activation is interpolated to at least this rate

# The preference among the tempi that the activation supports alike, which are mostly octaves.
USUAL_BPM = 130.0
TEMPO_SPREAD = 0.7  # octaves
TEMPO_WEIGHT = 0.25  # nats per second at one TEMPO_SPREAD from USUAL_BPM

# A moment supports a beat if its activation exceeds THRESHOLD of the song's usual peak.
THRESHOLD = 0.25
FLOOR = 0.05
LOWEST_CONTRAST = 0.02  # between peaks and background; a flatter activation says nothing
ACTIVITY_SECONDS = 1.5  # where nothing peaks within this distance, missing peaks say nothing

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Tempi:
    """The periods that a pass considers, and how much they may change.

    Attributes:
        low: the slowest tempo in beats per minute.
        high: the fastest.
        spacing: the ratio of neighbouring periods less 1, at most.
        reach: how many steps of the spacing the period may change at one beat.
        spread: standard deviation of the relative change of the period at one beat.
    """

    low: float
    high: float
    spacing: float
    reach: int
    spread: float

    @property
    def periods(self) -> Floats:
        """The periods in seconds `[K]`, evenly spaced in their logarithm, rising."""
        count = 1 + int(np.ceil(np.log(self.high / self.low) / self.spacing))
        return 60 / np.geomspace(self.high, self.low, count)


def _all_tempi() -> _Tempi:
    return _Tempi(MIN_BPM, MAX_BPM, spacing=0.025, reach=3, spread=0.02)


def _tempi_near(bpm: float, tolerance: float) -> _Tempi:
    return _Tempi(
        bpm / (1 + tolerance), bpm * (1 + tolerance), spacing=0.008, reach=4, spread=0.007
    )


SONG_TOLERANCE = 0.25  # how far the tempo of a song strays from its usual one
HINT_TOLERANCE = 0.04  # how far it strays from the tempo that the user says


def normalise(activation: Floats, rate: float) -> Floats | None:
    """Scale an activation `[T]` so that its background is 0 and its usual peak 1.

    Returns:
        The scaled activation from 0 to 1, or None if it is too flat to say anything.
    """
    activation = np.asarray(activation, np.float64)  # networks give single precision
    second = max(1, round(rate))
    if len(activation) < 2:
        return None
    peaks = np.maximum.reduceat(activation, np.arange(0, len(activation), second))
    background, peak = np.percentile(activation, 30), np.percentile(peaks, 75)
    if peak - background < LOWEST_CONTRAST:
        return None
    return np.clip((activation - background) / (peak - background), 0, 1)


def decode_beats(
    activation: Floats, frame_rate: float, bpm: float | None, fixed: float | None
) -> Floats | None:
    """Find the beats.

    Args:
        activation: as `normalise` returns it, `[T]`. Entry i belongs to the time i / frame_rate.
        frame_rate: entries per second.
        bpm: the tempo that is known, or None.
        fixed: the time of a beat that is known, in seconds, or None.

    Returns:
        Times in seconds, rising. The first lies within a period of the beginning and the last
        within a period of the end. None if the song is shorter than two beats.
    """
    factor = max(1, int(np.ceil(WORKING_RATE / frame_rate)))
    rate = factor * frame_rate
    at = np.arange(factor * (len(activation) - 1) + 1) / factor
    fine = np.interp(at, np.arange(len(activation)), activation)
    evidence = _evidence(fine, rate, reach=factor)
    if fixed is not None:
        # No path without this beat can gain as much.
        evidence[min(round(fixed * rate), len(evidence) - 1)] += 1e6

    if bpm is None:
        coarse = _best_path(evidence, rate, _all_tempi())
        if len(coarse) < 2:
            return None
        bpm = 60 * rate / float(np.median(np.diff(coarse)))
        tempi = _tempi_near(bpm, SONG_TOLERANCE)
    else:
        tempi = _tempi_near(bpm, HINT_TOLERANCE)
    path = _best_path(evidence, rate, tempi)
    return path / rate if len(path) >= 2 else None


def _evidence(activation: Floats, rate: float, reach: int) -> Floats:
    """Return by how much a beat at each moment is more plausible than none, in nats."""
    from scipy.ndimage import maximum_filter1d

    # A peak also counts for the moments beside it, as players and networks are a little early or
    # late, but less, so that the path prefers the peak itself.
    widened = (activation + maximum_filter1d(activation, 2 * reach + 1)) / 2
    support = np.log((widened + FLOOR) / (THRESHOLD + FLOOR))
    return support * maximum_filter1d(activation, 2 * round(ACTIVITY_SECONDS * rate) + 1)


def _best_path(evidence: Floats, rate: float, tempi: _Tempi) -> Integers:
    """Return the frames of the beats on the best path through `evidence` `[T]`.

    All beats that end a period within less than the shortest period depend on earlier beats alone,
    so that a block of this length is computed at once.
    """
    periods = tempi.periods
    octaves = np.log2(60 / periods / USUAL_BPM) / TEMPO_SPREAD
    costs = TEMPO_WEIGHT * periods * octaves**2
    steps = np.arange(-tempi.reach, tempi.reach + 1)
    spacing = np.log(periods[1] / periods[0])
    change = -0.5 * (steps * spacing / tempi.spread) ** 2

    lags = np.round(periods * rate).astype(np.int64)
    block, longest = int(lags.min()), int(lags.max())
    length, count = len(evidence), len(periods)
    inner = slice(tempi.reach, tempi.reach + count)
    # The score of the best path to a beat that begins a period, from `longest` moments before the
    # block on; 0 before moment 0. Of all moments, only the changes of the period are kept.
    onward = np.zeros((longest + block, count))
    changes = np.empty((length, count), np.int8)
    first_end = max(0, length - longest)  # before it, no path ends
    ends = np.empty((length - first_end, count))
    for start in range(0, length, block):
        rows = np.arange(min(block, length - start))
        arrived = onward[longest + rows[:, None] - lags, np.arange(count)]
        # Of the best path to a beat that ends this period. The margins are periods that nobody has.
        score = np.full((len(rows), count + 2 * tempi.reach), -np.inf)
        score[:, inner] = evidence[start + rows, None] - costs + arrived
        choices = sliding_window_view(score, count, axis=1) + change[:, None]
        best = choices.argmax(1)
        changes[start + rows] = best - tempi.reach
        onward[longest + rows] = np.take_along_axis(choices, best[:, None], 1)[:, 0]
        onward[: -len(rows)] = onward[len(rows) :].copy()
        is_end = start + rows >= first_end
        ends[start + rows[is_end] - first_end] = score[is_end, inner]

    last = np.arange(first_end, length)[:, None] + lags >= length
    index = np.where(last, ends, -np.inf).argmax()
    frame, period = (int(each) for each in np.unravel_index(index, ends.shape))
    frame += first_end
    beats = [frame]
    while (frame := frame - int(lags[period])) >= 0:
        period += int(changes[frame, period])
        beats.append(frame)
    return np.array(beats[::-1], np.int64)
