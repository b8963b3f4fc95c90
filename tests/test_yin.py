"""The pitch of frames equals librosa's, which is the slow twin of ours."""

import librosa
import numpy as np
import pytest

from shared.music.yin import yin

RATE = 11_025


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_the_pitch_is_that_of_librosa(noise: float) -> None:
    chance = np.random.default_rng(0)
    hertz = np.repeat(chance.uniform(35, 400, 20), RATE // 5)
    sound = np.sin(2 * np.pi * np.cumsum(hertz) / RATE)
    sound += noise * chance.standard_normal(len(sound))
    frames = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::256]
    theirs = librosa.yin(
        sound, fmin=30, fmax=480, sr=RATE, frame_length=1024, hop_length=256, center=False
    )
    np.testing.assert_allclose(yin(frames, RATE, 30, 480), theirs, rtol=1e-5)


def test_silence_has_some_pitch_and_no_warning() -> None:
    assert np.isfinite(yin(np.zeros((3, 1024)), RATE, 30, 480)).all()
