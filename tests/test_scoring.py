"""Scores of predictions, on logits for which they are known."""

import math

import pytest
import torch

from shared.music.notes import NoteVocabulary
from stage2_prior.model import EncoderLogits, PriorLogits
from stage2_prior.scoring import (
    encoder_figures,
    log_prob,
    nats_of,
    note_accuracy,
    token_nats,
    weighted_mean,
    widened,
)
from stage2_prior.sequences import UNKNOWN

REST = NoteVocabulary.REST
SIZE = NoteVocabulary.size


def certain(tokens: list[int], size: int = SIZE) -> torch.Tensor:
    """Logits `[1, F, size]` that leave no doubt about the tokens of F frames."""
    return 50 * torch.nn.functional.one_hot(torch.tensor([tokens]), size).float()


def test_the_cost_of_a_token_is_its_negative_log_probability() -> None:
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    tokens = torch.tensor([1, 1])
    expected = pytest.approx([math.log(4), -math.log(0.8)], rel=1e-5)
    assert nats_of(probabilities.log(), tokens).tolist() == expected
    assert (-log_prob(probabilities.log() + 7, tokens)).tolist() == expected


def test_where_there_is_no_token_nothing_is_counted() -> None:
    logits = torch.randn(3, 5)
    scores = log_prob(logits, torch.tensor([-2, 4, -1]))
    assert scores[[0, 2]].tolist() == [0, 0]
    assert scores[1] == logits[1].log_softmax(-1)[4]


def test_notes_and_codes_are_scored_against_their_own_streams() -> None:
    note, codes = torch.randn(1, 2, SIZE), torch.randn(1, 2, 3, 5)
    target = torch.tensor([[[90, 91], [0, 1], [2, 3], [4, 0]]])
    encoder = EncoderLogits(note, torch.randn(1, 2, 12))
    nats = token_nats(PriorLogits(note, codes, encoder), target)
    assert nats.note.shape == (1, 2)
    assert nats.codes.shape == (1, 2, 3)
    assert nats.note[0, 1] == pytest.approx(-float(note[0, 1].log_softmax(-1)[91]), rel=1e-5)
    assert nats.codes[0, 1, 2] == pytest.approx(-float(codes[0, 1, 2].log_softmax(-1)[0]), rel=1e-5)
    assert nats.codes[0, 0, 1] == pytest.approx(-float(codes[0, 0, 1].log_softmax(-1)[2]), rel=1e-5)


def test_a_weighted_mean_of_nothing_is_zero() -> None:
    values = torch.tensor([1.0, 2.0, 4.0])
    assert weighted_mean(values, torch.tensor([1.0, 0.0, 3.0])) == pytest.approx(13 / 4)
    assert weighted_mean(values, torch.zeros(3)) == 0


def test_note_accuracy_counts_known_frames_with_a_note() -> None:
    c, d = NoteVocabulary.onset(36), NoteVocabulary.sustain(38)
    notes = torch.tensor([[c, d, REST, c, d]])
    guesses = certain([c, c, c, REST, d])
    known = torch.tensor([[True, True, True, True, False]])
    assert note_accuracy(guesses, notes, known) == pytest.approx(1 / 3)


def figures(
    guesses: list[int],
    notes: list[int],
    roots: list[int] | None = None,
    known: list[bool] | None = None,
) -> dict[str, float]:
    """The figures of an encoder that is certain of the guesses, and of the root G."""
    root = torch.tensor([roots or [UNKNOWN] * len(notes)])
    logits = EncoderLogits(certain(guesses), certain([7] * len(notes), 12))
    mask = torch.tensor([known or [True] * len(notes)])
    found = encoder_figures(logits, torch.tensor([notes]), root, mask)
    return {name: float(value) for name, value in found.items()}


def test_the_pitch_class_counts_in_any_octave_and_whether_a_note_starts_or_not() -> None:
    low, high = NoteVocabulary.onset(36), NoteVocabulary.sustain(60)
    other = NoteVocabulary.onset(37)
    assert figures([high, low, other, REST], [low, low, low, low])["pitch_class"] == 0.5
    for guess in (REST, low):  # frames without a note do not count
        assert figures([guess, low], [REST, low])["pitch_class"] == 1
    assert figures([other, low], [low, low], known=[False, True])["pitch_class"] == 1


def test_the_root_counts_where_it_is_known() -> None:
    note = NoteVocabulary.sustain(40)
    assert figures([note] * 4, [note] * 4, roots=[7, 7, 2, UNKNOWN])["root"] == pytest.approx(2 / 3)
    assert math.isnan(figures([note], [note])["root"])


def test_onsets_may_be_a_frame_early_or_late() -> None:
    start, held = NoteVocabulary.onset(40), NoteVocabulary.sustain(40)
    another = NoteVocabulary.onset(55)
    true = [start, held, held, held, start, held, held, held]

    def f1(*places: int, known: list[bool] | None = None) -> float:
        guesses = [another if frame in places else held for frame in range(8)]
        return figures(guesses, true, known=known)["onset_f1"]

    assert f1(0, 4) == f1(1, 3) == f1(0, 5) == 1
    assert f1(2, 4) == 0.5  # one of two is found, and one of two is right
    assert f1(2, 6) == 0
    assert f1(0) == pytest.approx(2 / 3)
    assert f1() == 0
    assert f1(0, 6, known=[True] * 4 + [False] * 4) == 1


def test_an_onset_is_found_where_all_onsets_together_are_more_probable_than_not() -> None:
    start, held = NoteVocabulary.onset(40), NoteVocabulary.sustain(40)
    probability = torch.zeros(1, 1, SIZE)
    probability[..., held] = 0.4
    probability[..., NoteVocabulary.onset(41)] = probability[..., NoteVocabulary.onset(42)] = 0.3
    logits = EncoderLogits((probability + 1e-9).log(), torch.zeros(1, 1, 12))
    root, known = torch.tensor([[UNKNOWN]]), torch.tensor([[True]])
    assert encoder_figures(logits, torch.tensor([[start]]), root, known)["onset_f1"] == 1


def test_widened() -> None:
    frames = torch.tensor([[True, False, False, False, True, False]])
    assert widened(frames).tolist() == [[True, True, False, True, True, True]]
