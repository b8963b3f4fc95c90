from pathlib import Path

import numpy as np
import pytest

from shared.errors import UserError
from shared.music.chord import Chord
from shared.music.notes import NoteVocabulary
from stage2_prior.chord_line import allowed_notes, place_chords, read_chord_file

RATE = 22050


def test_a_chord_file(tmp_path: Path) -> None:
    path = tmp_path / "chords.txt"
    path.write_text("# my song\n0:01 Am\n\n2.5 F/A\n3 N\n0:04 C\n99 G\n")
    assert read_chord_file(path, duration=5.0) == (
        Chord(1.0, 2.5, 9, "min", 9),
        Chord(2.5, 3.0, 5, "maj", 9),
        Chord(4.0, 5.0, 0, "maj", 0),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Am\n", "line 1 .* not a time and a chord"),
        ("0 Am\nx F\n", "in line 2 .* 'x' is not a time"),
        ("2 Am\n1 F\n", "line 2 .* not later"),
        ("0 Am\n\n1 Q\n", "in line 3 .* 'Q' is not a chord"),
        ("9 Am\n", "no chord within"),
    ],
)
def test_a_bad_chord_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "chords.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_chord_file(path, duration=5.0)
    with pytest.raises(UserError, match="cannot read"):
        read_chord_file(tmp_path / "none.txt", duration=5.0)


def test_only_the_chords_tones_are_left() -> None:
    frame_rate, vocabulary = 10.0, NoteVocabulary
    allowed = allowed_notes([Chord(0.5, 1.0, 9, "min", 9)], 20, frame_rate)
    assert allowed[:5].all()
    assert allowed[10:].all()
    start = np.flatnonzero(allowed[5])
    assert vocabulary.onsets(start).all()
    assert set(vocabulary.pitches(start) % 12) == {9}
    later = np.flatnonzero(allowed[7])
    assert later[0] == vocabulary.REST
    assert set(vocabulary.pitches(later[1:]) % 12) == {9, 0, 4}


def test_a_sequence_finds_its_place_in_the_song() -> None:
    """Am and F in turn, two seconds each at 120 beats a minute, from 1 s on F."""
    time = np.arange(17 * RATE) / RATE
    chord = np.where((time + 1) // 2 % 2 == 0, 0, 1)
    tones = {0: (57, 60, 64), 1: (53, 57, 60)}
    hertz = {index: [440 * 2 ** ((p - 69) / 12) for p in tones[index]] for index in tones}
    audio = sum(
        (chord == index) * np.sin(2 * np.pi * f * time) for index in tones for f in hertz[index]
    )
    audio = 0.1 * audio * np.exp(-4 * (time % 0.5))
    placed = place_chords(["Am", "F"], np.stack([audio, audio]).astype(np.float32), RATE)
    changes = [chord.start for chord in placed if 1.5 < chord.start < 15]
    np.testing.assert_allclose(changes, np.arange(3, 15, 2), atol=0.15)
    assert [c.root for c in placed if 1.5 < c.start < 15] == [9, 5, 9, 5, 9, 5]
    assert placed[0].start == 0
    assert placed[-1].end == 17


def test_a_chord_that_is_repeated_starts_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    beats = 0.25 + 0.5 * np.arange(32)
    chroma = np.zeros((12, 32))
    chroma[[9, 0, 4]] = 1
    monkeypatch.setattr("stage2_prior.chord_line._beats_and_chroma", lambda *_: (beats, chroma))
    placed = place_chords(["Am"], np.zeros((2, 17 * RATE), np.float32), RATE)
    assert [chord.start for chord in placed] == [0.0, *beats[4::4]]
    assert [chord.end for chord in placed] == [*beats[4::4], 17.0]
    assert {(chord.root, chord.quality, chord.bass) for chord in placed} == {(9, "min", 9)}


def test_the_length_and_position_of_chords_are_those_that_fit_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C for two beats, G for two, from the second beat on."""
    beats, chroma = 0.5 * np.arange(33), np.zeros((12, 33))
    for beat in range(33):
        chroma[[0, 4, 7] if (beat - 1) // 2 % 2 == 0 else [7, 11, 2], beat] = 1
    monkeypatch.setattr("stage2_prior.chord_line._beats_and_chroma", lambda *_: (beats, chroma))
    placed = place_chords(["C", "G"], np.zeros((2, 17 * RATE), np.float32), RATE)
    assert [chord.root for chord in placed[:4]] == [7, 0, 7, 0]
    assert [chord.start for chord in placed[:4]] == [0.0, 0.5, 1.5, 2.5]


def test_chords_need_beats() -> None:
    with pytest.raises(UserError, match="no beat"):
        place_chords(["Am"], np.zeros((2, RATE), np.float32), RATE)
    with pytest.raises(UserError, match="there are no chords"):
        place_chords([], np.zeros((2, RATE), np.float32), RATE)
