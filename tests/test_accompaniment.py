"""Taking the bass out of a song, with a codec that knows the sources."""

import numpy as np
import pytest

from shared.sound.levels import TARGET_RMS
from shared.sound.samples import rms
from shared.sound.sliced import whole
from shared.sources import BASS
from stage2_prior.accompaniment import prepare_song
from tests.oracle_codec import OracleCodec, two_tones


def test_the_bass_of_a_song_is_taken_out() -> None:
    stems = two_tones()
    song = prepare_song(stems.sum(0), OracleCodec(stems), remove_bass=None)
    assert song.bass is not None
    assert rms(song.bass - stems[BASS]) < 0.05 * rms(stems[BASS])
    np.testing.assert_allclose(
        whole(song.accompaniment) + whole(song.bass), stems.sum(0), atol=1e-6
    )
    assert rms(song.accompaniment) * song.gain == pytest.approx(TARGET_RMS)


@pytest.mark.parametrize("loudness", [0.01, 1.0])
@pytest.mark.parametrize(("threshold", "removed"), [(0.4, True), (0.5, False)])
def test_the_codec_says_how_loud_a_bass_must_be(
    loudness: float, threshold: float, removed: bool
) -> None:
    stems = loudness * two_tones(bass=0.05, other=0.1)  # 0.447 of the RMS of the song
    codec = OracleCodec(stems, audible_bass=threshold)
    assert (prepare_song(stems.sum(0), codec, remove_bass=None).bass is not None) == removed


def test_a_soft_bass_is_only_taken_out_if_the_user_asks() -> None:
    stems = two_tones(bass=0.002)
    song = stems.sum(0)
    untouched = prepare_song(song, OracleCodec(stems), remove_bass=None)
    assert untouched.bass is None
    np.testing.assert_array_equal(untouched.accompaniment, song)
    assert prepare_song(song, OracleCodec(stems), remove_bass=True).bass is not None


def test_the_user_may_leave_the_bass_in() -> None:
    stems = two_tones()
    song = prepare_song(stems.sum(0), OracleCodec(stems), remove_bass=False)
    assert song.bass is None
    np.testing.assert_array_equal(song.accompaniment, stems.sum(0))
    assert rms(stems.sum(0)) * song.gain == pytest.approx(TARGET_RMS)


@pytest.mark.parametrize("remove_bass", [None, True, False])
def test_silence_has_no_bass_and_no_gain(remove_bass: bool | None) -> None:
    stems = two_tones()
    song = prepare_song(0 * stems.sum(0), OracleCodec(stems), remove_bass)
    assert song.bass is None
    assert song.gain == 1
