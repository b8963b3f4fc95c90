"""Walking bass: pitches for given onsets that lead from one chord's bass to the next one's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.band.composing.timeline import Span, Timeline

# How often a new chord, and a bar that goes on with the same one, begins on the chord's bass.
_STATED, _RESTATED = 0.92, 0.5
_RANGE = 19  # semitones from the lowest note up


def walk_pitches(
    rng: np.random.Generator, timeline: Timeline, beats: Sequence[float], low: int
) -> list[int]:
    """Choose a MIDI pitch for each onset of `beats`, at or above `low`.

    A chord begins on its bass. The note before a change leads there by a step. The notes between
    them move through the chord's tones, with passing tones of the scale.
    """
    spans = [timeline.at(beat + 0.05) for beat in beats]
    pitches: list[int] = []
    rising = bool(rng.random() < 0.5)
    for number, span in enumerate(spans):
        here = pitches[-1] if pitches else low + 7
        following = spans[number + 1] if number + 1 < len(spans) else span
        new = number == 0 or not _same(spans[number - 1], span)
        barline = number > 0 and not new and spans[number - 1].start != span.start
        if rng.random() < (_STATED if new else _RESTATED if barline else 0.0):
            pitches.append(_closest(span.bass, here, low))
        elif not _same(span, following):
            target = _closest(following.bass, here, low)
            below = target > here or (target == here and rng.random() < 0.5)
            if target - 2 < low:
                below = False
            pitches.append(target + (-1 if below else 1) * int(rng.choice((1, 1, 2))))
        else:
            ahead = _ahead(span, here, rising, low)
            if not ahead or rng.random() < 0.12:
                rising = not rising
                ahead = _ahead(span, here, rising, low) or [_closest(span.bass, here, low)]
            step = ahead[0]
            scale = timeline.scale(beats[number])
            passing = [p for p in range(min(here, step) + 1, max(here, step)) if p % 12 in scale]
            pitches.append(passing[0] if passing and rng.random() < 0.35 else step)
    return pitches


def _same(one: Span, other: Span) -> bool:
    return (one.root, one.quality, one.bass) == (other.root, other.quality, other.bass)


def _closest(pitch_class: int, here: int, low: int) -> int:
    """Return the pitch of a class that is nearest to `here` within the range."""
    reach = range(low, low + _RANGE)
    return min((p for p in reach if p % 12 == pitch_class), key=lambda pitch: abs(pitch - here))


def _ahead(span: Span, here: int, rising: bool, low: int) -> list[int]:
    """List the tones of the chord above or below `here`, the nearest first."""
    tones = [p for p in range(low, low + _RANGE) if p % 12 in (*span.tones, span.bass)]
    ahead = [p for p in tones if (p > here if rising else p < here)]
    return sorted(ahead, key=lambda pitch: abs(pitch - here))
