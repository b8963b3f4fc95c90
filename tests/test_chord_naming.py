"""Chords that are named from probabilities."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from shared.music.bar_grid import BarGrid
from shared.music.chord import QUALITIES, Chord
from shared.music.chord_naming import (
    QUALITY_CLASSES,
    UNKNOWN_QUALITY,
    name_chords,
    quality_class,
    quality_probabilities,
)

RATE = 43.07
Floats = npt.NDArray[np.float64]


def even_grid(seconds: float, tempo: float = 120.0, first: float = 0.0) -> BarGrid:
    beats = np.arange(first, seconds + 60 / tempo, 60 / tempo)
    return BarGrid.of(beats.tolist(), beats[::4].tolist(), seconds)


def frames_of(
    chords: list[tuple[float, int, str]], seconds: float, certainty: float
) -> tuple[Floats, Floats]:
    """Probabilities of chords, each given by its beginning, its root and its quality."""
    frames = round(seconds * RATE)
    root = np.full((frames, 12), (1 - certainty) / 11)
    quality = np.full((frames, len(QUALITY_CLASSES)), (1 - certainty) / (len(QUALITY_CLASSES) - 1))
    starts = [round(start * RATE) for start, _, _ in chords]
    for (_, pitch, name), a, b in zip(chords, starts, [*starts[1:], frames], strict=True):
        root[a:b, pitch], quality[a:b, quality_class(name)] = certainty, certainty
    return root, quality


def test_every_quality_has_a_class_that_is_a_quality_of_its_own_class() -> None:
    assert {quality_class(quality) for quality in QUALITIES} == set(range(len(QUALITY_CLASSES)))
    assert [quality_class(name) for name in QUALITY_CLASSES] == list(range(len(QUALITY_CLASSES)))
    assert quality_class("dom9") == quality_class("dom7")
    assert quality_class("hdim7") == quality_class("dim")
    assert quality_class("mystery") == UNKNOWN_QUALITY == -1


@pytest.mark.parametrize("seed", range(8))
def test_chords_are_found_in_noise(seed: int) -> None:
    """Chords that last one to three bars are found, although many frames name another root."""
    draw = np.random.default_rng(seed)
    tempo = draw.uniform(70, 180)
    bar = 240 / tempo
    lengths = draw.integers(1, 4, 6)
    starts = bar * np.append(0, np.cumsum(lengths)[:-1])
    roots = np.cumsum(draw.integers(1, 12, 6)) % 12
    truth = [
        (float(start), int(root), str(draw.choice(["maj", "min", "dom7"])))
        for start, root in zip(starts, roots, strict=True)
    ]
    seconds = float(bar * lengths.sum())
    root, quality = frames_of(truth, seconds, 0.4)
    wrong = draw.random(len(root)) < 0.35
    root[wrong] = draw.dirichlet(np.full(12, 0.2), int(wrong.sum()))
    found = name_chords(root, quality, RATE, even_grid(seconds, tempo))
    assert [(chord.root, chord.quality) for chord in found] == [each[1:] for each in truth]
    np.testing.assert_allclose([chord.start for chord in found], starts, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_chords_cover_the_song_and_change_on_beats(seed: int) -> None:
    draw = np.random.default_rng(seed)
    grid = even_grid(7.3, 110, first=0.21)
    found = name_chords(
        draw.dirichlet(np.full(12, 0.1), 314),
        draw.dirichlet(np.full(len(QUALITY_CLASSES), 0.1), 314),
        RATE,
        grid,
    )
    assert found[0].start == 0
    assert found[-1].end == pytest.approx(314 / RATE)
    for before, after in itertools.pairwise(found):
        assert before.end == after.start
        assert np.abs(grid.beats - after.start).min() < 1e-9
        assert (before.root, before.quality) != (after.root, after.quality)
    assert all(chord.bass == chord.root for chord in found)


def test_a_change_is_more_likely_on_a_downbeat() -> None:
    """One beat that another root fits a little better changes the chord only after a bar line."""
    grid = even_grid(8.0)
    changed = {}
    for beat in (8, 9):
        root, quality = frames_of([(0.0, 0, "maj")], 8.0, 0.5)
        frames = slice(round(beat * 0.5 * RATE), None)
        root[frames, 0], root[frames, 7] = 0.2, 0.2
        root[frames.start : round((beat + 1) * 0.5 * RATE), 7] = 0.5
        changed[beat] = len(name_chords(root, quality, RATE, grid)) > 1
    assert changed == {8: True, 9: False}


def test_a_song_without_frames_has_no_chords_and_a_short_one_has_one() -> None:
    empty = np.empty((0, 12))
    grid = even_grid(4.0)
    assert name_chords(empty, np.empty((0, len(QUALITY_CLASSES))), RATE, grid) == ()
    root, quality = frames_of([(0.0, 4, "min")], 0.1, 0.9)
    assert name_chords(root, quality, RATE, grid) == (Chord(0.0, 4 / RATE, 4, "min", 4),)


def tones_of(root: int, quality: str, certainty: float = 0.95) -> Floats:
    """For each pitch class, the probability that it is a tone of this chord `[1, 12]`."""
    members = [(root + step) % 12 for step in QUALITIES[quality][0]]
    tones = np.full((1, 12), 1 - certainty)
    tones[:, members] = certainty
    return tones


def certain_root(root: int) -> Floats:
    return np.eye(12)[[root]]


@pytest.mark.parametrize("quality", QUALITY_CLASSES)
@pytest.mark.parametrize("root", [0, 7, 11])
def test_the_tones_above_the_root_tell_the_quality(root: int, quality: str) -> None:
    for roots in (certain_root(root), 0.5 * certain_root(root) + 0.5 / 12):
        found = quality_probabilities(roots, tones_of(root, quality))
        assert found.sum() == pytest.approx(1)
        assert QUALITY_CLASSES[found.argmax()] == quality
    assert quality_probabilities(certain_root(root), tones_of(root, quality)).max() > 0.85


def test_the_root_decides_where_the_tones_are_the_same() -> None:
    """The tones of Am7 are those of C6, which counts as C major."""
    tones = tones_of(9, "min7")
    as_minor, as_major = (
        QUALITY_CLASSES[quality_probabilities(certain_root(root), tones).argmax()]
        for root in (9, 0)
    )
    assert (as_minor, as_major) == ("min7", "maj")


def test_tones_that_say_nothing_leave_all_qualities_equal() -> None:
    found = quality_probabilities(np.full((3, 12), 1 / 12), np.full((3, 12), 0.5))
    np.testing.assert_allclose(found, 1 / len(QUALITY_CLASSES))


@pytest.mark.parametrize("seed", range(4))
def test_qualities_are_those_of_each_root_weighed_by_its_probability(seed: int) -> None:
    draw = np.random.default_rng(seed)
    roots, tones = draw.dirichlet(np.ones(12), 5), draw.random((5, 12))
    tones[0, :6], tones[0, 6:] = 0, 1  # beyond what a probability should be
    found = quality_probabilities(roots, tones)
    assert np.isfinite(found).all()
    apart = [quality_probabilities(np.tile(certain_root(r), (5, 1)), tones) for r in range(12)]
    np.testing.assert_allclose(found, np.einsum("tr,rtq->tq", roots, np.stack(apart)))
    moved = quality_probabilities(np.roll(roots, 5, 1), np.roll(tones, 5, 1))
    np.testing.assert_allclose(found, moved)
