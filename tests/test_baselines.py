"""Simple lines: what they play on which bars."""

from typing import Any

import numpy as np

from shared.music.bar_grid import STEPS, BarGrid
from shared.music.chord import Chord
from stage2_prior.baselines import MarkovLine, last_bars, roots_on_beats
from stage2_prior.composer.grid_notes import GridNotes
from tests.toy_songs import make_song

CHORDS = [Chord(0.0, 1.0, 9, "min", 9), Chord(1.0, 1.5, 4, "maj", 8), Chord(2.0, 9.0, 0, "maj", 0)]


def grid(bars: int, beats: int = 4, first: int = 0) -> BarGrid:
    """Bars of half-second beats, of which the first begins at the beat number `first`."""
    count = first + bars * beats + 1
    return BarGrid(np.arange(count) / 2, np.arange(first, count - 1, beats))


def line(*notes: tuple[int, int, int]) -> GridNotes:
    onset, length, pitch = np.array(notes, np.int64).reshape(-1, 3).T
    return GridNotes(onset, length, pitch, np.full(len(onset), -1))


def notes_of(line: GridNotes) -> list[tuple[int, int, int]]:
    return list(zip(line.onset.tolist(), line.length.tolist(), line.pitch.tolist(), strict=True))


def test_roots_fall_on_the_beats_of_their_chords() -> None:
    found = notes_of(roots_on_beats(CHORDS, grid(1)))
    assert found == [(0, STEPS, 33), (STEPS, STEPS, 33), (2 * STEPS, STEPS, 28)]  # A, A, E
    (last,) = notes_of(roots_on_beats(CHORDS, grid(2)))[3:4]
    assert last == (4 * STEPS, STEPS, 36)  # C; under no chord there is no note
    assert notes_of(roots_on_beats([], grid(1))) == []


def test_the_last_bars_are_those_up_to_the_last_note() -> None:
    """Bars 0, 1 and 2 of the source, of which bar 3 is silent, go to the three bars of the target.

    The target begins with two beats of a bar whose beginning is missing.
    """
    bar = 4 * STEPS
    source = line((0, 12, 30), (bar + 6, 6, 31), (bar + 30, 40, 32), (2 * bar, 12, 33))
    target = grid(2, first=2)
    found = notes_of(last_bars(source, grid(4), target))
    start = 2 * STEPS
    # Of bar 0, the note lies before the beginning. That of bar 1 that is too long is cut.
    assert found == [(start + 6, 6, 31), (start + 30, 18, 32), (start + bar, 12, 33)]


def test_too_few_bars_begin_anew_and_short_bars_cut_them() -> None:
    source = line((0, 6, 30), (3 * STEPS, 12, 31))
    found = notes_of(last_bars(source, grid(1), grid(2)))
    bar = 4 * STEPS
    assert found == [(0, 6, 30), (36, 12, 31), (bar, 6, 30), (bar + 36, 12, 31)]
    assert notes_of(last_bars(source, grid(1), grid(2, beats=3))) == [(0, 6, 30), (36, 6, 30)]
    assert notes_of(last_bars(line(), grid(1), grid(2))) == []


def song(name: str, degrees: list[int], **changes: Any) -> Any:
    """Half a second a beat; A minor for four beats, and D for the rest; one note a beat."""
    facts = {
        "beats": [i / 2 for i in range(13)],
        "downbeats": [0.0, 2.0, 4.0, 6.0],
        "chords": [
            {"start": 0.0, "end": 2.0, "root": 9},
            {"start": 2.0, "end": 6.0, "root": 2},
        ],
        "bass_notes": [
            {"onset": i / 2, "duration": 0.5, "pitch": 33 + (0 if i < 4 else 5) + degree}
            for i, degree in enumerate(degrees)
        ],
    }
    return make_song(name, "train", frames=260, song=facts | changes)


def test_a_markov_line_continues_as_training_songs_do() -> None:
    """In the only song, the root, the third and the fifth follow each other over each chord."""
    learned = MarkovLine.learn([song("a", [0, 3, 7] * 4)])
    assert learned is not None
    bars = grid(4)
    chords = [Chord(0.0, 20.0, 2, "min", 2)]
    for seed in range(5):
        drawn = learned.draw(chords, bars, seed)
        degrees = ((drawn.pitch - 2) % 12).tolist()
        assert np.array_equal(drawn.onset, STEPS * np.arange(16))
        cycle = [0, 3, 7]
        begin = cycle.index(degrees[0])
        assert degrees == [cycle[(begin + i) % 3] for i in range(16)]
        assert drawn.pitch.min() >= 28
        assert drawn.pitch.max() <= 55
        assert notes_of(drawn) == notes_of(learned.draw(chords, bars, seed))


def test_the_third_note_depends_on_both_before_it() -> None:
    """After a third comes the root if the root came before it, and the fifth otherwise."""
    learned = MarkovLine.learn([song("a", [0, 3, 0, 7, 3, 7, 0, 3, 0, 7, 3, 7])])
    assert learned is not None
    drawn = learned.draw([Chord(0.0, 99.0, 9, "min", 9)], grid(40), seed=1)
    degrees = ((drawn.pitch - 9) % 12).tolist()
    triples = set(zip(degrees[1:], degrees[2:], degrees[3:], strict=False))
    assert {after for a, b, after in triples if (a, b) == (0, 3)} == {0}
    assert {after for a, b, after in triples if (a, b) == (7, 3)} == {7}


def test_a_song_without_chords_or_beats_teaches_nothing() -> None:
    assert MarkovLine.learn([]) is None
    assert MarkovLine.learn([song("a", [0] * 12, chords=[])]) is None
    assert MarkovLine.learn([song("a", [0] * 12, beats=[], downbeats=[])]) is None


def test_without_a_chord_a_markov_line_rests() -> None:
    learned = MarkovLine.learn([song("a", [0, 3, 7] * 4)])
    assert learned is not None
    drawn = learned.draw([Chord(0.0, 1.0, 9, "min", 9)], grid(2), seed=0)
    assert drawn.onset.tolist() == [0, STEPS]
