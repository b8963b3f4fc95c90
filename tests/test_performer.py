"""The performer plays the notes that it is given, whole phrases at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.codes.codec import CodeFormat
from shared.errors import UserError
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens
from shared.sources import SOURCES
from stage2_prior.performer import sampling
from stage2_prior.performer.network import Performer, PerformerConfig
from stage2_prior.performer.phrases import Phrase, choose_reference, plan_phrases
from stage2_prior.performer.sampling import FREE, perform
from stage2_prior.performer.score import hide_notes, make_score
from stage2_prior.sampling_defaults import SamplingDefaults

CONFIG = PerformerConfig(dim=32, heads=2, depth=2, feedforward=2, dropout=0, window_seconds=2)
SETTINGS = SamplingDefaults(temperature=1, min_p=0, note_guidance=2)
RATE = 44100 / 1024


@pytest.fixture(scope="module")
def performer() -> Performer:
    torch.manual_seed(0)
    model = Performer(CONFIG, CodeFormat(SOURCES, 8, 16, 44100, 1024, "codec")).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.requires_grad_(False)


def line(frames: int, seed: int = 0) -> np.ndarray:
    """Notes of about half a second, with rests between some of them."""
    chance = np.random.default_rng(seed)
    onsets = np.arange(0, frames / RATE, 0.5)
    notes = [Note(t, chance.choice([0.3, 0.5]), int(chance.integers(28, 50))) for t in onsets]
    return notes_to_tokens(notes, frames, RATE)


def logits_at_once(performer: Performer, score: np.ndarray, codes: np.ndarray) -> torch.Tensor:
    return performer(torch.from_numpy(score)[None], torch.from_numpy(codes)[None].long())[0]


def test_only_past_codes_and_the_score_count(performer: Performer) -> None:
    frames, place = 60, 30
    score = make_score(line(frames), None, 0)
    codes = np.random.default_rng(0).integers(0, 16, (8, frames))
    changed = codes.copy()
    changed[:, place] = (codes[:, place] + 1) % 16
    before, after = (logits_at_once(performer, score, each) for each in (codes, changed))
    same = (before == after).all(-1)  # [F, H]
    written = np.arange(frames)[:, None] + np.array(performer.pattern.delays)  # in which step
    assert same.numpy().tolist() == (written <= place).tolist()
    other = make_score(line(frames, seed=1), None, 0)
    assert not torch.allclose(before[0], logits_at_once(performer, other, codes)[0])


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_cached_sampling_equals_the_whole_network(performer: Performer, guidance: float) -> None:
    """The most probable codes, drawn step by step, are the most probable ones at once."""
    notes = line(40)  # it is shorter than a reference, so nothing comes before it
    settings = replace(SETTINGS, temperature=0, note_guidance=guidance)
    codes = perform(performer, notes, settings)
    score = make_score(notes, None, 0)
    logits = logits_at_once(performer, score, codes.astype(np.int64))
    if guidance != 1:
        hidden = logits_at_once(performer, hide_notes(score), codes.astype(np.int64))
        logits = hidden.lerp(logits, guidance)
    assert (logits.argmax(-1).T.numpy() == codes).all()


def test_a_batch_of_phrases_equals_each_alone(
    performer: Performer, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = line(200)
    together = perform(performer, notes, SETTINGS, seed=3)
    monkeypatch.setattr(sampling, "MOST_PHRASES", 1)
    assert (perform(performer, notes, SETTINGS, seed=3) == together).all()


def test_seeds_repeat_and_differ(performer: Performer) -> None:
    notes = line(100)
    first, again, other = (perform(performer, notes, SETTINGS, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).mean() > 0.5


def test_given_codes_are_kept(performer: Performer) -> None:
    notes = line(150)
    chance = np.random.default_rng(0)
    given = chance.integers(0, 16, (8, 150))
    fixed = np.where(chance.random((8, 150)) < 0.3, given, FREE)
    fixed[:, 80:130] = given[:, 80:130]
    codes = perform(performer, notes, SETTINGS, fixed=fixed)
    assert (codes == fixed)[fixed != FREE].all()
    assert codes.max() < 16
    everything = perform(performer, notes, SETTINGS, fixed=given)
    assert (everything == given).all()


def test_a_phrase_that_is_drawn_again_leaves_the_others(performer: Performer) -> None:
    notes = line(200)
    codes = perform(performer, notes, SETTINGS)
    fixed = codes.astype(np.int64)
    fixed[:, 100:150] = FREE
    again = perform(performer, notes, SETTINGS, fixed=fixed, seed=1)
    changed = (again != codes).any(0)
    assert changed[100:150].mean() > 0.9
    assert not changed[:100].any()
    assert not changed[150:].any()


def test_a_phrase_continues_what_comes_before_it_where_that_is_known(performer: Performer) -> None:
    frames, gap, context = 160, Phrase(100, 120), performer.window // 2
    notes = line(frames)
    fixed = np.random.default_rng(0).integers(0, 16, (8, frames))
    fixed[:, gap.slice] = FREE
    settings = replace(SETTINGS, temperature=0, note_guidance=1)
    codes = perform(performer, notes, settings, fixed=fixed)
    seen = slice(gap.start - context, frames)
    score = make_score(notes, None, 0)[:, seen]
    logits = logits_at_once(performer, score, codes[:, seen].astype(np.int64))
    played = logits.argmax(-1).T.numpy()[:, context : context + gap.frames]
    assert (played == codes[:, gap.slice]).all()


def test_the_notes_the_tone_and_the_loudness_decide(performer: Performer) -> None:
    notes = line(40)
    plain = perform(performer, notes, SETTINGS)
    loud = perform(performer, notes, SETTINGS, loudness=np.full(40, 7))
    slapped = perform(performer, notes, SETTINGS, tone=3)
    assert (plain != loud).any()
    assert (plain != slapped).any()
    assert (plain != perform(performer, line(40, seed=1), SETTINGS)).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tone": 7}, "no tone 7"),
        ({"seed": -1}, "seed"),
        ({"fixed": np.full((8, 10), 16)}, "given codes"),
        ({"fixed": np.full((7, 10), FREE)}, "given codes"),
        ({"loudness": np.zeros(9)}, "loudness"),
        ({"loudness": np.full(10, 8)}, "loudness"),
        ({"notes": np.full(10, NoteVocabulary.size)}, "notes"),
        ({"notes": np.zeros(0, np.int64)}, "notes"),
    ],
)
def test_bad_input_is_named(performer: Performer, changes: dict, message: str) -> None:
    notes = changes.pop("notes", np.zeros(10, np.int64))
    with pytest.raises(UserError, match=message):
        perform(performer, notes, SETTINGS, **changes)


def test_the_sizes_of_the_network_must_fit() -> None:
    with pytest.raises(UserError, match=r"'model\.performer\.dim'"):
        PerformerConfig(dim=30)
    with pytest.raises(UserError, match="smallest"):
        PerformerConfig(delays=(1, 2))
    format = CodeFormat(SOURCES, 8, 16, 44100, 1024, "codec")
    with pytest.raises(UserError, match="8 numbers"):
        Performer(replace(CONFIG, delays=(0, 1)), format)


def test_phrases_cover_what_is_free_and_are_not_too_long() -> None:
    chance = np.random.default_rng(0)
    for seed in range(20):
        notes = line(int(chance.integers(1, 1500)), seed)
        free = np.repeat(chance.random(len(notes) // 50 + 1) < 0.6, 50)[: len(notes)]
        length, bridged = int(chance.integers(5, 200)), int(chance.integers(0, 100))
        planned = plan_phrases(notes, free, length, bridged)
        covered = np.zeros(len(notes), int)
        for phrase in planned:
            covered[phrase.slice] += 1
            assert 0 < phrase.frames <= 1.8 * length
        assert (covered[free] == 1).all()
        assert covered.max(initial=0) <= 1


def test_phrases_begin_after_rests_or_else_with_notes() -> None:
    notes = np.full(300, NoteVocabulary.sustain(40))
    notes[::10] = NoteVocabulary.onset(40)
    everything = np.ones(300, bool)
    assert [p.start for p in plan_phrases(notes, everything, 100, 0)] == [0, 100, 200]
    assert [p.start for p in plan_phrases(notes, everything, 98, 0)] == [0, 70, 150, 220]
    notes[117:120] = NoteVocabulary.REST
    assert [p.start for p in plan_phrases(notes, everything, 100, 0)] == [0, 118, 200]


def test_the_reference_sounds_and_is_known_if_possible() -> None:
    notes = np.full(300, NoteVocabulary.REST)
    notes[100:140] = NoteVocabulary.sustain(40)
    notes[[100, 120]] = NoteVocabulary.onset(40)
    notes[200:230] = NoteVocabulary.sustain(45)
    notes[200] = NoteVocabulary.onset(45)
    known = np.zeros(300, bool)
    assert choose_reference(notes, known, 40) == Phrase(100, 140)
    known[190:250] = True
    assert choose_reference(notes, known, 40) == Phrase(200, 240)
    known[220:] = False
    assert choose_reference(notes, known, 40) == Phrase(100, 140)
    assert choose_reference(np.zeros(50, int), np.zeros(50, bool), 50) == Phrase(0, 50)
