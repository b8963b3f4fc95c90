"""The sound of bass codes: which codes are decoded, at which level, and with which attacks."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest

from shared.band.recording.render import Orchestra, default_soundfont
from shared.codes.bass_decoder import Notes
from shared.codes.codec import Codes
from shared.errors import UserError
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens
from shared.sound.samples import Samples, rms
from shared.sources import BASS, SOURCES
from stage2_prior.articulation import articulate
from stage2_prior.bass_sound import PlainSound, SoundFontSound, choose_sound, decoded_bass
from tests.oracle_codec import RATE, OracleCodec, two_tones


class RecordingCodec(OracleCodec):
    """Records what it is asked to decode."""

    def decode(
        self, codes: Codes, num_samples: int, sources: Sequence[str] | None = None
    ) -> Samples:
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

    def decode(self, codes: Codes, notes: Notes | None, num_samples: int) -> Samples:
        self.notes = notes
        return np.full((2, num_samples), 0.25, np.float32)

    def decode_blocks(
        self, codes: Codes, notes: Notes | None, num_samples: int
    ) -> Iterator[Samples]:
        yield self.decode(codes, notes, num_samples)

    def description(self) -> dict[str, Any]:
        return {"bass_decoder": "fixed"}


def no_decoder() -> None:
    """There is no bass decoder."""


def unexpected() -> None:
    pytest.fail("no bass decoder is needed")


def test_a_bass_decoder_is_the_default_where_there_is_one() -> None:
    codec, decoder = OracleCodec(two_tones()), FixedDecoder()
    for wanted in (None, "codes"):
        sound = choose_sound(wanted, codec, lambda: decoder)
        assert sound.description() == {"name": "codes", "bass_decoder": "fixed"}
        notes = np.array([NoteVocabulary.onset(40), -1])
        rendered = sound.render(np.zeros((1, 2), np.uint16), notes, 1000)
        assert (rendered[:, round(0.005 * RATE) :] == 0.25).all()
        assert (rendered[:, 0] < 0.25).all()  # the attack of the first note
        assert decoder.notes is notes
    assert choose_sound("paper", codec, unexpected).description() == {"name": "paper"}
    assert choose_sound(None, codec, no_decoder).description() == {"name": "paper"}


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
        choose_sound(wanted, OracleCodec(two_tones()), no_decoder)


def test_a_soundfont_plays_the_notes_as_loud_as_the_decoded_line() -> None:
    """The second note of the decoded line is 12 dB softer than the first."""
    stems = two_tones()
    stems[BASS, :, RATE:] *= 0.25
    codec = OracleCodec(stems)
    frames = codec.num_frames(stems.shape[-1])
    notes = notes_to_tokens([Note(0.0, 0.9, 40), Note(1.0, 0.9, 45)], frames, codec.frame_rate)
    sound = choose_sound(f"{default_soundfont()}:33", codec, unexpected)
    assert sound.description()["name"] == "TimGM6mb.sf2:33"
    codes = np.zeros((1, frames), np.uint16)
    audio = sound.render(codes, notes, stems.shape[-1])
    assert audio.shape == stems.shape[1:]
    sounding = np.r_[0 : int(0.9 * RATE), RATE : int(1.9 * RATE)]
    assert rms(audio[:, sounding]) == pytest.approx(rms(stems[BASS][:, sounding]), rel=0.03)
    first, second = (rms(audio[:, start : start + RATE // 2]) for start in (0, RATE))
    assert 20 * np.log10(second / first) == pytest.approx(-12, abs=3)
    for start, pitch in ((0.2, 40), (1.2, 45)):
        mono = audio[:, int(start * RATE) : int((start + 0.5) * RATE)].mean(0)
        hertz = librosa.yin(mono, fmin=50, fmax=400, sr=RATE, frame_length=4096)
        assert abs(librosa.hz_to_midi(np.median(hertz)) - pitch) < 0.5


def test_a_line_without_notes_is_silent_with_a_soundfont() -> None:
    codec = OracleCodec(two_tones())
    sound = choose_sound(str(default_soundfont()), codec, unexpected)
    notes = np.zeros(codec.num_frames(10_000), np.uint8)
    assert not sound.render(np.zeros((1, len(notes)), np.uint16), notes, 10_000).any()


def one_note(frame: int, frames: int, pitch: int = 40) -> Notes:
    """A note that sounds in one frame of a line."""
    notes = np.full(frames, NoteVocabulary.REST, np.uint8)
    notes[frame] = NoteVocabulary.onset(pitch)
    return notes


def test_a_note_in_the_last_frame_neither_fails_nor_bursts() -> None:
    """The centre of the last frame is at or after the end of the song."""
    codec = OracleCodec(two_tones())
    sound = SoundFontSound(codec, default_soundfont())
    length = codec.stems.shape[-1]
    frames = codec.num_frames(length)
    codes = np.zeros((1, frames), np.uint16)
    for frame in (frames - 1, frames - 2):
        audio = sound.render(codes, one_note(frame, frames), length)
        assert audio.shape == (2, length)
        assert np.abs(audio).max() < 3 * np.abs(codec.stems[BASS]).max()


def test_the_program_that_is_named_plays(tmp_path: Path) -> None:
    """The flute has other overtones than the bass, and its name is in the description."""
    codec = OracleCodec(two_tones())
    length = codec.stems.shape[-1]
    frames = codec.num_frames(length)
    notes = notes_to_tokens([Note(0.1, 1.8, 52)], frames, codec.frame_rate)
    codes = np.zeros((1, frames), np.uint16)
    bass, flute, again = (
        SoundFontSound(codec, default_soundfont(), program).render(codes, notes, length)
        for program in (33, 73, 73)
    )
    np.testing.assert_array_equal(flute, again)
    inside = slice(RATE // 2, RATE)
    assert abs(np.corrcoef(bass[0, inside], flute[0, inside])[0, 1]) < 0.9
    described = SoundFontSound(codec, default_soundfont(), 73).description()
    assert described == {
        "name": "TimGM6mb.sf2:73",
        "soundfont": str(default_soundfont()),
        "fingerprint": hashlib.sha256(default_soundfont().read_bytes()).hexdigest()[:16],
        "program": 73,
    }


def without_program(path: Path, program: int) -> Path:
    """Copy the default SoundFont without one of its programs."""
    data = bytearray(default_soundfont().read_bytes())
    start = data.index(b"phdr")
    size = int.from_bytes(data[start + 4 : start + 8], "little")
    headers = np.frombuffer(data, np.uint8, size, start + 8).reshape(-1, 38)
    (row,) = np.flatnonzero((headers[:, 20:24].view("<u2") == (program, 0)).all(1))
    data[start + 8 + 38 * row + 22] = 120  # an unused bank
    path.write_bytes(data)
    return path


def test_a_program_that_the_soundfont_lacks_is_refused_at_once(tmp_path: Path) -> None:
    path = without_program(tmp_path / "few.sf2", 38)
    codec = OracleCodec(two_tones())
    assert choose_sound(f"{path}:39", codec, unexpected).description()["program"] == 39
    sentence = r"few\.sf2 plays no bass with program 38: name another program, as in few\.sf2:33"
    with pytest.raises(UserError, match=sentence):
        choose_sound(f"{path}:38", codec, unexpected)


def test_a_soundfont_that_cannot_be_read_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the soundfont .*none\.sf2"):
        choose_sound(str(tmp_path / "none.sf2"), OracleCodec(two_tones()), unexpected)


def test_a_soundfont_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    original = Orchestra.__init__

    def opening(orchestra: Orchestra, soundfonts: Sequence[Path]) -> None:
        opened.append(soundfonts)
        original(orchestra, soundfonts)

    monkeypatch.setattr(Orchestra, "__init__", opening)
    codec = OracleCodec(two_tones())
    sound = choose_sound(str(default_soundfont()), codec, unexpected)
    assert opened == [[default_soundfont()]]
    length = codec.stems.shape[-1]
    frames = codec.num_frames(length)
    codes = np.zeros((1, frames), np.uint16)
    first, second = (sound.render(codes, one_note(4, frames), length) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.any()
    assert len(opened) == 1
