"""Sampling a line: windows, guidance, given tokens, and the choice among candidates."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sources import SOURCES
from stage2_prior import sampling
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.delay_pattern import DelayPattern
from stage2_prior.incremental import StepLogits
from stage2_prior.model import MASK, PAD, Prior, before
from stage2_prior.sampling import (
    FREE,
    RANKED_SECONDS,
    GeneratedBass,
    SamplingSettings,
    SongWindow,
    generate,
    plan_windows,
)
from stage2_prior.sampling_defaults import SamplingDefaults

EVERYTHING = SamplingSettings(
    guidance=1.5, source_guidance={"drums": 2.0, "other": 1.5}, candidates=3, top_k=30, top_p=0.95
)


@pytest.fixture(scope="module")
def prior() -> Prior:
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "tiny").model
    prior = Prior(config, CodeFormat(SOURCES, 8, 64, 44100, 1024, "codec"), "test").eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return prior.requires_grad_(False)


def song(frames: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 64, (4, 8, frames))


def given(frames: int) -> np.ndarray:
    """Note tokens and codes `[9, T]` of some bass."""
    chance = np.random.default_rng(1)
    notes = chance.integers(0, NoteVocabulary.size, (1, frames))
    return np.concatenate((notes, chance.integers(0, 64, (8, frames))))


def settings(**changes: Any) -> SamplingSettings:
    return SamplingSettings(**changes)


def same(first: GeneratedBass, second: GeneratedBass) -> bool:
    return np.array_equal(first.codes, second.codes) and np.array_equal(first.notes, second.notes)


class UncachedDecoder:
    """`IncrementalDecoder` by running x-transformers over the whole window at every step."""

    def __init__(self, prior: Prior, batch: int) -> None:
        self.prior = prior

    def start(self, memory: torch.Tensor, tokens: torch.Tensor) -> StepLogits:
        self.memory, self.tokens = memory, tokens
        line = self.prior.decode(before(F.pad(tokens, (0, 1), value=PAD)))[:, -1]
        frame = min(tokens.shape[-1], memory.shape[1] - 1)  # later steps have no note
        note = self.prior.note_logits(line, memory[:, None, frame])
        return StepLogits(note, self.prior.code_head(line))

    def step(self, tokens: torch.Tensor) -> StepLogits:
        return self.start(self.memory, torch.cat((self.tokens, tokens[..., None]), dim=-1))


@pytest.mark.parametrize("frames", [50, 200])  # less than a window, and several (of 86)
def test_cached_equals_uncached_with_guidance_in_batches_across_windows(
    prior: Prior, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = generate(prior, song(frames), EVERYTHING)
    monkeypatch.setattr(sampling, "IncrementalDecoder", UncachedDecoder)
    slow = generate(prior, song(frames), EVERYTHING)
    assert same(fast, slow)
    per_token = abs(fast.log_prob_conditional - slow.log_prob_conditional) / (9 * frames)
    assert per_token < 1e-5


@torch.no_grad()
def test_log_probabilities_are_those_of_the_model(prior: Prior) -> None:
    frames, accompaniment = 60, song(60)
    bass = generate(prior, accompaniment, SamplingSettings(candidates=2))
    tokens = torch.from_numpy(np.concatenate((bass.notes[None], bass.codes)).astype(np.int64))[None]
    silent = np.full_like(accompaniment, prior.dropped)
    for codes, expected in (
        (accompaniment, bass.log_prob_conditional),
        (silent, bass.log_prob_unconditional),
    ):
        logits = prior(torch.from_numpy(codes)[None], tokens)
        note = F.cross_entropy(logits.note[0], tokens[0, 0], reduction="sum")
        code = F.cross_entropy(
            logits.codes[0].flatten(0, 1), tokens[0, 1:].t().flatten(), reduction="sum"
        )
        assert float(-note - code) == pytest.approx(expected, abs=1e-5 * 9 * frames)


PATTERN = DelayPattern.note_then_pairs(8)  # the longest delay is 4


def test_windows_overlap_by_their_context_and_leave_lookahead_for_the_encoder() -> None:
    assert list(plan_windows(0, 204, frames=200, window=86, pattern=PATTERN)) == [
        SongWindow(start=0, first=0, stop=76),  # the encoder reads 10 more frames
        SongWindow(start=51, first=76, stop=127),  # 25 frames are already filled
        SongWindow(start=102, first=127, stop=178),
        SongWindow(start=114, first=178, stop=204),  # the last window ends with the song
    ]


def test_a_short_song_has_one_window_and_a_gap_as_many_as_it_needs() -> None:
    assert list(plan_windows(0, 54, frames=50, window=86, pattern=PATTERN)) == [
        SongWindow(0, 0, 54)
    ]
    assert list(plan_windows(60, 90, frames=200, window=86, pattern=PATTERN)) == [
        SongWindow(35, 60, 90)
    ]
    assert list(plan_windows(10, 90, frames=200, window=86, pattern=PATTERN)) == [
        SongWindow(0, 10, 76),
        SongWindow(51, 76, 90),
    ]


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [
        {"guidance": 1.0, "note_guidance": 1.0},
        {"guidance": 0.0, "note_guidance": 0.0},
        {"guidance": 1.7, "note_guidance": 1.8, "source_guidance": {"drums": 2.5, "other": 0.3}},
    ],
)
def test_at_temperature_0_every_token_is_the_most_probable_of_its_window(
    prior: Prior, changes: dict[str, Any]
) -> None:
    """The whole of sampling, against x-transformers on each window as a whole."""
    settings = SamplingSettings(temperature=0, note_temperature=0, **changes)
    frames, window = 200, prior.window
    accompaniment, fixed = song(frames), given(frames)
    fixed[:, 5:] = FREE
    fixed[:, 190:] = given(frames)[:, 190:]
    allowed = np.random.default_rng(2).random((frames, NoteVocabulary.size)) < 0.5
    bass = generate(prior, accompaniment, settings, fixed=fixed, allowed_notes=allowed)
    tokens = torch.from_numpy(np.concatenate((bass.notes[None], bass.codes)).astype(np.int64))
    assert np.array_equal(tokens[:, :5], fixed[:, :5])
    assert np.array_equal(tokens[:, 190:], fixed[:, 190:])

    log_probs = torch.zeros(2)
    for part in plan_windows(5, frames + 4, frames, window, prior.pattern):
        inside = slice(part.start, part.start + window)
        codes = torch.from_numpy(accompaniment[..., inside])[None]
        history = tokens[None, :, inside]
        without_notes = history.clone()
        without_notes[:, 0] = MASK
        silence = torch.full_like(codes, prior.dropped)
        full, none = prior(codes, history), prior(silence, history)
        notes = none.note + settings.guidance * (full.note - none.note)
        for source, scale in settings.source_guidance.items():
            others = codes.clone()
            others[:, SOURCES.index(source)] = prior.dropped
            notes += (scale - 1) * (full.note - prior(others, history).note)
        notes[0] = notes[0].masked_fill(torch.from_numpy(~allowed[inside]), -torch.inf)
        unguided = prior(codes, without_notes).codes
        guided = unguided + settings.note_guidance * (full.codes - unguided)
        for step in range(part.first, part.stop):
            for stream, delay in enumerate(prior.pattern.delays):
                frame = step - delay
                if frame >= frames:
                    continue
                local, token = frame - part.start, tokens[stream, frame]
                logits = notes[0, local] if stream == 0 else guided[0, local, stream - 1]
                if fixed[stream, frame] == FREE:
                    assert logits[token] >= logits.max() - 1e-4
                for row, model in enumerate((none, full)):
                    plain = (
                        model.note[0, local] if stream == 0 else model.codes[0, local, stream - 1]
                    )
                    log_probs[row] += plain.log_softmax(-1)[token]
    expected = pytest.approx(log_probs.tolist(), abs=0.02)
    assert [bass.log_prob_unconditional, bass.log_prob_conditional] == expected


def test_what_is_given_long_after_the_last_gap_does_not_count(prior: Prior) -> None:
    frames, fixed = 200, given(200)
    fixed[:, 20:30] = FREE
    ranked = round(RANKED_SECONDS * prior.format.frame_rate)
    bass = generate(prior, song(frames), SamplingSettings(), fixed=fixed)
    fixed[:, 34 + ranked :] = 1 - fixed[:, 34 + ranked :].clip(0, 1)
    changed = generate(prior, song(frames), SamplingSettings(), fixed=fixed)
    assert changed.log_prob_conditional == bass.log_prob_conditional
    fixed[:, 20 + ranked] = 1 - fixed[:, 20 + ranked].clip(0, 1)
    changed = generate(prior, song(frames), SamplingSettings(), fixed=fixed)
    assert changed.log_prob_conditional != bass.log_prob_conditional


def test_shape_type_and_range(prior: Prior) -> None:
    bass = generate(prior, song(120), SamplingSettings())
    assert bass.codes.shape == (8, 120)
    assert bass.codes.dtype == np.uint16
    assert bass.codes.max() < 64
    assert bass.notes.shape == (120,)
    assert bass.notes.dtype == np.uint8
    assert bass.notes.max() < NoteVocabulary.size
    assert bass.seconds > 0


@pytest.mark.parametrize("frames", [1, 3])
def test_songs_shorter_than_the_delays(prior: Prior, frames: int) -> None:
    assert generate(prior, song(frames), SamplingSettings()).codes.shape == (8, frames)


def test_seed_decides(prior: Prior) -> None:
    first, again, other = (
        generate(prior, song(60), SamplingSettings(seed=seed)) for seed in (1, 1, 2)
    )
    assert same(first, again)
    assert (first.codes == other.codes).mean() < 0.6


@pytest.mark.parametrize("stream", ["notes", "codes"])
def test_notes_and_codes_have_temperatures_of_their_own(prior: Prior, stream: str) -> None:
    """Only notes, or only codes, are free."""
    fixed = given(40)
    fixed[0 if stream == "notes" else slice(1, 9)] = FREE
    own, other = ("note_temperature", "temperature")
    if stream == "codes":
        own, other = other, own

    def sampled(seed: int, **temperatures: float) -> GeneratedBass:
        return generate(prior, song(40), settings(seed=seed, **temperatures), fixed=fixed)

    cold, warm = {own: 0.0, other: 1.0}, {own: 1.0, other: 0.0}
    assert same(sampled(1, **cold), sampled(2, **cold))
    assert not same(sampled(1, **warm), sampled(2, **warm))


def test_best_of_candidates(prior: Prior) -> None:
    def gain(candidates: int, seed: int) -> float:
        settings = SamplingSettings(candidates=candidates, seed=seed)
        bass = generate(prior, song(40), settings)
        return bass.log_prob_conditional - bass.log_prob_unconditional

    assert gain(8, seed=0) > np.mean([gain(1, seed) for seed in range(8)])


@pytest.mark.parametrize("frames", [80, 200])
def test_fixed_frames_stay_and_gaps_are_filled(prior: Prior, frames: int) -> None:
    bass = given(frames)
    fixed = bass.copy()
    fixed[:, 50:70] = FREE
    drawn = generate(prior, song(frames), SamplingSettings(), fixed=fixed)
    kept = np.r_[0:50, 70:frames]
    assert np.array_equal(drawn.codes[:, kept], bass[1:, kept])
    assert np.array_equal(drawn.notes[kept], bass[0, kept])
    assert (drawn.codes[:, 50:70] != bass[1:, 50:70]).any()


def test_nothing_to_draw(prior: Prior) -> None:
    bass = given(30)
    drawn = generate(prior, song(30), SamplingSettings(), fixed=bass)
    assert np.array_equal(drawn.codes, bass[1:])


@torch.no_grad()
def test_the_candidate_that_the_right_side_likes_best_is_chosen(
    prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = sampling._Sampler.fill
    written: list[Any] = []

    def recorded(*args: Any) -> Any:
        written.append(fill(*args))
        return written[-1]

    monkeypatch.setattr(sampling._Sampler, "fill", recorded)
    fixed = given(60)
    fixed[:, 20:30] = FREE
    chosen = generate(prior, song(60), SamplingSettings(candidates=6), fixed=fixed)
    (filled,) = written
    silence = np.full_like(song(60), prior.dropped)
    frames, delays = torch.arange(60)[:, None], torch.tensor(prior.pattern.delays[1:])
    known = torch.from_numpy(fixed[1:].T != FREE)
    later = frames + delays >= 20  # the step of the first drawn token
    after_the_gap = known & later

    def worth(grid: torch.Tensor) -> tuple[float, float]:
        """What the song makes of the notes from the gap on; how likely the given codes are then."""
        tokens = prior.pattern.revert(grid)[None]
        notes = []
        for accompaniment in (song(60), silence):
            logits = prior(torch.from_numpy(accompaniment)[None], tokens)
            log_prob = logits.note[0].log_softmax(-1).gather(-1, tokens[0, 0, :, None])
            notes.append(float(log_prob[20:].sum()))
            codes = logits.codes[0].log_softmax(-1).gather(-1, tokens[0, 1:].t()[..., None])[..., 0]
        return notes[0] - notes[1], float(codes[after_the_gap].sum())

    ratios, given_codes = np.array([worth(grid) for grid in filled.grids]).T
    best = int(np.argmax(ratios + given_codes))
    assert np.ptp(ratios) > 1
    assert np.ptp(given_codes) > 1
    assert np.array_equal(chosen.codes, prior.pattern.revert(filled.grids[best])[1:].numpy())
    gain = chosen.log_prob_conditional - chosen.log_prob_unconditional
    assert gain == pytest.approx(ratios[best], abs=1e-2)
    assert filled.given_codes.numpy() == pytest.approx(given_codes, abs=1e-2)


def test_forced_notes(prior: Prior) -> None:
    fixed = np.full((9, 100), FREE)
    fixed[0] = given(100)[0]
    fixed[0, 40:50] = FREE
    drawn = generate(prior, song(100), SamplingSettings(), fixed=fixed)
    forced = fixed[0] != FREE
    assert np.array_equal(drawn.notes[forced], fixed[0, forced])


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_note_guidance_leads_from_codes_without_notes_to_codes_with_them(
    prior: Prior, scale: float
) -> None:
    settings = SamplingSettings(temperature=0, note_temperature=0, note_guidance=scale)
    fixed = np.full((9, 60), FREE)
    fixed[0, :40] = given(60)[0, :40]  # notes given, and notes chosen
    bass = generate(prior, song(60), settings, fixed=fixed)
    tokens = torch.from_numpy(np.concatenate((bass.notes[None], bass.codes)).astype(np.int64))[None]
    accompaniment = torch.from_numpy(song(60))[None]
    hidden = tokens.clone()
    hidden[:, 0] = MASK
    guided = prior(accompaniment, hidden).codes.lerp(prior(accompaniment, tokens).codes, scale)
    assert np.array_equal(guided[0].argmax(-1).t().numpy(), bass.codes)


def test_allowed_notes(prior: Prior) -> None:
    allowed = np.zeros((100, NoteVocabulary.size), np.bool_)
    allowed[:50, [0, 7, 8]] = True
    allowed[50:, [0, 31, 32]] = True
    notes = generate(prior, song(100), SamplingSettings(), allowed_notes=allowed).notes
    assert set(notes[:50]) <= {0, 7, 8}
    assert set(notes[50:]) <= {0, 31, 32}


def test_guidance_follows_the_song_more(prior: Prior) -> None:
    def gain(guidance: float) -> float:
        settings = SamplingSettings(guidance=guidance, temperature=0.7, note_temperature=0.7)
        bass = generate(prior, song(80), settings)
        return bass.log_prob_conditional - bass.log_prob_unconditional

    assert gain(3.0) > gain(1.0) > gain(0.0)


def test_a_source_without_extra_guidance_changes_nothing(prior: Prior) -> None:
    plain = generate(prior, song(30), SamplingSettings(temperature=0, note_temperature=0))
    neutral = SamplingSettings(temperature=0, note_temperature=0, source_guidance={"drums": 1.0})
    assert same(plain, generate(prior, song(30), neutral))
    more = SamplingSettings(temperature=0, note_temperature=0, source_guidance={"drums": 4.0})
    assert not same(plain, generate(prior, song(30), more))


def test_whole_numbers_are_numbers(prior: Prior) -> None:
    whole = generate(prior, song(10), SamplingSettings(guidance=1, source_guidance={"drums": 2}))
    settings = SamplingSettings(guidance=1.0, source_guidance={"drums": 2.0})
    assert same(whole, generate(prior, song(10), settings))


def test_threads_are_given_back(prior: Prior) -> None:
    torch.set_num_threads(2)
    try:
        generate(prior, song(5), SamplingSettings())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -1.0),
        ("note_temperature", -0.1),
        ("note_guidance", -1.0),
        ("top_k", -1),
        ("top_p", 0.0),
        ("min_p", 1.0),
        ("guidance", -2.0),
        ("candidates", 0),
        ("seed", -1),
    ],
)
def test_settings_out_of_range(field: str, value: float) -> None:
    with pytest.raises(UserError, match=field.replace("_", "[ -]").replace("candidates", "candid")):
        settings(**{field: value})


@pytest.mark.parametrize("field", ["temperature", "note_temperature", "guidance", "note_guidance"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_settings_must_be_finite(field: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{field.replace('_', ' ')} is {value}"):
        settings(**{field: value})


def test_guidance_by_a_source_must_be_finite() -> None:
    with pytest.raises(UserError, match="guidance by drums is nan"):
        SamplingSettings(source_guidance={"drums": float("nan")})


def test_settings_of_a_prior_are_its_own_unless_others_are_given(prior: Prior) -> None:
    tuned = Prior(prior.config, prior.format, "test", SamplingDefaults(guidance=4.5, min_p=0.1))
    settings = SamplingSettings.of(tuned, seed=3, temperature=None, min_p=0.0, guidance=None)
    expected = SamplingSettings(guidance=4.5, min_p=0.0, seed=3)
    assert settings == expected
    assert SamplingSettings.of(prior) == SamplingSettings()
    with pytest.raises(UserError, match="min-p is 2"):
        SamplingSettings.of(tuned, min_p=2)


def test_arrays_that_do_not_fit(prior: Prior) -> None:
    settings = SamplingSettings()
    with pytest.raises(UserError, match="prior reads"):
        generate(prior, song(10)[:3], settings)
    with pytest.raises(UserError, match="no frames"):
        generate(prior, song(10)[..., :0], settings)
    with pytest.raises(UserError, match=r"0\.\.63"):
        generate(prior, song(10) + 10, settings)
    with pytest.raises(UserError, match="shape"):
        generate(prior, song(10), settings, fixed=given(11))
    with pytest.raises(UserError, match="does not know"):
        generate(prior, song(10), settings, fixed=given(10) + 60)
    with pytest.raises(UserError, match="allowed"):
        generate(prior, song(10), settings, allowed_notes=np.zeros((10, 97), np.bool_))
    with pytest.raises(UserError, match="guitar"):
        generate(prior, song(10), SamplingSettings(source_guidance={"guitar": 2.0}))
