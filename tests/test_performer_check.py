"""The check hears whether a sound plays its notes."""

import numpy as np
import pytest

from shared.errors import UserError
from shared.music.notes import Note, notes_to_tokens
from stage2_prior.performer.check import PlayedNotes, failed_phrases, listen_to_notes
from stage2_prior.performer.phrases import Phrase

RATE, FRAME_RATE, SECONDS = 44_100, 44_100 / 1024, 4.0
NOTES = [Note(0.5 * i, 0.45, pitch) for i, pitch in enumerate([28, 40, 33, 35, 47, 30, 52, 43])]
TOKENS = notes_to_tokens(NOTES, round(SECONDS * FRAME_RATE), FRAME_RATE)


def sound(notes: list[Note], cents: float = 0, weak_fundamental: bool = False) -> np.ndarray:
    """Plucked notes of eight harmonics."""
    audio = np.zeros(round(SECONDS * RATE), np.float32)
    for note in notes:
        t = np.arange(round(note.duration * RATE)) / RATE
        frequency = 440 * 2 ** ((note.pitch + cents / 100 - 69) / 12)
        levels = [0.1 if weak_fundamental and h == 1 else 1 / h for h in range(1, 9)]
        wave = sum(
            level * np.sin(2 * np.pi * h * frequency * t) for h, level in enumerate(levels, 1)
        )
        start = round(note.onset * RATE)
        audio[start : start + len(t)] += np.asarray(wave * np.exp(-3 * t) * np.minimum(1, t * 200))
    return np.stack((audio, audio))


def moved(semitones: int) -> list[Note]:
    return [Note(note.onset, note.duration, note.pitch + semitones) for note in NOTES]


def listen(audio: np.ndarray) -> PlayedNotes:
    return listen_to_notes(audio, TOKENS, RATE, FRAME_RATE)


@pytest.mark.parametrize("cents", [-30, 0, 30])
def test_the_right_notes_are_heard(cents: float) -> None:
    played = listen(sound(NOTES, cents))
    assert played.is_right.all()
    assert played.right_share == 1


def test_an_octave_and_a_weak_fundamental_do_not_matter() -> None:
    assert listen(sound(moved(12))).is_right.all()
    assert listen(sound(NOTES, weak_fundamental=True)).is_right.all()


@pytest.mark.parametrize("semitones", [-2, -1, 1, 2, 5, 7])
def test_wrong_notes_are_heard(semitones: int) -> None:
    played = listen(sound(moved(semitones)))
    assert not played.is_right.any()
    assert played.right_share == 0


def test_a_note_that_cannot_be_heard_is_not_played() -> None:
    played = listen(sound(NOTES[:3] + NOTES[4:]))
    assert played.is_right.tolist() == [True] * 3 + [False] + [True] * 4
    assert listen(np.zeros((2, round(SECONDS * RATE)), np.float32)).right_share == 0
    # Nothing is heard after the end of the sound either.
    assert listen(sound(NOTES)[:, : 2 * RATE]).is_right.tolist() == [True] * 4 + [False] * 4


def test_the_phrases_with_wrong_notes_fail() -> None:
    played = listen(sound([*NOTES[:2], *moved(1)[2:4], *NOTES[4:]]))
    quarters = [Phrase(start, start + 43) for start in range(0, 172, 43)]
    assert failed_phrases(played, quarters) == [quarters[1]]
    assert failed_phrases(played, [Phrase(0, 172)], most_wrong=0.3) == []
    assert failed_phrases(played, [Phrase(0, 172)], most_wrong=0.2) == [Phrase(0, 172)]


def test_rests_cannot_fail() -> None:
    rests = np.zeros(100, np.int64)
    played = listen_to_notes(sound(NOTES), rests, RATE, FRAME_RATE)
    assert len(played.agreement) == 0
    assert np.isnan(played.right_share)
    assert failed_phrases(played, [Phrase(0, 100)]) == []


def test_values_that_are_no_tokens_are_refused() -> None:
    with pytest.raises(UserError, match="tokens"):
        listen_to_notes(sound(NOTES), np.full(10, -1), RATE, FRAME_RATE)
