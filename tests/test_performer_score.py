"""The performer's score says what sounds and what follows."""

import numpy as np
import pytest

from shared.music.notes import Note, NoteVocabulary, notes_to_tokens
from stage2_prior.loudness import UNKNOWN_LOUDNESS
from stage2_prior.performer.score import (
    BUCKETS,
    HIDDEN,
    HORIZON,
    LOUDNESS,
    NEXT_PITCH,
    NOTE,
    NOTHING,
    REMAINING,
    SIZES,
    TONE,
    UNTIL_NEXT,
    hide_notes,
    loudness_of,
    make_score,
)
from stage2_prior.performer.tone import TONES, UNKNOWN_TONE, tone_of_program

ON, HELD, REST = NoteVocabulary.onset, NoteVocabulary.sustain, NoteVocabulary.REST


def test_a_score_tells_what_follows() -> None:
    tokens = np.array([REST, ON(30), HELD(30), HELD(30), ON(30), ON(35), HELD(35), REST])
    score = make_score(tokens, np.full(8, 5), tone=2)
    assert score[NOTE].tolist() == (1 + tokens).tolist()
    assert score[REMAINING].tolist() == [NOTHING, 4, 3, 2, 2, 3, 2, NOTHING]  # 2 is one frame
    low, high = (2 + pitch - NoteVocabulary.LOW for pitch in (30, 35))
    assert score[NEXT_PITCH].tolist() == [low] * 4 + [high] + [NOTHING] * 3
    assert score[UNTIL_NEXT].tolist() == [2, 4, 3, 2, 2] + [NOTHING] * 3
    assert score[LOUDNESS].tolist() == [HIDDEN, 6, 6, 6, 6, 6, 6, HIDDEN]
    assert score[TONE].tolist() == [2] * 8


def test_a_pitch_that_changes_without_an_onset_is_a_note() -> None:
    score = make_score(np.array([ON(30), HELD(30), HELD(31), REST]), None, 0)
    assert score[REMAINING].tolist() == [3, 2, 2, NOTHING]
    assert score[UNTIL_NEXT].tolist() == [3, 2, NOTHING, NOTHING]


def test_notes_beyond_the_horizon_are_not_told() -> None:
    tokens = np.full(HORIZON + 2, REST)
    tokens[-1] = ON(40)
    score = make_score(tokens, None, 0)
    assert score[NEXT_PITCH, 0] == NOTHING
    assert score[NEXT_PITCH, 1] > NOTHING
    assert score[UNTIL_NEXT, 1] == SIZES[UNTIL_NEXT] - 1


def test_classes_stay_within_their_tables() -> None:
    chance = np.random.default_rng(0)
    tokens = np.repeat(chance.integers(0, NoteVocabulary.size, 60), chance.integers(1, 150, 60))
    score = make_score(tokens, chance.integers(0, 8, len(tokens)), len(TONES) - 1)
    assert (score >= 0).all()
    assert (score.max(1) < np.array(SIZES)).all()
    assert (score[REMAINING].max(), score[UNTIL_NEXT].max()) == (len(BUCKETS) + 1,) * 2


def test_a_part_of_a_score_is_the_score_of_that_part_and_what_follows() -> None:
    tokens = notes_to_tokens([Note(t / 3, 0.3, 30 + t) for t in range(20)], 300, 43)
    whole = make_score(tokens, None, 1)
    part = make_score(tokens[50 : 100 + HORIZON + 1], None, 1)
    assert (part[:, :50] == whole[:, 50:100]).all()


def test_only_the_tone_is_left_when_notes_are_hidden() -> None:
    score = make_score(np.array([ON(30), HELD(30)]), np.array([3, 3]), 4)
    assert hide_notes(score).tolist() == [[HIDDEN] * 2] * TONE + [[4, 4]]


def test_loudness_is_that_of_the_note_that_sounds() -> None:
    notes = [Note(0, 1, 30, 64), Note(1, 0.5, 32, 84), Note(2, 1, 30, 127)]
    rest = UNKNOWN_LOUDNESS
    assert loudness_of(notes, 6, 2).tolist() == [2, 2, 4, rest, 7, 7]
    assert loudness_of([Note(0, 1, 30), Note(1, 1, 32)], 4, 2).tolist() == [rest] * 4
    assert loudness_of([], 2, 2).tolist() == [rest] * 2
    unknown = make_score(np.array([ON(30), REST]), np.full(2, UNKNOWN_LOUDNESS), 0)
    assert unknown[LOUDNESS].tolist() == [HIDDEN, HIDDEN]


@pytest.mark.parametrize(
    ("program", "tone"),
    [
        (32, "upright"),
        (33, "fingered"),
        (34, "picked"),
        (35, "fretless"),
        (36, "slap"),
        (37, "slap"),
        (38, "synth"),
        (39, "synth"),
        (0, "unknown"),
        (None, "unknown"),
    ],
)
def test_the_tones_of_programs(program: int | None, tone: str) -> None:
    assert TONES[tone_of_program(program)] == tone
    assert TONES[UNKNOWN_TONE] == "unknown"
