"""The sound of bass codes: which codes are decoded, at which level, and with which attacks."""

from collections.abc import Sequence

import librosa
import numpy as np
import numpy.typing as npt
import pytest

from shared.band.recording.render import default_soundfont
from shared.errors import UserError
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens
from shared.sound.samples import rms
from shared.sources import BASS, SOURCES
from stage2_prior.articulation import articulate
from stage2_prior.bass_sound import PlainSound, choose_sound, decoded_bass
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
    sound = PlainSound(codec).render(codes, notes, length)
    expected = articulate(codec.stems[BASS], notes, RATE, codec.hop)
    np.testing.assert_allclose(sound, expected, atol=1e-6)
    changed = np.flatnonzero(np.abs(sound - codec.stems[BASS]).max(0) > 1e-4)
    attack = 5 * codec.hop
    assert attack - 0.046 * RATE < changed.min() < changed.max() < attack + 0.005 * RATE
    assert changed.min() == pytest.approx(attack - 0.045 * RATE, abs=20)


class FixedDecoder:
    """A bass decoder that gives a constant, and records its notes."""

    def decode(
        self, codes: npt.NDArray[np.uint16], notes: npt.NDArray | None, num_samples: int
    ) -> npt.NDArray[np.float32]:
        self.notes = notes
        return np.full((2, num_samples), 0.25, np.float32)


def test_a_bass_decoder_is_the_default_where_there_is_one() -> None:
    codec, decoder = OracleCodec(two_tones()), FixedDecoder()
    for wanted in (None, "codes"):
        sound = choose_sound(wanted, codec, decoder)
        assert sound.name == "codes"
        notes = np.array([3, -1])
        assert (sound.render(np.zeros((1, 2), np.uint16), notes, 1000) == 0.25).all()
        assert decoder.notes is notes
    assert choose_sound("paper", codec, decoder).name == "paper"
    assert choose_sound(None, codec, None).name == "paper"


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("codes", "no bass decoder for the codec oracle: train one with train-bass-decoder"),
        ("loud", "no sound 'loud': give codes, paper, FILE.sf2 or FILE.sf2:PROGRAM"),
        ("loud:7", "no sound 'loud:7'"),
        ("gm.sf2:128", "no program 128 in 'gm.sf2:128': give 0 to 127"),
    ],
)
def test_an_unknown_sound_is_refused(wanted: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        choose_sound(wanted, OracleCodec(two_tones()), None)


def test_a_soundfont_plays_the_notes_as_loud_as_the_decoded_line() -> None:
    """The second note of the decoded line is 12 dB softer than the first."""
    stems = two_tones()
    stems[BASS, :, RATE:] *= 0.25
    codec = OracleCodec(stems)
    frames = codec.num_frames(stems.shape[-1])
    notes = notes_to_tokens([Note(0.0, 0.9, 40), Note(1.0, 0.9, 45)], frames, codec.frame_rate)
    sound = choose_sound(f"{default_soundfont()}:33", codec, None)
    assert sound.name == "TimGM6mb.sf2:33"
    codes = np.zeros((1, frames), np.uint16)
    audio = sound.render(codes, notes, stems.shape[-1])
    assert audio.shape == stems.shape[1:]
    assert rms(audio) == pytest.approx(rms(stems[BASS]), rel=1e-3)
    first, second = (rms(audio[:, start : start + RATE // 2]) for start in (0, RATE))
    assert 20 * np.log10(second / first) == pytest.approx(-12, abs=3)
    for start, pitch in ((0.2, 40), (1.2, 45)):
        mono = audio[:, int(start * RATE) : int((start + 0.5) * RATE)].mean(0)
        hertz = librosa.yin(mono, fmin=50, fmax=400, sr=RATE, frame_length=4096)
        assert abs(librosa.hz_to_midi(np.median(hertz)) - pitch) < 0.5


def test_a_line_without_notes_is_silent_with_a_soundfont() -> None:
    codec = OracleCodec(two_tones())
    sound = choose_sound(str(default_soundfont()), codec, None)
    notes = np.zeros(codec.num_frames(10_000), np.uint8)
    assert not sound.render(np.zeros((1, len(notes)), np.uint16), notes, 10_000).any()
