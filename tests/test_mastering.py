"""A mastered record: stems that still add up, labels that still fit, a report of what was done."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from shared.band.recording.dynamics import compressor_gain, ducking_gain, limiter_gain
from shared.band.recording.lossy_coding import available_codecs, code
from shared.band.recording.mastering import (
    NO_MASTERING,
    MasteringChances,
    kick_onsets,
    master,
    retimed,
)
from shared.band.recording.record_noise import hum, vinyl_noise
from shared.band.recording.render import SAMPLE_RATE
from shared.band.scores.score import Part, PitchBend, Score
from shared.errors import UserError
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.sources import BASS, SOURCES

STEPS = [field.name for field in fields(MasteringChances)]


def music(seconds: float = 2.0) -> np.ndarray:
    """Four stems of decaying tones on each half second: float32 `[4, 2, N]`."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    envelope = np.exp(-(time % 0.5) / 0.15)
    stems = [0.2 * envelope * np.sin(2 * np.pi * hertz * time) for hertz in (440, 55, 150, 330)]
    sides = np.array([[1.0], [0.8]])
    return np.stack([stem * sides for stem in stems]).astype(np.float32)


def only(step: str) -> MasteringChances:
    return replace(NO_MASTERING, **{step: 1.0})


def decibels(ratio: float) -> float:
    return 20 * float(np.log10(ratio))


def test_ducking_has_its_depth_at_the_kick_and_none_before_and_long_after() -> None:
    gain = ducking_gain([0.5, 1.0], 2 * SAMPLE_RATE, 6.0, 0.2)
    assert gain[0] == gain[-1] == 1.0
    assert decibels(gain[SAMPLE_RATE // 2]) == pytest.approx(-6.0, abs=0.01)
    assert decibels(gain[round(0.63 * SAMPLE_RATE)]) == pytest.approx(-3.0, abs=0.3)
    assert gain[round(0.8 * SAMPLE_RATE)] == 1.0
    assert len(ducking_gain([0.0, 99.0], 100, 6.0, 0.2)) == 100


def test_a_compressor_brings_loud_and_soft_together_and_a_limiter_holds_its_ceiling() -> None:
    rng = np.random.default_rng(0)
    loud = np.repeat([[0.05, 0.5, 0.05]], SAMPLE_RATE, axis=1).reshape(1, -1)
    mixture = (loud * rng.standard_normal((2, 3 * SAMPLE_RATE))).astype(np.float32)
    squeezed = mixture * compressor_gain(mixture, -6.0, 4.0, 0.005, 0.1)
    before, after = (
        decibels(x[:, 60000:80000].std() / x[:, 10000:40000].std()) for x in (mixture, squeezed)
    )
    assert 6.0 < before - after < 9.0
    peak = float(np.abs(mixture).max())
    for seed in range(3):
        ceiling = peak * (0.3 + 0.2 * seed)
        limited = mixture * limiter_gain(mixture, ceiling, 0.05)
        assert np.abs(limited).max() <= ceiling * (1 + 1e-5)
        assert np.abs(limited).max() > 0.7 * ceiling
    assert np.array_equal(limiter_gain(mixture, 2 * peak, 0.05), np.ones(mixture.shape[1]))
    silence = np.zeros((2, 1000), np.float32)
    assert np.array_equal(compressor_gain(silence, 0.0, 2.0, 0.01, 0.1), np.ones(1000))


@pytest.mark.parametrize("codec", available_codecs())
@pytest.mark.parametrize("kilobits", [96, 320])
def test_coded_audio_is_aligned_and_sounds_alike(codec: str, kilobits: int) -> None:
    audio = music(1.3)[:, :, 7:].sum(axis=0)
    coded = code(audio, codec, kilobits)
    assert coded.shape == audio.shape
    noise = coded - audio
    assert decibels(audio.std() / noise.std()) > 15.0
    lags = [np.vdot(coded[0, 100 + lag : -100 + lag], audio[0, 100:-100]) for lag in range(-50, 51)]
    assert np.argmax(lags) == 50
    assert not code(np.zeros((2, 500), np.float32), codec, kilobits).any()


def test_coding_does_not_clip_and_an_unknown_codec_is_refused() -> None:
    loud = 4.0 * music(0.5).sum(axis=0)
    coded = code(loud, available_codecs()[0], 256)
    assert np.abs(coded).max() > 0.9 * np.abs(loud).max()
    with pytest.raises(UserError, match="cannot encode ogg"):
        code(loud, "ogg", 128)


def test_noise_has_its_level_and_hum_its_frequency() -> None:
    rng = np.random.default_rng(0)
    hiss = vinyl_noise(SAMPLE_RATE, 0.0, 0.01, rng)
    assert hiss.std() == pytest.approx(0.01, rel=0.01)
    crackle = vinyl_noise(SAMPLE_RATE, 20.0, 0.001, rng)
    assert np.abs(crackle).max() > 5 * np.abs(vinyl_noise(SAMPLE_RATE, 0.0, 0.001, rng)).max()
    tone = hum(SAMPLE_RATE, 50.0, 0.02, rng)
    assert tone.std() == pytest.approx(0.02, rel=0.01)
    loud = np.flatnonzero(np.abs(np.fft.rfft(tone[0])) > 1.0)
    assert set(loud % 50) == {0}


@pytest.mark.parametrize("step", ["compression", "limiting"])
def test_gains_of_the_bus_are_the_same_for_all_stems(step: str) -> None:
    stems = music()
    mastered = master(stems.copy(), [], np.random.default_rng(1), only(step))
    assert list(mastered.report) == [step]
    loud = (np.abs(stems) > 1e-3).all(axis=(0, 1))
    gains = mastered.stems[:, :, loud] / stems[:, :, loud]
    assert np.ptp(gains, axis=(0, 1)).max() < 1e-4
    assert gains.min() < 0.95


def test_ducking_moves_bass_and_other_only_where_there_are_kicks() -> None:
    stems = music()
    ducked = master(stems.copy(), [0.5], np.random.default_rng(0), only("ducking"))
    changed = [SOURCES[i] for i in range(4) if not np.array_equal(ducked.stems[i], stems[i])]
    assert {"bass", "other"} <= set(changed)
    assert "drums" not in changed
    assert not master(stems.copy(), [], np.random.default_rng(0), only("ducking")).report


def test_noise_goes_into_other_and_mono_makes_sides_alike() -> None:
    stems = music()
    for step in ("vinyl", "hum"):
        noisy = master(stems.copy(), [], np.random.default_rng(0), only(step)).stems
        assert [np.array_equal(noisy[i], stems[i]) for i in range(4)] == [True, True, True, False]
    mono = master(stems.copy(), [], np.random.default_rng(0), only("mono")).stems
    assert np.array_equal(mono[:, 0], mono[:, 1])
    assert np.allclose(mono[:, 0], stems.mean(axis=1))


def test_a_detuned_record_has_its_pitch_its_length_and_stems_that_add_up() -> None:
    stems = music(4.0)
    mastered = master(stems.copy(), [], np.random.default_rng(4), only("detuning"))
    assert 1.0 < abs(mastered.cents) <= 40.0
    assert mastered.time_scale == pytest.approx(2 ** (-mastered.cents / 1200))
    length = mastered.stems.shape[2]
    assert length == round(stems.shape[2] * mastered.time_scale)
    spectrum = np.abs(np.fft.rfft(mastered.stems[BASS, 0], 1 << 22))
    heard = np.argmax(spectrum) * SAMPLE_RATE / (1 << 22)
    assert 1200 * np.log2(heard / 55.0) == pytest.approx(mastered.cents, abs=2.0)
    together = stems.sum(axis=0, keepdims=True).repeat(4, axis=0)
    mixed = master(together, [], np.random.default_rng(4), only("detuning")).stems[0]
    assert np.abs(mastered.stems.sum(axis=0) - mixed).max() < 1e-4


def test_every_step_reports_itself_and_a_seed_repeats() -> None:
    chances = MasteringChances(*[1.0] * len(STEPS))
    once, again = (master(music(), [0.5, 1.0], np.random.default_rng(2), chances) for _ in range(2))
    assert sorted(once.report) == sorted(STEPS)
    assert json.loads(json.dumps(once.report)) == once.report
    assert np.array_equal(once.stems, again.stems)
    assert np.isfinite(once.stems).all()
    untouched = master(music(), [0.5], np.random.default_rng(2), NO_MASTERING)
    assert np.array_equal(untouched.stems, music())
    assert untouched.report == {}


def test_one_step_does_not_change_what_is_drawn_for_another() -> None:
    chances = MasteringChances(*[1.0] * len(STEPS))
    full = master(music(), [0.5], np.random.default_rng(3), chances).report
    for step in ("ducking", "vinyl", "detuning", "coding"):
        assert (
            master(music(), [0.5], np.random.default_rng(3), only(step)).report[step] == full[step]
        )


def test_a_score_follows_its_record() -> None:
    notes = (Note(0.5, 0.25, 40, 90),)
    bass = Part("bass", "bass", 33, False, notes, (PitchBend(0.5, 1.0),))
    drums = Part("drums", "drums", 0, True, (Note(1.0, 0.1, 36), Note(0.2, 0.1, 38)))
    chords = (Chord(0.0, 2.0, 4, "min", 4),)
    score = Score("test", 120.0, (4, 4), "E minor", 2.0, (0.0, 0.5), (0.0,), chords, (bass, drums))
    slower = retimed(score, 1.02)
    assert slower.tempo == pytest.approx(120 / 1.02)
    assert slower.duration == pytest.approx(2.04)
    assert slower.beats[1] == pytest.approx(0.51)
    assert slower.chords[0].end == pytest.approx(2.04)
    assert slower.parts[0].notes[0].onset == pytest.approx(0.51)
    assert slower.parts[0].notes[0].pitch == 40
    assert slower.parts[0].bends[0].time == pytest.approx(0.51)
    assert kick_onsets(slower.parts) == pytest.approx((1.02,))
