"""Put parts of a new line into an old one, whose other parts stay as they are, bit by bit."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shared.music.notes import Note, notes_to_tokens
from shared.sound.samples import Samples
from shared.times import TimeRange

FADE = 0.01  # s, in which the new sound is faded in and out within a range


def spliced_sound(
    old: Samples, new: Samples, ranges: Sequence[TimeRange], sample_rate: int
) -> Samples:
    """Return the old sound `[2, N]` with the new sound within ranges of time.

    It is faded in and out inside the ranges. Outside them, each sample is the old one.
    """
    result = old.copy()
    length = old.shape[-1]
    for each in ranges:
        start, stop = (min(round(edge * sample_rate), length) for edge in (each.start, each.stop))
        fade = min(round(FADE * sample_rate), (stop - start) // 2)
        share = np.ones(stop - start, np.float32)
        rising = (np.arange(fade, dtype=np.float32) + 1) / (fade + 1)
        if start > 0:
            share[:fade] = rising
        if stop < length:
            share[stop - start - fade :] = rising[::-1]
        inside = slice(start, stop)
        result[:, inside] = share * new[:, inside] + (1 - share) * old[:, inside]
    return result


def spliced_notes(
    old: Sequence[Note], new: Sequence[Note], ranges: Sequence[TimeRange]
) -> tuple[Note, ...]:
    """Return the old notes outside ranges of time, and the new notes that begin within them.

    An old note that sounds into a range ends where the range begins, and one that sounds out of a
    range begins where the range ends. A new note ends with its range.
    """
    kept = list(old)
    for each in ranges:
        kept = [part for note in kept for part in _outside(note, each)]
    added = [
        replace(note, duration=min(note.end, each.stop) - note.onset)
        for each in ranges
        for note in new
        if each.start <= note.onset < each.stop
    ]
    return tuple(sorted([*kept, *added], key=lambda note: (note.onset, note.pitch)))


def _outside(note: Note, each: TimeRange) -> list[Note]:
    """Return the parts of a note before and after a range of time."""
    if note.end <= each.start or note.onset >= each.stop:
        return [note]
    parts = []
    if note.onset < each.start:
        parts.append(replace(note, duration=each.start - note.onset))
    if note.end > each.stop:
        parts.append(replace(note, onset=each.stop, duration=note.end - each.stop))
    return parts


def changed_bars(
    old: Sequence[Note],
    new: Sequence[Note],
    bars: Sequence[TimeRange],
    num_frames: int,
    frame_rate: float,
) -> list[TimeRange]:
    """Return the bars with a frame in which two lines differ."""
    before, after = (notes_to_tokens(notes, num_frames, frame_rate) for notes in (old, new))
    times = np.flatnonzero(before != after) / frame_rate
    return [bar for bar in bars if ((times >= bar.start) & (times < bar.stop)).any()]
