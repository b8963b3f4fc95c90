"""Named chords from the probabilities of a chord's root and of its quality in each frame.

Chords change on beats only. Dynamic programming finds the most probable sequence of chords, in
which each change has a cost that is lower on downbeats. A quality is one of a few classes, because
sound hardly tells apart the chords within a class, such as a dominant seventh and ninth.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from shared.music.bar_grid import BarGrid
from shared.music.chord import QUALITIES, Chord
from shared.music.chord_estimation import beat_edges, best_path, near_any, runs

# The classes, each named by the quality that stands for it, and the other qualities in it.
_MEMBERS = {
    "maj": ("maj6", "add9"),
    "min": ("min6",),
    "dom7": ("dom9", "dom7b9", "dom7s9"),
    "maj7": ("maj9",),
    "min7": ("min9",),
    "sus4": ("sus2", "sus7"),
    "dim": ("dim7", "hdim7"),
    "aug": (),
    "power": (),
}
QUALITY_CLASSES = tuple(_MEMBERS)
UNKNOWN_QUALITY = -1
_CLASS_OF = {
    quality: index
    for index, (name, others) in enumerate(_MEMBERS.items())
    for quality in (name, *others)
}
# In nats, like the logarithm of the mean probability of a chord in a beat.
_CHANGE_COST = 1.5
_DOWNBEAT_CHANGE_COST = 0.5
_LEAST_PROBABILITY = 1e-4  # A single beat can then outweigh no more than a few others.


def quality_class(quality: str) -> int:
    """Return the index in QUALITY_CLASSES of a key of QUALITIES; UNKNOWN_QUALITY for others."""
    return _CLASS_OF.get(quality, UNKNOWN_QUALITY)


def name_chords(
    root: npt.NDArray[np.floating],
    quality: npt.NDArray[np.floating],
    frame_rate: float,
    grid: BarGrid,
) -> tuple[Chord, ...]:
    """Name chords that cover a song without gaps and change on beats only.

    Args:
        root: probabilities of the chord's root, as a pitch class, in each frame `[T, 12]`.
        quality: probabilities of QUALITY_CLASSES in each frame `[T, Q]`.
        frame_rate: frames per second. Frame t is at t / frame_rate seconds.
        grid: the beats and bars of the song.

    Returns:
        The chords, which are in root position; none for a song without frames.
    """
    if len(root) == 0:
        return ()
    edges = beat_edges(grid.beats, len(root) / frame_rate)
    scores = (
        _log_mean(root, edges, frame_rate)[:, None, :]
        + _log_mean(quality, edges, frame_rate)[:, :, None]
    )  # [beats, Q, 12]
    costs = np.where(near_any(edges[:-1], grid.downbeats), _DOWNBEAT_CHANGE_COST, _CHANGE_COST)
    path = best_path(scores.reshape(len(scores), -1), costs)
    chords = []
    for first, last in runs(path):
        index, pitch_class = divmod(int(path[first]), 12)
        chords.append(
            Chord(
                float(edges[first]),
                float(edges[last]),
                pitch_class,
                QUALITY_CLASSES[index],
                pitch_class,
            )
        )
    return tuple(chords)


def quality_probabilities(
    root: npt.NDArray[np.floating], tones: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Return the probabilities of QUALITY_CLASSES `[T, Q]` from those of root and tones.

    Args:
        root: probabilities of the chord's root, as a pitch class `[T, 12]`.
        tones: for each pitch class, the probability that it is a tone of the chord `[T, 12]`.
    """
    tones = np.asarray(tones, np.float64).clip(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    inside, outside = np.log(tones), np.log(1 - tones)
    total = np.zeros((len(root), len(QUALITY_CLASSES)))
    for pitch_class in range(12):
        likelihoods = []
        for quality in QUALITY_CLASSES:
            members = [(pitch_class + step) % 12 for step in QUALITIES[quality][0]]
            others = [other for other in range(12) if other not in members]
            likelihoods.append(inside[:, members].sum(1) + outside[:, others].sum(1))
        scores = np.stack(likelihoods, axis=1)
        scores = np.exp(scores - scores.max(1, keepdims=True))
        total += root[:, [pitch_class]] * scores / scores.sum(1, keepdims=True)
    return total / total.sum(1, keepdims=True)


def _log_mean(
    probabilities: npt.NDArray[np.floating], edges: npt.NDArray[np.float64], frame_rate: float
) -> npt.NDArray[np.float64]:
    """Return the logarithm of the mean probabilities `[T, K]` in each beat `[beats, K]`."""
    first = np.clip(np.ceil(edges * frame_rate - 1e-6).astype(int), 0, len(probabilities))
    means = [
        probabilities[min(a, len(probabilities) - 1) : max(b, a + 1)].mean(axis=0)
        for a, b in itertools.pairwise(first.tolist())
    ]
    return np.log(np.maximum(np.stack(means), _LEAST_PROBABILITY))
