"""What is heard in a song's own bass weighs what the listener hears without it."""

import numpy as np
import pytest

from shared.music.bass_pitch_classes import TRUST, bass_pitch_classes
from shared.music.yin_pitch import yin_pitch
from stage2_prior.composer.features import FEATURES, PITCH, REST, ROOT, Hearing, pitch_classes
from stage2_prior.own_bass import OwnBass

RATE, FRAME_RATE, FRAMES = 44_100, 44_100 / 1024, 172
E, A = 4, 9


@pytest.fixture(scope="module")
def bass() -> np.ndarray:
    """Two seconds of E1 and two of A1, each with eight harmonics."""
    t = np.arange(2 * RATE) / RATE
    notes = [
        sum(np.sin(2 * np.pi * h * frequency * t) / h for h in range(1, 9))
        for frequency in (41.203, 55.0)
    ]
    return np.tile(np.concatenate(notes), (2, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def own(bass: np.ndarray) -> OwnBass:
    return OwnBass.of(bass, RATE)


def hearing() -> Hearing:
    """A listener that knows nothing, but that the bass rests in 0.3 of the frames."""
    features = np.full((FRAMES, FEATURES), 0.5, np.float32)
    features[:, REST] = 0.3
    features[:, ROOT] = 1 / 12
    features[:, PITCH] = 0.7 / (PITCH.stop - PITCH.start)
    return Hearing(features, np.zeros((FRAMES, 2), np.float32), FRAME_RATE)


def test_the_pitch_of_each_frame_is_found(bass: np.ndarray) -> None:
    times, pitch = yin_pitch(bass, RATE)
    inner = np.abs(times - 2) > 0.1
    wanted = np.where(times < 2, 28, 33)
    np.testing.assert_allclose(pitch[inner], wanted[inner], atol=0.3)


def test_a_pitch_class_is_trusted_where_it_sounds(own: OwnBass) -> None:
    shares = bass_pitch_classes(own.times, own.pitch, FRAMES, FRAME_RATE, 0.1)
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_allclose(shares[[40, 130], [E, A]], TRUST, atol=1e-6)
    averaged = bass_pitch_classes(own.times, own.pitch, FRAMES, FRAME_RATE, 2.0)
    assert 0.3 < averaged[86, E] < 0.6  # between the two notes
    assert 0.3 < averaged[86, A] < 0.6


def test_a_silent_bass_says_nothing() -> None:
    silence = np.zeros((2, 4 * RATE), np.float32)
    own = OwnBass.of(silence, RATE)
    assert np.isnan(own.pitch).all()
    before, after = hearing(), hearing()
    own.multiply_into(after)
    np.testing.assert_allclose(after.features, before.features, rtol=1e-5)


def test_roots_and_notes_follow_the_bass_and_rests_do_not(own: OwnBass) -> None:
    before, heard = hearing(), hearing()
    own.multiply_into(heard)
    assert (heard.features[20:70, ROOT].argmax(1) == E).all()
    assert (heard.features[110:160, ROOT].argmax(1) == A).all()
    assert (pitch_classes(heard.features[20:70]).argmax(1) == E).all()
    assert (pitch_classes(heard.features[110:160]).argmax(1) == A).all()
    np.testing.assert_array_equal(heard.features[:, REST], before.features[:, REST])
    np.testing.assert_allclose(heard.features[:, PITCH].sum(1), 0.7, rtol=1e-5)


def test_a_listener_that_is_sure_is_not_overruled(own: OwnBass) -> None:
    sure = hearing()
    sure.features[:, ROOT] = 1e-4
    sure.features[:, ROOT.start + 2] = 1 - 11e-4
    own.multiply_into(sure)
    assert (sure.features[20:70, ROOT].argmax(1) == 2).all()
