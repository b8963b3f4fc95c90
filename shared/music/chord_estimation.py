"""The chords of a song, estimated from its notes.

For each beat, chord templates are compared with how long each pitch class sounds, and with the
bass, which usually plays the root. Dynamic programming finds the best sequence of chords, in which
each change has a cost that is lower on downbeats (template matching with Viterbi smoothing, after
Pardo and Birmingham 2002).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.music.chord import QUALITIES, Chord
from shared.music.notes import Note

_CANDIDATES = ("maj", "min", "power", "dom7", "min7", "maj7", "sus4", "dim")
# Added to the fit of a quality: plain chords are preferred where the notes do not decide.
_PRIOR = {"maj": 0.05, "min": 0.05, "power": 0.0, "sus4": -0.05, "dim": -0.05}
_CHANGE_COST = 0.25
_DOWNBEAT_CHANGE_COST = 0.08
_MISSING_COST = 0.12
_ROOT_IN_BASS = 0.35
_NEAR = 0.05  # s; nearer times are the same


def estimate_chords(
    notes: Sequence[Note],
    bass_notes: Sequence[Note],
    beats: np.ndarray,
    downbeats: np.ndarray,
    duration: float,
) -> tuple[Chord, ...]:
    """Estimate chords that cover a song without gaps and change on beats only.

    Args:
        notes: all notes with a pitch, also those of the bass.
        bass_notes: the notes of the bass.
        beats: times in seconds `[B]`.
        downbeats: times in seconds `[D]`.
        duration: of the song, in seconds.
    """
    edges = beat_edges(beats, duration)
    harmony, bass = _profile(notes, edges), _profile(bass_notes, edges)
    states = [(root, quality) for quality in _CANDIDATES for root in range(12)]
    scores = np.stack([_fit(harmony, bass, *state) for state in states], axis=1)
    on_downbeat = near_any(edges[:-1], downbeats)
    path = best_path(scores, np.where(on_downbeat, _DOWNBEAT_CHANGE_COST, _CHANGE_COST))
    chords = []
    for first, last in runs(path):
        root, quality = states[path[first]]
        tones = {(root + step) % 12 for step in QUALITIES[quality][0]}
        lowest = int(bass[first:last].sum(axis=0).argmax())
        chords.append(
            Chord(
                float(edges[first]),
                float(edges[last]),
                root,
                quality,
                lowest if lowest in tones and bass[first:last].any() else root,
            )
        )
    return tuple(chords)


def _profile(notes: Sequence[Note], edges: np.ndarray) -> np.ndarray:
    """Return each pitch class's share of what sounds in each beat `[beats, 12]`; 0 in silence."""
    profile = np.zeros((len(edges) - 1, 12))
    for note in notes:
        first = max(int(np.searchsorted(edges, note.onset + 0.03, side="right")) - 1, 0)
        for beat in range(first, len(profile)):
            overlap = min(note.end, edges[beat + 1]) - max(note.onset, edges[beat])
            if overlap <= 0 and edges[beat] >= note.end:
                break
            profile[beat, note.pitch % 12] += max(overlap, 0.0) * note.velocity
    total = profile.sum(axis=1, keepdims=True)
    return np.divide(profile, total, out=np.zeros_like(profile), where=total > 0)


def _fit(harmony: np.ndarray, bass: np.ndarray, root: int, quality: str) -> np.ndarray:
    """Rate how well a chord explains each beat `[beats]`.

    Sounding tones of the chord raise the rating. Other tones and missing tones lower it.
    """
    tones = [(root + step) % 12 for step in QUALITIES[quality][0]]
    inside = harmony[:, tones].sum(axis=1)
    sounding = harmony.any(axis=1)
    missing = (harmony[:, tones] < 0.04).sum(axis=1)
    fit = 2 * inside - 1 - _MISSING_COST * missing + _ROOT_IN_BASS * bass[:, root]
    return np.where(sounding, fit + _PRIOR.get(quality, 0.0), 0.0)


def beat_edges(beats: np.ndarray, duration: float) -> np.ndarray:
    """Return the edges of the beats of a song `[beats + 1]`, from 0 to its end, in seconds."""
    inside = beats[(beats > _NEAR) & (beats < duration)]
    return np.append(np.unique(np.append(0.0, inside)), duration)


def near_any(times: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return whether each time `[N]` is the same as any of the others, but for rounding.

    The others may be in any order. A table of all pairs would take gigabytes for hours of beats.
    """
    others = np.sort(others)
    if not len(others):
        return np.zeros(len(times), np.bool_)
    after = np.searchsorted(others, times)
    nearest = np.minimum(
        np.abs(others[np.maximum(after - 1, 0)] - times),
        np.abs(others[np.minimum(after, len(others) - 1)] - times),
    )
    return np.asarray(nearest < _NEAR)


def runs(path: np.ndarray) -> list[tuple[int, int]]:
    """Return the first index of each stretch of equal states, and the one after its last."""
    starts = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(path)], strict=True))


def best_path(scores: np.ndarray, change_costs: np.ndarray) -> np.ndarray:
    """Return the states `[beats]` with the greatest sum of `scores` minus the costs of changes."""
    best, back = scores[0], []
    for score, cost in zip(scores[1:], change_costs[1:], strict=True):
        leader = int(best.argmax())
        changed = best[leader] - cost
        back.append(np.where(best >= changed, np.arange(len(best)), leader))
        best = np.maximum(best, changed) + score
    path = [int(best.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return np.array(path[::-1])
