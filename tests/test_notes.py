"""Notes as tokens: what each token means, and that notes survive the way there and back."""

import numpy as np
import pytest

from shared.music.notes import Note, NoteVocabulary, notes_to_tokens, tokens_to_notes

FRAME_RATE = 44_100 / 1024


def test_every_token_means_one_thing() -> None:
    assert NoteVocabulary.size == 97
    tokens = np.arange(NoteVocabulary.size)
    pitches, onsets = NoteVocabulary.pitches(tokens), NoteVocabulary.onsets(tokens)
    assert pitches[0] == -1
    assert not onsets[0]
    for token in range(1, NoteVocabulary.size):
        name = NoteVocabulary.onset if onsets[token] else NoteVocabulary.sustain
        assert name(int(pitches[token])) == token
    assert (pitches[1], pitches[-1]) == (23, 70)


def test_the_tokens_of_one_pitch_are_what_files_hold() -> None:
    """Codes files and trained weights hold these numbers: they must never change."""
    assert (NoteVocabulary.sustain(40), NoteVocabulary.onset(40)) == (35, 36)
    assert NoteVocabulary.pitches([0, 35, 36]).tolist() == [-1, 40, 40]
    assert NoteVocabulary.onsets([0, 35, 36]).tolist() == [False, False, True]


def test_the_tables_say_the_same_of_every_token() -> None:
    tokens = np.arange(NoteVocabulary.size)
    for table in (NoteVocabulary.PITCHES, NoteVocabulary.PITCH_CLASSES, NoteVocabulary.IS_ONSET):
        assert table.shape == tokens.shape
    assert NoteVocabulary.PITCH_CLASSES[0] == -1
    assert NoteVocabulary.PITCH_CLASSES[[35, 36]].tolist() == [4, 4]  # E
    sounding = NoteVocabulary.PITCHES[1:]
    np.testing.assert_array_equal(sounding, np.repeat(np.arange(23, 71), 2))
    np.testing.assert_array_equal(NoteVocabulary.PITCH_CLASSES[1:], sounding % 12)
    np.testing.assert_array_equal(NoteVocabulary.IS_ONSET[1:], [False, True] * 48)


@pytest.mark.parametrize(("pitch", "folded"), [(22, 34), (11, 23), (71, 59), (96, 60), (40, 40)])
def test_pitches_fold_by_octaves(pitch: int, folded: int) -> None:
    assert NoteVocabulary.fold(pitch) == folded
    assert NoteVocabulary.PITCHES[NoteVocabulary.onset(pitch)] == folded
    assert NoteVocabulary.PITCHES[NoteVocabulary.sustain(pitch)] == folded


def test_notes_survive_tokens() -> None:
    notes = [Note(0, 4 / FRAME_RATE, 40), Note(4 / FRAME_RATE, 1 / FRAME_RATE, 40),
             Note(9 / FRAME_RATE, 3 / FRAME_RATE, 23)]  # fmt: skip
    tokens = notes_to_tokens(notes, 12, FRAME_RATE)
    assert tokens.dtype == np.uint8
    assert tokens.tolist() == [36, 35, 35, 35, 36, 0, 0, 0, 0, 2, 1, 1]
    assert tokens_to_notes(tokens, FRAME_RATE) == notes


def test_a_time_belongs_to_the_nearest_frame() -> None:
    tokens = notes_to_tokens([Note(0.9, 1.2, 40), Note(3.4, 0.7, 43)], 6, 1.0)
    assert NoteVocabulary.pitches(tokens).tolist() == [-1, 40, -1, 43, -1, -1]


def test_a_later_onset_cuts_and_the_lowest_of_a_chord_stays() -> None:
    tokens = notes_to_tokens([Note(0, 10, 40), Note(2, 1, 45), Note(2, 5, 52)], 6, 1.0)
    assert NoteVocabulary.pitches(tokens).tolist() == [40, 40, 45, -1, -1, -1]


def test_short_notes_get_a_frame_and_those_outside_are_left_out() -> None:
    tokens = notes_to_tokens([Note(1, 0.01, 40), Note(9, 1, 40), Note(-3, 1, 40)], 3, 1.0)
    assert NoteVocabulary.pitches(tokens).tolist() == [-1, 40, -1]


def test_a_pitch_that_continues_without_an_onset_is_a_note() -> None:
    sustain = NoteVocabulary.sustain
    notes = tokens_to_notes([sustain(40), sustain(40), sustain(43), 0], 1.0)
    assert notes == [Note(0, 2, 40), Note(2, 1, 43)]


def test_no_tokens_are_no_notes() -> None:
    assert tokens_to_notes([], 1.0) == []
    assert tokens_to_notes([0, 0], 1.0) == []
