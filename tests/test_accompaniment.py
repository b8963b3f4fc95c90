"""Taking the bass out of a song, with a codec that knows the sources."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from shared.codes.song_codes import SongCodes
from shared.music.notes import NoteVocabulary
from shared.sound.levels import TARGET_RMS
from shared.sound.samples import rms
from shared.sources import BASS, SOURCES
from stage2_prior.accompaniment import prepare_song
from stage2_prior.bass_sound import bass_sound, decoded_bass
from stage2_prior.clips import Clip, mixed_clips

RATE = 44100


class Oracle:
    """A codec of no bits: decodes the sources it was made with, at the level that it is given."""

    sample_rate, hop, num_codebooks, cardinality = RATE, 1024, 1, 2
    frame_rate, sources, fingerprint = RATE / 1024, SOURCES, "oracle"
    audible_bass = 0.18

    def __init__(self, stems: np.ndarray) -> None:
        self.stems, self.scale = stems, 1.0

    def num_frames(self, num_samples: int) -> int:
        return 1 + num_samples // self.hop

    def encode(self, audio: np.ndarray) -> np.ndarray:
        self.heard = audio
        self.scale = rms(audio) / rms(self.stems.sum(0))
        return np.zeros((len(SOURCES), 1, self.num_frames(audio.shape[-1])), np.uint16)

    def decode(
        self, codes: np.ndarray, num_samples: int, sources: Sequence[str] | None = None
    ) -> np.ndarray:
        rows = [SOURCES.index(source) for source in sources or SOURCES]
        return (self.scale * self.stems[rows].sum(0)).astype(np.float32)


@pytest.fixture(scope="module")
def stems() -> np.ndarray:
    """A low tone for the bass, a high one for everything else."""
    time = np.arange(2 * RATE) / RATE
    tones = np.zeros((len(SOURCES), 2, 2 * RATE), np.float32)
    tones[SOURCES.index("bass")] = 0.2 * np.sin(2 * np.pi * 80 * time)
    tones[SOURCES.index("other")] = 0.1 * np.sin(2 * np.pi * 1000 * time)
    return tones


def test_a_songs_bass_is_taken_out(stems: np.ndarray) -> None:
    heard = prepare_song(stems.sum(0), Oracle(stems), remove_bass=None)
    assert heard.bass is not None
    true = stems[SOURCES.index("bass")]
    assert rms(heard.bass - true) < 0.05 * rms(true)
    np.testing.assert_allclose(heard.accompaniment + heard.bass, stems.sum(0), atol=1e-6)
    assert rms(heard.accompaniment) * heard.gain == pytest.approx(TARGET_RMS)


def test_a_song_without_bass_stays_as_it_is(stems: np.ndarray) -> None:
    stems = stems.copy()
    stems[SOURCES.index("bass")] *= 0.01
    song = stems.sum(0)
    assert prepare_song(song, Oracle(stems), remove_bass=None).bass is None
    assert prepare_song(song, Oracle(stems), remove_bass=True).bass is not None


def test_the_user_may_leave_the_bass_in(stems: np.ndarray) -> None:
    heard = prepare_song(stems.sum(0), Oracle(stems), remove_bass=False)
    assert heard.bass is None
    np.testing.assert_array_equal(heard.accompaniment, stems.sum(0))


def test_silence_has_no_bass_and_no_gain(stems: np.ndarray) -> None:
    heard = prepare_song(0 * stems.sum(0), Oracle(stems), remove_bass=None)
    assert heard.bass is None
    assert heard.gain == 1


def song_codes(codec: Oracle, codes: np.ndarray, length: int) -> SongCodes:
    """The codes file of a song whose accompaniment was encoded alone."""
    return SongCodes(
        track="song",
        split="test",
        sources=SOURCES,
        sample_rate=RATE,
        hop=codec.hop,
        num_samples=length,
        fingerprint=codec.fingerprint,
        gain=123.0,  # of the true accompaniment; the mixture has a gain of its own
        rms=dict.fromkeys(SOURCES, 0.1),
        views={"accompaniment": codes},
    )


def test_a_clip_of_a_mixture_is_heard_as_a_users_song(
    stems: np.ndarray, write_song, tmp_path: Path
) -> None:
    by_source = {source: stem.T for source, stem in zip(SOURCES, stems, strict=True)}
    write_song(tmp_path / "test" / "song", **by_source)
    codec, length = Oracle(stems), stems.shape[-1]
    codes = codec.encode(stems.sum(0))
    song = song_codes(codec, codes, length)
    (mixed,) = mixed_clips([Clip(0, song, 0, codes.shape[-1], length)], tmp_path, codec)
    assert mixed.bass_found
    assert mixed.accompaniment.shape == codes.shape
    true, rest = stems[BASS], stems.sum(0) - stems[BASS]
    np.testing.assert_allclose(mixed.bass, true, atol=1e-4)
    assert mixed.gain == pytest.approx(TARGET_RMS / rms(rest), rel=0.05)
    assert rms(codec.heard / mixed.gain - rest) < 0.1 * rms(rest)

    codec.scale = mixed.gain  # a bass at the level of what was encoded comes back at the song's
    np.testing.assert_allclose(
        decoded_bass(codes[BASS], length, mixed.gain, codec), true, atol=1e-5
    )
    notes = np.zeros(codes.shape[-1], np.uint8)
    notes[5] = NoteVocabulary.onset(40)
    sound = bass_sound(codes[BASS], notes, length, mixed.gain, codec)
    changed = np.flatnonzero(np.abs(sound - true).max(0) > 1e-4)
    assert (
        5 * codec.hop - 0.046 * RATE < changed.min() < changed.max() < 5 * codec.hop + 0.005 * RATE
    )


def test_a_clip_without_bass_stays_as_it_is(stems: np.ndarray, write_song, tmp_path: Path) -> None:
    stems = stems.copy()
    stems[BASS] *= 0.01
    by_source = {source: stem.T for source, stem in zip(SOURCES, stems, strict=True)}
    write_song(tmp_path / "test" / "song", **by_source)
    codec, length = Oracle(stems), stems.shape[-1]
    song = song_codes(codec, codec.encode(stems.sum(0)), length)
    clip = Clip(0, song, 0, codec.num_frames(length), length)
    assert not mixed_clips([clip], tmp_path, codec)[0].bass_found
