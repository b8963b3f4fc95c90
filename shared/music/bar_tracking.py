"""The bars of a song, from what a network says about each frame and what the user knows.

Beats come first (shared/music/beat_decoding.py), and then bars: a second dynamic programme over the
beats chooses the number of beats in a bar, and which beat is the first. A beat is the felt pulse, a
dotted quarter in 6/8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import UserError, require
from shared.music.bar_grid import BarGrid
from shared.music.beat_decoding import DEFAULT_BPM, decode_beats, normalise
from shared.music.beat_refinement import move_to_onsets, move_to_peaks
from shared.music.onset_envelope import OnsetEnvelope

LOWEST_BPM, HIGHEST_BPM = 20.0, 400.0
MOST_BEATS = 16
BEAT_UNITS = (1, 2, 4, 8, 16)

# How common bars of so many beats are.
METERS = {4: 0.7, 3: 0.14, 2: 0.08, 6: 0.03, 5: 0.03, 7: 0.02}
ODD_BAR_COST = 6.0  # nats for a bar of another length than the one before
# A beat is a downbeat if its activation exceeds DOWNBEAT_THRESHOLD of the song's usual peak.
# Networks err in the same way in all bars of a song, so that the weight is low.
DOWNBEAT_THRESHOLD = 0.4
DOWNBEAT_WEIGHT = 2.0  # nats
LOWEST_CONTRAST = 0.02  # between downbeats and other beats; a flatter activation says nothing
DOWNBEAT_REACH = 0.035  # s between a beat and the peak of its downbeat's activation
NEIGHBOURS = 2  # beats on either side that say whether the song has audible beats here

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BarHints:
    """What the user knows about the bars of a song; None is not known.

    Attributes:
        bpm: beats per minute, of the felt beat.
        first_downbeat: where the first bar begins, in seconds.
        meter: the time signature. In 6/8, 9/8 and 12/8, three eighths are a beat.

    Raises:
        UserError: a value is out of range.
    """

    bpm: float | None = None
    first_downbeat: float | None = None
    meter: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(
            self.bpm is None or LOWEST_BPM <= self.bpm <= HIGHEST_BPM,
            f"the tempo is {self.bpm} beats per minute: "
            f"give a number from {LOWEST_BPM:g} to {HIGHEST_BPM:g}",
        )
        require(
            self.first_downbeat is None or 0 <= self.first_downbeat < np.inf,
            f"the first downbeat is at {self.first_downbeat} s: give a time of 0 s or later",
        )
        require(
            self.meter is None
            or (1 <= self.meter[0] <= MOST_BEATS and self.meter[1] in BEAT_UNITS),
            f"the meter is {self.meter}: "
            f"give 1 to {MOST_BEATS} beats and a beat unit of 1, 2, 4, 8 or 16, such as 3/4",
        )

    @property
    def beats_per_bar(self) -> int | None:
        """The number of felt beats in a bar."""
        if self.meter is None:
            return None
        count, unit = self.meter
        return count // 3 if unit >= 8 and count > 3 and count % 3 == 0 else count


def parse_meter(text: str) -> tuple[int, int]:
    """Read a time signature such as `3/4`.

    Raises:
        UserError: the text is no time signature.
    """
    match = re.fullmatch(r"\s*([0-9]{1,2})\s*/\s*([0-9]{1,2})\s*", text)
    if match is None:
        raise UserError(f"'{text}' is not a time signature: write it as 3/4 or 6/8")
    meter = int(match[1]), int(match[2])
    BarHints(meter=meter)
    return meter


def beat_unit_of(meter: tuple[int, int] | None, beats_per_bar: int) -> int:
    """Return the note value of a beat: the time signature's, if it counts the bar's felt beats.

    Otherwise it is a quarter: 6/8 that is felt in two is two quarters with their triplets.
    """
    return meter[1] if meter is not None and meter[0] == beats_per_bar else 4


def track_bars(
    beat: Floats,
    downbeat: Floats,
    frame_rate: float,
    duration: float,
    hints: BarHints | None = None,
    onsets: OnsetEnvelope | None = None,
) -> BarGrid:
    """Find the beats and bars of a song.

    Where the activations say nothing, beats go on with an even tempo. Where they say nothing at
    all, the tempo is the hint's or 120, and the first bar begins at the hint or at 0.

    Args:
        beat: the probability of a beat in each frame `[T]`. Frame i is at i / frame_rate seconds.
        downbeat: the probability that a bar begins there `[T]`.
        frame_rate: frames per second.
        duration: of the song, in seconds.
        hints: what the user knows. The tempo stays within a few percent of `bpm`, the grid's first
            bar begins at `first_downbeat` exactly, and all bars have the beats of `meter`.
        onsets: of the song's sound. Beats move to them by at most 35 ms.

    Raises:
        UserError: the activations are not finite or differ in length, or the first downbeat lies
            behind the end of the song.
    """
    hints = hints or BarHints()
    require(
        beat.ndim == 1 and beat.shape == downbeat.shape,
        f"the activations of beats {beat.shape} and downbeats {downbeat.shape} differ in shape: "
        "compute both from the same frames",
    )
    require(
        bool(np.isfinite(beat).all() and np.isfinite(downbeat).all()),
        "the activations of beats hold values that are not finite: check the network's weights",
    )
    fixed = hints.first_downbeat
    require(
        fixed is None or fixed < duration,
        f"the first downbeat is at {fixed} s, but the song ends at {duration:.2f} s: "
        "give an earlier time",
    )
    activation = normalise(beat, frame_rate)
    beats: Floats | None = None
    if activation is not None:
        beats = decode_beats(activation, frame_rate, hints.bpm, fixed)
    if activation is None or beats is None:
        activation = np.zeros(max(1, len(beat)))
        period = 60 / (hints.bpm or DEFAULT_BPM)
        beats = np.array([0, period]) + (fixed or 0.0)
    else:
        beats = move_to_peaks(beats, activation, frame_rate, fixed)
        if onsets is not None:
            beats = move_to_onsets(beats, onsets, fixed)
    beats = _to_both_ends(beats, duration)
    known = None if fixed is None else int(np.abs(beats - fixed).argmin())
    starts = _bar_starts(
        _audible(beats, activation, frame_rate),
        _sampled(beats, downbeat, frame_rate),
        hints.beats_per_bar,
        known,
        opening=int(np.searchsorted(beats, -0.5 * (beats[1] - beats[0]))),
    )
    unit = beat_unit_of(hints.meter, hints.beats_per_bar or 0)
    return BarGrid(beats, starts, unit)


def _to_both_ends(beats: Floats, duration: float) -> Floats:
    """Continue beats with the tempo that they have there, until they enclose the song."""
    gaps = np.diff(beats)
    first, last = float(np.median(gaps[:8])), float(np.median(gaps[-8:]))
    before = max(0, int(np.ceil(beats[0] / first - 1e-6)))
    after = max(0, int(np.ceil((duration - beats[-1]) / last - 1e-6)))
    return np.concatenate(
        (
            beats[0] - first * np.arange(before, 0, -1),
            beats,
            beats[-1] + last * np.arange(1, after + 1),
        )
    )


def _sampled(beats: Floats, activation: Floats, rate: float) -> Floats:
    """Return the highest activation close to each beat `[B]`, and 0 outside the song."""
    if not len(activation):
        return np.zeros(len(beats))
    times = beats[:, None] + np.linspace(-DOWNBEAT_REACH, DOWNBEAT_REACH, 15)
    frames = np.arange(len(activation)) / rate
    return np.asarray(np.interp(times, frames, activation, left=0, right=0).max(1))


def _audible(beats: Floats, activation: Floats, rate: float) -> Floats:
    """Return from 0 to 1 how clearly beats are heard around each beat `[B]`."""
    from scipy.ndimage import uniform_filter1d

    return np.asarray(
        uniform_filter1d(_sampled(beats, activation, rate), 2 * NEIGHBOURS + 1, mode="nearest")
    )


def _bar_starts(
    audible: Floats,
    activation: Floats,
    beats_per_bar: int | None,
    known: int | None,
    opening: int,
) -> Integers:
    """Choose the beats that begin bars.

    Args:
        audible: how much the activation of each beat counts, from 0 to 1 `[B]`.
        activation: of a downbeat at each beat `[B]`.
        beats_per_bar: the number of beats in every bar, or None if the song says.
        known: a beat that begins the first bar.
        opening: the beat that begins a bar if nothing says otherwise.
    """
    meters = METERS if beats_per_bar is None else {beats_per_bar: 1.0}
    states = [(beats, place) for beats in meters for place in range(beats)]
    beats_of, place_of = (np.array(column) for column in zip(*states, strict=True))
    common = np.log(np.array([meters[beats] for beats in beats_of]))
    first = place_of == 0
    scores = first * (audible * _downbeat_support(activation))[:, None]
    scores[opening, first] += 1e-3
    if known is not None:
        scores[known, ~first] = -1e6

    # Within a bar, each place follows the one before. A bar follows a bar of any length.
    index = np.arange(len(states))
    ends = np.flatnonzero(place_of == beats_of - 1)
    switch = np.where(beats_of[ends][:, None] == beats_of[first], 0, common[first] - ODD_BAR_COST)
    total = common - np.log(beats_of) + scores[0]
    origins = np.empty((len(scores), len(states)), np.int64)
    for row in range(1, len(scores)):
        origin = index - 1
        arrivals = total[ends][:, None] + switch
        origin[first] = ends[arrivals.argmax(0)]
        gained = np.where(first, 0, total[origin])
        gained[first] = arrivals.max(0)
        total, origins[row] = gained + scores[row], origin
    state = int(total.argmax())
    starts = []
    for row in range(len(scores) - 1, -1, -1):
        if first[state]:
            starts.append(row)
        state = int(origins[row, state]) if row else state
    found = np.array(starts[::-1], np.int64)
    if known is not None:
        return found[found >= known]
    return found if len(found) else np.array([0], np.int64)


def _downbeat_support(activation: Floats) -> Floats:
    """Return by how much each beat is more plausible as a downbeat than not, in nats `[B]`."""
    background, peak = np.percentile(activation, (30, 90))
    if peak - background < LOWEST_CONTRAST:
        return np.zeros(len(activation))
    share = np.clip((activation - background) / (peak - background), 0, 1)
    return np.asarray(DOWNBEAT_WEIGHT * (share - DOWNBEAT_THRESHOLD))
