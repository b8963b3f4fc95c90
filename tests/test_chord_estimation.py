"""The chords that are estimated from notes."""

import numpy as np

from shared.music.chord import QUALITIES, Chord
from shared.music.chord_estimation import _NEAR, estimate_chords, near_any
from shared.music.notes import Note

BEATS = np.arange(17) * 0.5
DOWNBEATS = BEATS[::4]


def triads(*chords: tuple[int, str], seconds: float = 2.0) -> list[Note]:
    """Play a chord `(root, quality)` after the other, in a middle register."""
    return [
        Note(i * seconds, seconds, 60 + (root + step) % 12)
        for i, (root, quality) in enumerate(chords)
        for step in QUALITIES[quality][0]
    ]


def roots(*pitches: int, seconds: float = 2.0) -> list[Note]:
    return [Note(i * seconds, seconds, pitch) for i, pitch in enumerate(pitches)]


def estimated(notes: list[Note], bass: list[Note]) -> tuple[Chord, ...]:
    return estimate_chords([*notes, *bass], bass, BEATS, DOWNBEATS, 8.5)


def test_times_are_compared_with_others_in_any_order_and_of_any_number() -> None:
    chance = np.random.default_rng(0)
    times, others = chance.uniform(0, 20, 300), chance.uniform(0, 20, 40)
    expected = (np.abs(times[:, None] - others) < _NEAR).any(1)
    assert 0 < expected.sum() < 300
    np.testing.assert_array_equal(near_any(times, others), expected)
    assert not near_any(times, np.zeros(0)).any()
    many = np.arange(10**6) * 0.5  # a table of all pairs would not fit into any memory
    assert near_any(many, many).all()
    assert not near_any(many, many + 0.1).any()


def test_chords_are_found_where_they_change() -> None:
    found = estimated(
        triads((9, "min"), (5, "maj"), (0, "maj"), (7, "dom7")), roots(33, 29, 36, 31)
    )
    assert [(chord.root, chord.quality, chord.bass) for chord in found] == [
        (9, "min", 9), (5, "maj", 5), (0, "maj", 0), (7, "dom7", 7),
    ]  # fmt: skip
    assert [chord.start for chord in found] == [0.0, 2.0, 4.0, 6.0]
    assert [chord.end for chord in found] == [2.0, 4.0, 6.0, 8.5]


def test_a_chord_tone_in_the_bass_makes_a_slash_chord() -> None:
    found = estimated(triads((0, "maj"), (7, "maj")), roots(36, 35))
    assert [chord.symbol for chord in found] == ["C", "G/B"]


def test_the_bass_decides_between_chords_of_the_same_notes() -> None:
    """C6 and Am7 have the same four notes; without sixths among the candidates it is Am7 or C."""
    notes = [Note(0.0, 8.0, pitch) for pitch in (60, 64, 67, 69)]
    assert estimated(notes, [Note(0.0, 8.0, 33)])[0].symbol == "Am7"
    assert estimated(notes, [Note(0.0, 8.0, 36)])[0].root == 0


def test_a_chord_with_a_tone_that_is_missing_fits_less() -> None:
    notes = [Note(0.0, 8.0, pitch) for pitch in (60, 67)]
    assert [chord.symbol for chord in estimated(notes, [Note(0.0, 8.0, 36)])] == ["C5"]


def test_a_passing_note_does_not_change_the_chord() -> None:
    notes = [*triads((0, "maj"), seconds=8.0), Note(3.25, 0.25, 65), Note(3.5, 0.25, 62)]
    assert [chord.symbol for chord in estimated(notes, [Note(0.0, 8.0, 36)])] == ["C"]


def test_without_notes_there_is_still_a_chord() -> None:
    (chord,) = estimate_chords([], [], BEATS, DOWNBEATS, 8.5)
    assert (chord.start, chord.end) == (0.0, 8.5)
