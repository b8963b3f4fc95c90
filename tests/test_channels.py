"""Unusual channels are brought to their usual form, and estimates back."""

import numpy as np
import pytest

from shared.sound.channels import Channels
from shared.sound.separation import CodedMixture, separate_mixture
from shared.sound.sliced import whole
from shared.sources import BASS
from stage2_prior.accompaniment import prepare_song
from tests.oracle_codec import OracleCodec, two_tones

SONG = two_tones().sum(0)
SONG[1] *= 0.8


def changed(kind: str) -> np.ndarray:
    song: np.ndarray = SONG.copy()
    if kind == "dead":
        song[0] = 0
    elif kind == "inverted":
        song[1] *= -1
    elif kind == "offset":
        song += np.array([[0.2], [-0.1]], np.float32)
    return song


@pytest.mark.parametrize("kind", ["usual", "inverted", "offset"])
def test_they_come_to_the_same_form(kind: str) -> None:
    np.testing.assert_allclose(whole(Channels.of(changed(kind)).usual), SONG, atol=1e-4)


def test_a_dead_channel_becomes_a_copy_of_the_other() -> None:
    usual = whole(Channels.of(changed("dead")).usual)
    np.testing.assert_allclose(usual, np.stack([SONG[1]] * 2), atol=1e-4)


def test_silence_and_mono_stay_as_they_are() -> None:
    silence = np.zeros((2, 100), np.float32)
    np.testing.assert_array_equal(whole(Channels.of(silence).usual), silence)
    mono = np.stack([SONG[0]] * 2)
    np.testing.assert_allclose(whole(Channels.of(mono).usual), mono, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "factors"),
    [("usual", (1, 1)), ("dead", (0, 1)), ("inverted", (1, -1)), ("offset", (1, 1))],
)
def test_an_estimate_returns_to_the_form_of_the_song(kind: str, factors: tuple[int, int]) -> None:
    estimate = np.ones((3, 2, 5), np.float32)
    expected = np.broadcast_to(np.array(factors, np.float32)[:, None], (3, 2, 5))
    np.testing.assert_array_equal(Channels.of(changed(kind)).restore(estimate), expected)


@pytest.mark.parametrize("offset", [0.1, 0.3333])
def test_an_offset_alone_has_no_bass(offset: float) -> None:
    song = np.full((2, 44100), offset, np.float32)
    prepared = prepare_song(song, OracleCodec(two_tones()), remove_bass=None)
    assert prepared.bass is None
    assert prepared.search is None


@pytest.mark.parametrize("kind", ["usual", "dead", "inverted", "offset"])
def test_a_bass_is_found_and_taken_out_of_every_form(kind: str) -> None:
    stems = two_tones()
    song = changed(kind)
    codec = OracleCodec(stems)
    prepared = prepare_song(song, codec, remove_bass=None)
    assert prepared.bass is not None
    bass, heard = whole(prepared.bass), whole(prepared.heard)
    np.testing.assert_allclose(whole(prepared.accompaniment) + bass, song, atol=1e-6)
    sounding = np.abs(song - song.mean(1, keepdims=True)).max(1) > 0
    assert (np.abs(bass).max(1) > 0).tolist() == sounding.tolist()
    estimate = separate_mixture(song, codec, ["bass"])[0]
    np.testing.assert_array_equal(bass, estimate)
    # What is encoded has both channels alive and in phase, and no offset.
    left, right = heard
    assert np.corrcoef(left, right)[0, 1] > 0.8
    assert np.abs(heard.mean(1)).max() < 1e-3
    assert bass.shape == stems[BASS].shape
    # The bass beside it has the same form, also where the song has a dead or an inverted channel.
    assert prepared.heard_bass is not None
    left, right = beside = whole(prepared.heard_bass)
    assert np.corrcoef(left, right)[0, 1] > 0.99
    level = np.float32(prepared.gain)
    np.testing.assert_allclose(Channels.of(song).restore(beside), level * bass, atol=1e-6)


@pytest.mark.parametrize("kind", ["usual", "dead", "inverted", "offset"])
def test_decoded_sources_have_the_form_of_the_song(kind: str) -> None:
    song = changed(kind)
    codec = OracleCodec(two_tones())
    coded = CodedMixture.encode(song, codec)
    usual = whole(Channels.of(song).usual)
    np.testing.assert_allclose(codec.encoded, usual * np.float32(coded.gain), atol=1e-6)
    bass = codec.decode(coded.codes, coded.num_samples, ["bass"]) / np.float32(coded.gain)
    np.testing.assert_allclose(coded.decode(["bass"]), Channels.of(song).restore(bass), atol=1e-6)
    np.testing.assert_array_equal(
        coded.separate(["other"]), separate_mixture(song, codec, ["other"])
    )
