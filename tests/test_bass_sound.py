"""The sound of bass codes: which codes are decoded, at which level, and with which attacks."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from shared.music.notes import NoteVocabulary
from shared.sources import BASS, SOURCES
from stage2_prior.articulation import articulate
from stage2_prior.bass_sound import bass_sound, decoded_bass
from tests.oracle_codec import RATE, OracleCodec, two_tones


class RecordingCodec(OracleCodec):
    """Records what it is asked to decode."""

    def decode(
        self,
        codes: npt.NDArray[np.uint16],
        num_samples: int,
        sources: Sequence[str] | None = None,
    ) -> npt.NDArray[np.float32]:
        self.decoded = codes, num_samples, sources
        return super().decode(codes, num_samples, sources)[:, :num_samples]


def test_the_bass_is_decoded_alone_and_at_the_level_of_the_song() -> None:
    codec = RecordingCodec(two_tones())
    codec.scale = 5.0
    codes = np.ones((1, 20), np.uint16)
    sound = decoded_bass(codes, 12_345, 5.0, codec)
    np.testing.assert_allclose(sound, codec.stems[BASS][:, :12_345], atol=1e-6)
    decoded, num_samples, sources = codec.decoded
    assert np.array_equal(decoded[BASS], codes)
    assert num_samples == 12_345
    assert sources == [SOURCES[BASS]]


def test_attacks_are_shaped_where_the_notes_start() -> None:
    codec = OracleCodec(two_tones())
    length = codec.stems.shape[-1]
    codes = np.zeros((1, codec.num_frames(length)), np.uint16)
    notes = np.zeros(codes.shape[-1], np.uint8)
    notes[5] = NoteVocabulary.onset(40)
    sound = bass_sound(codes, notes, length, 1.0, codec)
    expected = articulate(codec.stems[BASS], notes, RATE, codec.hop)
    np.testing.assert_allclose(sound, expected, atol=1e-6)
    changed = np.flatnonzero(np.abs(sound - codec.stems[BASS]).max(0) > 1e-4)
    attack = 5 * codec.hop
    assert attack - 0.046 * RATE < changed.min() < changed.max() < attack + 0.005 * RATE
    assert changed.min() == pytest.approx(attack - 0.045 * RATE, abs=20)
