"""What is sampled for a clip, and how its sound is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.music.bar_grid import BarGrid
from shared.music.line_form import UNKNOWN_FORM
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens
from shared.sound.samples import rms
from shared.sources import BASS
from stage2_prior import clip_measurements as measurements
from stage2_prior.balance import BalanceRange, balance_gain
from stage2_prior.bass_sound import PlainSound
from stage2_prior.clip_measurements import (
    PROMPT_SECONDS,
    SECOND_SEED,
    JudgedLine,
    bar_figures,
    compared_lines,
    continuation_figures,
    equal_codes,
    given_notes_pitch_match,
    guided_figures,
    judge,
    judge_lines,
    pitch_match_share,
    shifted_by_a_bar,
)
from stage2_prior.clip_sampler import ClipLine, ClipSampler, HeardLine
from stage2_prior.clips import Clip, MixedClip
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.frechet import embed
from stage2_prior.heard_song import SongEvidence
from stage2_prior.model import Prior
from stage2_prior.own_bass import OwnBass
from stage2_prior.performance import Listening
from stage2_prior.performer.sampling import FREE
from stage2_prior.sampling import GeneratedBass, SamplingSettings, Wishes
from tests.oracle_codec import RATE, SECONDS, OracleCodec, oracle_song, two_tones

CODEC = OracleCodec(two_tones())
FRAMES = CODEC.num_frames(SECONDS * RATE)
NOTES = notes_to_tokens([Note(0.5, 1.0, 40)], FRAMES, CODEC.frame_rate)
PLAYED = (Note(0.51, 0.98, 40, 101),)  # a little off the frames
GRID = BarGrid(np.arange(0, 3.5, 0.5), np.array([0, 4]))


def generated(
    codes: npt.NDArray[np.integer],
    notes: npt.NDArray[np.integer] = NOTES,
    grid: BarGrid = GRID,
) -> GeneratedBass:
    """A line with the given codes, about which nothing else is known."""
    return GeneratedBass(
        codes.astype(np.uint16), notes.astype(np.uint8), PLAYED, grid, (), (0.0,), 0.0, 0.0, 0.0
    )


@dataclass
class Recorder:
    """Takes the place of `generate`: records what it is given, and returns one line."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    code: int = 1

    def __call__(
        self,
        prior: Prior,
        accompaniment: npt.NDArray[np.integer],
        settings: SamplingSettings,
        wishes: Wishes,
        evidence: SongEvidence,
        listening: Listening,
    ) -> GeneratedBass:
        self.calls.append(
            {
                "accompaniment": accompaniment,
                "settings": settings,
                "fixed": wishes.fixed,
                "own_bass": evidence.own_bass,
                "heard": listening.decode(np.zeros((1, accompaniment.shape[2]), np.uint16)),
            }
        )
        codes = np.full((1, accompaniment.shape[2]), self.code)
        return generated(codes, NOTES[: codes.shape[1]])


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr("stage2_prior.clip_sampler.generate", made)
    return made


@pytest.fixture(scope="module")
def sampler() -> ClipSampler:
    config = load_config(PriorConfig, PRESETS, "tiny").model
    balance = BalanceRange(-20.0, -15.0)
    prior = Prior(config, CodeFormat.of(CODEC), "untrained", balance=balance).eval()
    return ClipSampler(CODEC, prior, SamplingSettings(seed=100, guidance=4.0), PlainSound(CODEC))


@pytest.fixture
def clip() -> Clip:
    """The fourth clip, two seconds of a song of six."""
    return Clip(3, oracle_song(CODEC, "a", 6.0), 40, FRAMES, SECONDS * RATE)


def test_notes_are_performed_as_a_line_is_that_was_composed(
    sampler: ClipSampler, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notes outside the clip are left out, and the sound has the level of a generated line."""
    levels: list[float] = []

    def gain(sound: Any, notes: Any, *_: Any) -> float:
        levels.append(rms(sound))
        assert np.array_equal(np.asarray(notes), NOTES)
        return 2.0

    monkeypatch.setattr("stage2_prior.clip_sampler.balance_gain", gain)
    inside = Note(0.5, 1.0, 40)
    heard = sampler.perform(clip, [Note(-1.0, 0.5, 30), inside, Note(clip.seconds, 1.0, 41)])
    assert heard.notes == [inside]
    assert heard.sound.shape == (2, clip.num_samples)
    assert rms(heard.sound) == pytest.approx(2 * levels[0], rel=1e-5)


def test_a_line_is_sampled_for_the_accompaniment_with_a_seed_of_its_own(
    sampler: ClipSampler, clip: Clip, recorder: Recorder
) -> None:
    sampled = sampler.sample(clip)
    (call,) = recorder.calls
    assert np.array_equal(call["accompaniment"], clip.accompaniment)
    assert call["heard"].shape == (2, clip.num_samples)
    assert call["settings"] == SamplingSettings(seed=103, guidance=4.0)
    assert call["fixed"] is None
    assert call["own_bass"] is None
    assert sampled.gain == clip.song.gain


def test_a_line_for_a_mixture_has_its_gain_and_its_bass(
    sampler: ClipSampler, clip: Clip, recorder: Recorder
) -> None:
    codes = np.full_like(clip.accompaniment, 1)
    recording: Any = None
    own = OwnBass(np.arange(2.0), np.full(2, 40.0))
    sampled = sampler.sample(clip, mixed=MixedClip(clip, recording, codes, 0.25, own))
    assert recorder.calls[0]["accompaniment"] is codes
    assert recorder.calls[0]["own_bass"] is own
    assert sampled.gain == 0.25


def test_the_sound_of_a_line_comes_to_the_level_that_the_prior_asks_for(
    sampler: ClipSampler, clip: Clip
) -> None:
    line = ClipLine(generated(clip.bass), gain=2.0)
    plain, balanced = sampler.sound(clip, line), sampler.balanced_sound(clip, line)
    gain = balance_gain(plain, NOTES, 2.0, BalanceRange(-20.0, -15.0))
    assert gain < 0.5
    np.testing.assert_allclose(balanced, gain * plain, rtol=1e-5)


def test_codes_are_sampled_for_the_true_notes(
    sampler: ClipSampler, clip: Clip, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    matched: list[Any] = []

    def match(*args: Any) -> float:
        matched.append(args)
        return 0.5

    monkeypatch.setattr(measurements, "pitch_match_share", match)
    assert given_notes_pitch_match(sampler, clip, note_guidance=1.5) == 0.5
    (call,) = recorder.calls
    assert np.array_equal(call["fixed"][0], clip.notes)
    assert (call["fixed"][1:] == FREE).all()
    assert call["settings"].note_guidance == 1.5
    ((audio, notes, judged),) = matched
    assert np.array_equal(notes, clip.notes)
    assert judged is clip
    line = ClipLine(generated(clip.bass * 0 + 1), clip.song.gain)
    assert np.array_equal(audio, sampler.sound(clip, line))


def test_a_continuation_is_judged_after_the_true_beginning(
    sampler: ClipSampler, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stems = np.tile(CODEC.stems, 3)
    monkeypatch.setattr(CODEC, "stems", stems)
    clip = Clip(0, oracle_song(CODEC, "a", 6.0), 0, CODEC.num_frames(6 * RATE), 6 * RATE)
    judged: list[Any] = []
    monkeypatch.setattr(measurements, "judge", lambda *args: judged.append(args))
    monkeypatch.setattr("tests.test_clip_measurements.NOTES", np.zeros(clip.frames, np.uint8))
    continuation_figures(sampler, clip)
    (call,) = recorder.calls
    given = round(PROMPT_SECONDS * CODEC.frame_rate)
    assert np.array_equal(call["fixed"][0, :given], clip.notes[:given])
    assert np.array_equal(call["fixed"][1:, :given], clip.bass[:, :given])
    assert (call["fixed"][:, given:] == FREE).all()
    assert judged[0][1:] == (clip, PROMPT_SECONDS)


def test_two_seeds_are_compared(sampler: ClipSampler, clip: Clip, recorder: Recorder) -> None:
    codes = np.zeros((1, FRAMES), np.uint16)
    codes[:, : FRAMES // 4] = recorder.code
    line = ClipLine(generated(codes), 1.0)
    assert equal_codes(sampler, clip, line) == (FRAMES // 4) / FRAMES
    assert recorder.calls[0]["settings"].seed == 100 + clip.number + SECOND_SEED


def test_guidance_is_varied(
    sampler: ClipSampler, clip: Clip, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Any] = []
    monkeypatch.setattr(measurements, "judge", lambda *args: judged.append(args))
    guided_figures(sampler, clip, guidance=7.0)
    assert recorder.calls[0]["settings"] == SamplingSettings(seed=103, guidance=7.0)
    line = ClipLine(generated(clip.bass * 0 + 1), clip.song.gain)
    np.testing.assert_array_equal(judged[0][0], sampler.balanced_sound(clip, line))


def test_the_lines_of_the_comparison(sampler: ClipSampler, clip: Clip) -> None:
    other = Clip(4, oracle_song(CODEC, "b", 6.0), 60, FRAMES, SECONDS * RATE)
    line = ClipLine(generated(clip.bass), gain=2.0)
    heard = sampler.heard(clip, line)
    np.testing.assert_array_equal(heard.sound, sampler.balanced_sound(clip, line))
    assert heard.notes == PLAYED
    lines = compared_lines(sampler, clip, other, {"new": heard})
    assert list(lines) == [
        "silence",
        "another song's bass",
        "true bass, a bar late",
        "new",
        "true bass, from its codes",
    ]
    true = sampler.true_sound(clip)
    assert not lines["silence"].sound.any()
    borrowed = lines["another song's bass"]
    np.testing.assert_array_equal(borrowed.sound, sampler.true_sound(other))
    assert borrowed.notes == other.true_notes
    late = lines["true bass, a bar late"]
    np.testing.assert_array_equal(late.sound, shifted_by_a_bar(true, clip))
    assert late.notes is None
    assert lines["new"] is heard
    np.testing.assert_array_equal(lines["true bass, from its codes"].sound, true)
    assert lines["true bass, from its codes"].notes == clip.true_notes


def test_the_true_bass_is_decoded_from_its_own_codes_at_the_level_of_its_song(
    sampler: ClipSampler, clip: Clip
) -> None:
    CODEC.scale = clip.song.gain
    np.testing.assert_allclose(sampler.decoded_true_bass(clip), CODEC.stems[BASS], atol=1e-5)
    dips = np.abs(sampler.true_sound(clip) - CODEC.stems[BASS]).max(0) > 1e-3
    assert 0 < dips.mean() < 0.9  # around the attacks of its notes


def test_a_bar_late(clip: Clip) -> None:
    audio = np.zeros((2, SECONDS * RATE), np.float32)
    audio[:, 0] = 1
    facts = {"beats": [0.0, 0.5, 1.0, 1.5], "downbeats": [0.0, 1.5, 3.1, 4.6]}
    song = oracle_song(CODEC, "a", 6.0)
    known = Clip(0, replace(song, song=facts), 0, FRAMES, SECONDS * RATE)
    assert np.flatnonzero(shifted_by_a_bar(audio, known)[0]).tolist() == [1.5 * RATE]
    longer = np.pad(audio, ((0, 0), (0, RATE)))
    assert np.flatnonzero(shifted_by_a_bar(longer, clip)[0]).tolist() == [2 * RATE]


def test_beats_and_downbeats_are_compared_where_the_clip_is() -> None:
    """Every beat is found; the bars begin on another beat."""
    song = oracle_song(CODEC, "a", 6.0)
    start = 40 / CODEC.frame_rate
    beats = [start + 0.5 * beat for beat in range(-1, 6)]
    facts = {"beats": beats, "downbeats": [beats[1], beats[3]]}
    known = Clip(0, replace(song, song=facts), 40, FRAMES, SECONDS * RATE)
    unknown = Clip(1, song, 40, FRAMES, SECONDS * RATE)
    found = BarGrid(np.arange(0, 3.5, 0.5), np.array([1, 2, 5]))
    lines = [ClipLine(generated(clip.bass, grid=found), 1.0) for clip in (known, unknown)]
    beat_figures, downbeat_figures = bar_figures([known, unknown], lines)
    assert beat_figures[0] == 1
    assert downbeat_figures[0] == pytest.approx(2 * 1 / (2 + 2))
    assert np.isnan([beat_figures[1], downbeat_figures[1]]).all()


def test_pitches_match_in_any_octave(clip: Clip) -> None:
    time = np.arange(SECONDS * RATE) / RATE
    low, high = (0.3 * np.sin(2 * np.pi * hertz * time) for hertz in (55.0, 82.41))
    audio = np.tile(np.where(time < 1, low, high), (2, 1)).astype(np.float32)

    def share(*notes: Note) -> float:
        tokens = notes_to_tokens(notes, FRAMES, CODEC.frame_rate).astype(np.int64)
        return pitch_match_share(audio, tokens, clip)

    assert share(Note(0.0, 1.0, 33), Note(1.0, 1.0, 40)) > 0.9
    assert share(Note(0.0, 2.0, 45)) == pytest.approx(0.5, abs=0.07)
    assert share(Note(0.0, 1.0, 57)) > 0.9  # where no note is given, nothing is compared
    assert share(Note(0.0, 2.0, 34)) < 0.1
    right = notes_to_tokens([Note(0.0, 1.0, 33)], FRAMES, CODEC.frame_rate).astype(np.int64)
    assert pitch_match_share(0 * audio, right, clip) == 0
    for nothing in (FREE, NoteVocabulary.REST):
        assert np.isnan(pitch_match_share(audio, np.full(FRAMES, nothing), clip))


def test_a_sound_is_judged_where_it_is_in_the_song() -> None:
    """The song has one bass note, at 3 s, and the clip begins at 2 s."""
    song = oracle_song(CODEC, "a", 6.0)
    facts = {"bass_notes": [{"onset": 3.0, "duration": 0.5, "pitch": 33}]}
    first = round(2 * CODEC.frame_rate)
    clip = Clip(0, replace(song, song=facts), first, FRAMES, SECONDS * RATE)
    time = np.arange(SECONDS * RATE) / RATE - (3.0 - clip.start)
    audio = np.where(time > 0, 0.3 * np.sin(2 * np.pi * 55 * time), 0)
    samples = np.tile(audio, (2, 1)).astype(np.float32)
    assert judge(samples, clip).onset_f1 == 1
    assert judge(samples, clip, skip=0.5).onset_f1 == 1
    assert np.isnan(judge(samples, clip, skip=1.2).onset_f1)  # the note is skipped
    assert judge(samples, clip).voiced_share == pytest.approx(0.5, abs=0.06)
    assert judge(samples, clip, skip=1.2).voiced_share > 0.9
    lines = {
        "tone": HeardLine(samples, [Note(3.0 - clip.start, 1.0, 33)]),
        "unknown": HeardLine(samples, None),
    }
    judged: Mapping[str, JudgedLine] = judge_lines(lines, clip)
    assert judged["tone"].figures == judged["unknown"].figures == judge(samples, clip)
    np.testing.assert_array_equal(judged["tone"].embedding, embed(samples, RATE))
    assert judged["tone"].figures.rms_db == pytest.approx(20 * np.log10(rms(samples)), abs=1e-4)
    assert judged["tone"].form.note_onset_f1 == 1
    assert judged["tone"].form.disagreement == 0
    assert judged["unknown"].form is UNKNOWN_FORM
    values = judged["tone"].values
    assert values["onset_f1"] == values["note_onset_f1"] == values["pitch_class"] == 1
