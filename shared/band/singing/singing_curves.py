"""How a melody is sung: its pitch over time, its loudness, and when each part of a syllable sounds.

Frames are those of the vocoder's synthesis, HOP samples apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from shared.band.recording.render import SAMPLE_RATE
from shared.band.singing.speech_analysis import FRAME_SECONDS, Syllable
from shared.band.singing.vocoder import HOP
from shared.music.notes import Note

FRAME = HOP / SAMPLE_RATE  # seconds
LEGATO_GAP = 0.06  # seconds between notes that are sung without a break
_SHORTEST_VOWEL = 0.6  # of its note, whatever consonants follow
_LONGEST_LEAD = 0.4  # of the note before, which consonants may take from it
_EDGE = 10.0  # frames of the analysis at both ends of a vowel that are not stretched
_DECIBELS = 0.15  # for each step of MIDI velocity


@dataclass(frozen=True)
class Manner:
    """How one singer sings one song.

    Attributes:
        vibrato_hertz: rate of the vibrato.
        vibrato_cents: half of its swing.
        vibrato_delay_seconds: after a note's onset.
        glide_seconds: how long the pitch takes from note to note.
        drift_cents: standard deviation of slow errors of pitch.
        scoop: chance that the first note after a rest is reached from below.
        melisma: chance that a note continues the syllable of the note before.
        formants: this and the next three are those of `vocoder.build_tract`, beside the speaker's.
        contrast: see `formants`.
        tilt: see `formants`.
        breath: see `formants`.
        doubled: whether there is a second take.
        double_cents: by how much the second take is higher.
        double_seconds: by how much it is later.
        double_decibels: how much louder it is.
        double_pan: where it is, from -1 (left) to 1 (right).
    """

    vibrato_hertz: float
    vibrato_cents: float
    vibrato_delay_seconds: float
    glide_seconds: float
    drift_cents: float
    scoop: float
    melisma: float
    formants: float
    contrast: float
    tilt: float
    breath: float
    doubled: bool
    double_cents: float
    double_seconds: float
    double_decibels: float
    double_pan: float


def draw_manner(rng: np.random.Generator) -> Manner:
    """Draw a way of singing."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    return Manner(
        vibrato_hertz=float(rng.uniform(5.0, 6.5)),
        vibrato_cents=float(rng.uniform(8.0, 30.0)),
        vibrato_delay_seconds=float(rng.uniform(0.15, 0.40)),
        glide_seconds=float(rng.uniform(0.025, 0.065)),
        drift_cents=float(rng.uniform(3.0, 8.0)),
        scoop=float(rng.uniform(0.0, 0.2)),
        melisma=float(rng.choice((0.0, 0.05, 0.15, 0.3))),
        formants=float(rng.uniform(0.95, 1.06)),
        contrast=float(rng.uniform(0.9, 1.15)),
        tilt=float(rng.uniform(-1.5, 2.0)),
        breath=float(rng.beta(1.5, 5.0)),
        doubled=bool(rng.random() < 0.3),
        double_cents=float(rng.uniform(4.0, 14.0) * side),
        double_seconds=float(rng.uniform(0.010, 0.028)),
        double_decibels=float(rng.uniform(-10.0, -4.0)),
        double_pan=float(rng.uniform(0.4, 0.9) * side),
    )


def place_syllable(
    syllable: Syllable, onset: float, end: float, limit: float, before: float
) -> tuple[int, np.ndarray]:
    """Find where in a spoken syllable each frame of a sung one is.

    The vowel begins at the onset, and its middle is stretched or all of it is shortened.
    Consonants keep their speed: those in front come before the onset, those behind end at `limit`
    at the latest, or follow after the end where there is time.

    Args:
        syllable: what is sung.
        onset: of its first note, in seconds.
        end: of its last note.
        limit: when the next syllable begins with its consonants, or the song ends.
        before: how long the consonants in front may last.

    Returns:
        The first frame, and for each frame a place between the frames of the syllable.
    """
    first, stop = syllable.nucleus
    after = (len(syllable.voiced) - stop) * FRAME_SECONDS
    shortest = onset + _SHORTEST_VOWEL * (min(end, limit) - onset)
    stop_vowel = min(end, max(limit - after, shortest))
    finish = min(stop_vowel + after, limit)
    if finish <= onset:
        return 0, np.zeros(0)
    start = int(np.ceil(max(onset - min(first * FRAME_SECONDS, before), 0.0) / FRAME))
    seconds = np.arange(start, int(finish / FRAME) + 1) * FRAME
    held = max(stop_vowel - onset, 1e-3) / FRAME_SECONDS
    length = float(stop - first)
    knots, places = [0.0, held], [0.0, length]
    if held > length:
        edge = min(0.3 * length, _EDGE)
        knots, places = [0.0, edge, held - edge, held], [0.0, edge, length - edge, length]
    relative = (seconds - onset) / FRAME_SECONDS
    place = first + np.interp(relative, knots, places)
    place += np.minimum(relative, 0.0) + np.maximum(relative - held, 0.0)
    return start, np.clip(place, 0.0, len(syllable.voiced) - 1.0)


def longest_lead(before: Note | None, onset: float) -> float:
    """Return how long, in seconds, consonants in front of `onset` may last after a note."""
    if before is None:
        return onset
    return max(onset - before.end, 0.0) + _LONGEST_LEAD * before.duration


def loudness(notes: Sequence[Note], start: int, count: int) -> np.ndarray:
    """Return the gains of `count` frames of a syllable from frame `start` on.

    Velocity 100 is a gain of 1. Long notes swell a little, and the ends are soft.
    """
    seconds = (start + np.arange(count)) * FRAME
    onsets = [note.onset for note in notes]
    which = np.clip(np.searchsorted(onsets, seconds, side="right") - 1, 0, None)
    velocity = np.array([note.velocity for note in notes])[which]
    length = max(notes[-1].end - onsets[0], 0.1)
    through = np.clip((seconds - onsets[0]) / length, 0.0, 1.0)
    decibels = (velocity - 100) * _DECIBELS + min(length, 2.0) * (np.sin(np.pi * through) - 1.0)
    gains = 10 ** (decibels / 20)
    soft = min(4, count // 3)
    if soft:
        fade = np.arange(1, soft + 1) / (soft + 1)
        gains[:soft] *= fade
        gains[-soft:] *= fade[::-1]
    return gains


def pitch_curve(
    melody: Sequence[Note], manner: Manner, frames: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the MIDI pitch of each frame of a melody: glides, scoops, vibrato and drift."""
    seconds = np.arange(frames) * FRAME
    pitch = np.full(frames, float(melody[0].pitch))
    scoops, vibrato = np.zeros(frames), np.zeros(frames)
    end = -np.inf
    for index, note in enumerate(melody):
        before = melody[index - 1] if index else note
        shortest = min(note.duration, before.duration)
        # The glide is nearly over when the vowel begins.
        glide = min(manner.glide_seconds * rng.uniform(0.7, 1.4), 0.3 * shortest)
        start = note.onset - 0.75 * glide
        first, stop = np.clip(np.searchsorted(seconds, (start, start + glide)), 0, frames)
        way = (seconds[first:stop] - start) / glide
        pitch[first:stop] += (note.pitch - pitch[first:stop]) * way * way * (3 - 2 * way)
        pitch[stop:] = note.pitch
        if note.onset - end > LEGATO_GAP and rng.random() < manner.scoop:
            depth, length = rng.uniform(0.3, 1.2), min(0.09, shortest / 3)
            first, stop = np.searchsorted(seconds, (note.onset - 0.15, note.onset + length))
            since = np.maximum(seconds[first:stop] - note.onset, 0.0)
            scoops[first:stop] = -depth * (1 - since / length) ** 2
        end = note.end
        begin, length = (
            note.onset + manner.vibrato_delay_seconds,
            note.duration - manner.vibrato_delay_seconds,
        )
        if length > 0.1:
            first, stop = np.searchsorted(seconds, (begin, begin + length))
            since = seconds[first:stop] - begin
            grown = np.clip(since / 0.25, 0, 1) * np.clip((length - since) / 0.08, 0, 1)
            vibrato[first:stop] = manner.vibrato_cents / 100 * rng.uniform(0.7, 1.2) * grown
    rate = manner.vibrato_hertz * (1 + 0.04 * _wander(frames, 0.4, rng))
    drift = manner.drift_cents / 100 * _wander(frames, 0.15, rng)
    return pitch + scoops + drift + vibrato * np.sin(2 * np.pi * np.cumsum(rate) * FRAME)


def _wander(frames: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Draw slow noise with a standard deviation of one."""
    slow = gaussian_filter1d(rng.standard_normal(frames), seconds / FRAME)
    return slow / max(float(slow.std()), 1e-9)
