"""Amplifiers: they change the timbre, and leave loudness, time and a bass's pitch as they were."""

import numpy as np
import pytest

from shared.band.recording.amplifiers import amplify, has_amplifier, program_to_play
from shared.band.recording.render import SAMPLE_RATE


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    """A plucked harmonic tone after 0.1 s of silence: float32 `[2, N]`."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    harmonics = np.arange(1, 13)[:, None]
    sound = (np.sin(2 * np.pi * hertz * harmonics * time) / harmonics**2).sum(axis=0)
    sound *= 0.3 * np.exp(-time / 0.5) * np.minimum(time / 0.002, 1.0)
    return np.repeat(np.pad(sound, (4410, 0))[None], 2, axis=0).astype(np.float32)


def share_above(audio: np.ndarray, hertz: float) -> float:
    power = np.abs(np.fft.rfft(audio.mean(axis=0))) ** 2
    return float(power[round(hertz * audio.shape[1] / SAMPLE_RATE) :].sum() / power.sum())


def draw(audio: np.ndarray, program: int, name: str) -> np.ndarray:
    """The audio through the first amplifier of that name that a seed draws."""
    for seed in range(60):
        amplified = amplify(audio, program, np.random.default_rng(seed))
        if amplified.report["amplifier"] == name:
            return amplified.audio
    raise AssertionError(f"{name} is not drawn for {program}")


@pytest.mark.parametrize("program", [24, 27, 29, 30, 32, 33, 38])
def test_loudness_length_and_time_stay(program: int) -> None:
    dry = tone(110.0)
    for seed in range(4):
        wet = amplify(dry, program, np.random.default_rng(seed)).audio
        assert wet.shape == dry.shape
        assert wet.dtype == np.float32
        assert wet.std() == pytest.approx(dry.std(), rel=0.02)
        first = np.argmax(np.abs(wet[0]) > 0.1 * np.abs(wet[0]).max())
        assert abs(first - 4410) < 0.005 * SAMPLE_RATE


def test_distortion_adds_overtones_and_sustain_and_a_loudspeaker_takes_the_top() -> None:
    dry = tone(196.0)
    clean, distorted = draw(dry, 30, "crunch"), draw(dry, 30, "distorted")
    assert share_above(distorted, 1200) > 3 * share_above(dry, 1200)
    assert share_above(distorted, 1200) > share_above(clean, 1200)
    assert share_above(distorted, 9000) < 0.01

    def sustain(audio: np.ndarray) -> float:
        return float(audio[:, -8820:].std() / audio[:, 4410:13230].std())

    assert sustain(distorted) > 1.5 * sustain(dry)


@pytest.mark.parametrize("name", ["di", "bass amp", "driven bass"])
def test_a_bass_keeps_its_fundamental(name: str) -> None:
    dry = tone(55.0)
    wet = draw(dry, 34, name)
    bins = round(55.0 * dry.shape[1] / SAMPLE_RATE)

    def share(audio: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(audio[0])) ** 2
        return float(power[bins - 3 : bins + 4].sum() / power.sum())

    assert 10 * np.log10(share(wet) / share(dry)) > -6.0
    if name == "driven bass":
        assert share_above(wet, 700) > 2 * share_above(dry, 700)


def test_only_guitars_and_basses_have_amplifiers_and_seeds_repeat() -> None:
    dry = tone(110.0)
    assert [program for program in range(128) if has_amplifier(program)] == list(range(24, 40))
    assert amplify(dry, 0, np.random.default_rng(0)).audio is dry
    assert program_to_play(30) == 27
    assert program_to_play(33) == 33
    once, again = (amplify(dry, 28, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(once.audio, again.audio)
    assert once.report == again.report
    silence = np.zeros((2, 1000), np.float32)
    assert not amplify(silence, 30, np.random.default_rng(0)).audio.any()
