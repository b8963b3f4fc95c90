"""What a user gives becomes tokens that sampling keeps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from shared.errors import UserError
from shared.music.midi import write_midi
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens
from shared.sound.levels import TARGET_RMS
from shared.sound.samples import rms
from shared.sound.sliced import SlicedSamples, whole
from shared.times import TimeRange
from stage2_prior.accompaniment import PreparedSong
from stage2_prior.edits import Edits, GivenBass, bass_tokens, given_bass
from stage2_prior.performer.sampling import FREE
from tests.oracle_codec import RATE, OracleCodec, two_tones


class CountingCodec(OracleCodec):
    """Its codes are the RMS of each frame in units of 0.001, for every source."""

    cardinality = 1000

    def encode(self, audio: SlicedSamples) -> npt.NDArray[np.uint16]:
        super().encode(audio)
        frames = self.num_frames(audio.shape[-1])
        padded = np.pad(whole(audio), ((0, 0), (0, frames * self.hop - audio.shape[-1])))
        levels = [rms(frame) for frame in np.split(padded, frames, axis=1)]
        return np.tile(np.round(np.array(levels) * 1000), (4, 1, 1)).astype(np.uint16)


STEMS = two_tones()
CODEC = CountingCodec(STEMS)
FRAMES = CODEC.num_frames(STEMS.shape[-1])
REST_OF_SONG = STEMS.sum(0) - STEMS[1]
SONG = PreparedSong(REST_OF_SONG, STEMS[1], REST_OF_SONG / 2, 0.5, None, STEMS[1] / 2)
REST = NoteVocabulary.REST


def tone(hertz: float, seconds: float, level: float) -> npt.NDArray[np.float32]:
    """A stereo tone `[2, N]`."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.tile(level * np.sin(2 * np.pi * hertz * time), (2, 1)).astype(np.float32)


def recording(path: Path, hertz: float, seconds: float, level: float = 0.3) -> Path:
    soundfile.write(path, tone(hertz, seconds, level).T, RATE, subtype="FLOAT")
    return path


def given(**edits: object) -> GivenBass:
    return given_bass(Edits(**edits), SONG, CODEC)  # type: ignore[arg-type]


def test_nothing_is_given_by_default() -> None:
    bass = given()
    assert (bass.tokens == FREE).all()
    assert bass.tokens.shape == (2, FRAMES)
    assert bass.lead.shape == (2, 0)
    assert not bass.kept.any()


@pytest.mark.parametrize(("hertz", "pitch"), [(55.0, 33), (110.0, 45), (41.2, 28)])
def test_a_recording_of_a_bass_becomes_its_notes_and_codes(hertz: float, pitch: int) -> None:
    audio = tone(hertz, 1.0, 0.1)
    tokens = bass_tokens(audio, CODEC)
    frames = CODEC.num_frames(RATE)
    assert tokens.shape == (2, frames)
    assert tokens[0, 0] == NoteVocabulary.onset(pitch)
    assert (tokens[0, 1 : frames - 3] == NoteVocabulary.sustain(pitch)).all()
    assert tokens[1, : frames - 2].mean() == pytest.approx(1000 * 0.1 / 2**0.5, abs=2)


@pytest.mark.parametrize("level", [0.01, 0.9])
def test_a_prompt_begins_the_line_at_the_level_at_which_songs_are_encoded(
    tmp_path: Path, level: float
) -> None:
    bass = given(prompt=recording(tmp_path / "prompt.wav", 55, 1.0, level))
    frames = CODEC.num_frames(RATE)
    assert (bass.tokens[:, frames:] == FREE).all()
    assert bass.tokens[0, 0] == NoteVocabulary.onset(33)
    assert bass.tokens[1, : frames - 2].mean() == pytest.approx(1000 * TARGET_RMS, abs=3)
    assert bass.lead.shape[1] == 0
    assert not bass.kept.any()


def test_a_prompt_that_is_longer_than_the_song_is_cut(tmp_path: Path) -> None:
    bass = given(prompt=recording(tmp_path / "prompt.wav", 55, 3.0))
    assert bass.tokens.shape == (2, FRAMES)
    assert (bass.tokens != FREE).all()


def test_a_style_precedes_the_song_and_is_no_part_of_it(tmp_path: Path) -> None:
    bass = given(style=recording(tmp_path / "style.wav", 55, 1.0))
    frames = CODEC.num_frames(RATE)
    assert bass.lead.shape == (2, frames)
    assert bass.lead[0, 0] == NoteVocabulary.onset(33)
    assert bass.lead[1, : frames - 2].mean() == pytest.approx(1000 * TARGET_RMS, abs=3)
    assert bass.tokens.shape == (2, FRAMES)
    assert (bass.tokens == FREE).all()
    assert not bass.kept.any()


def test_the_notes_of_a_midi_file_are_given_and_no_codes(tmp_path: Path) -> None:
    line = [Note(0.0, 0.5, 40), Note(1.0, 0.25, 28)]
    write_midi(tmp_path / "line.mid", line)
    bass = given(midi=tmp_path / "line.mid")
    assert np.array_equal(bass.tokens[0], notes_to_tokens(line, FRAMES, CODEC.frame_rate))
    assert (bass.tokens[1:] == FREE).all()


@pytest.mark.parametrize("field", ["keep", "redo"])
def test_the_songs_own_bass_stays_in_or_outside_of_ranges(field: str) -> None:
    bass = given(**{field: (TimeRange(0.5, 1.0), TimeRange(1.5, 1.75))})
    times = np.arange(FRAMES) / CODEC.frame_rate
    inside = ((times >= 0.5) & (times < 1.0)) | ((times >= 1.5) & (times < 1.75))
    kept = inside if field == "keep" else ~inside
    assert (bass.kept == kept).all()
    assert ((bass.tokens != FREE) == kept).all()
    own = bass_tokens(STEMS[1] * np.float32(SONG.gain), CODEC)  # at the level of the song's codes
    assert np.array_equal(bass.tokens[:, kept], own[:, kept])


def test_the_songs_own_bass_has_precedence_then_the_prompt_then_notes(tmp_path: Path) -> None:
    write_midi(tmp_path / "line.mid", [Note(0.0, 2.0, 40)])
    bass = given(
        midi=tmp_path / "line.mid",
        prompt=recording(tmp_path / "prompt.wav", 55, 1.0),
        keep=(TimeRange(0.5, 1.5),),
    )
    own = bass_tokens(STEMS[1] * np.float32(SONG.gain), CODEC)
    first, last = np.ceil(np.array([0.5, 1.5]) * CODEC.frame_rate).astype(int)
    assert bass.tokens[0, 5] == NoteVocabulary.sustain(33)
    assert np.array_equal(bass.tokens[:, first:last], own[:, first:last])
    assert (bass.tokens[0, last:] == NoteVocabulary.sustain(40)).sum() > 15
    assert (bass.tokens[1, last:] == FREE).all()


def test_a_kept_bass_is_encoded_as_the_song_is_heard() -> None:
    """A dead channel of the song is not a dead channel of the codes."""
    dead = np.array([[0], [1]], np.float32)
    song = replace(SONG, accompaniment=dead * REST_OF_SONG, bass=dead * STEMS[1])
    kept = given_bass(Edits(keep=(TimeRange(0, 2),)), song, CODEC)
    assert np.array_equal(kept.tokens[:, :-2], bass_tokens(STEMS[1] / 2, CODEC)[:, :-2])


def test_what_cannot_be_given(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros((RATE, 2)), RATE)
    for field in ("prompt", "style"):
        with pytest.raises(UserError, match=r"silence\.wav is silent"):
            given(**{field: tmp_path / "silence.wav"})
    without = PreparedSong(STEMS[3], None, STEMS[3], 1.0, None, None)
    with pytest.raises(UserError, match="no bass of its own"):
        given_bass(Edits(keep=(TimeRange(0, 1),)), without, CODEC)
    with pytest.raises(UserError, match="time range 0:05-0:06"):
        given(keep=(TimeRange(5, 6),))
    with pytest.raises(UserError, match="keep and redo"):
        Edits(keep=(TimeRange(0, 1),), redo=(TimeRange(1, 2),))


@pytest.mark.parametrize("seconds", [0.0005, 0.02])
@pytest.mark.parametrize("field", ["prompt", "style"])
def test_a_very_short_recording_is_no_problem(tmp_path: Path, field: str, seconds: float) -> None:
    bass = given(**{field: recording(tmp_path / "short.wav", 2000, seconds)})
    frames = CODEC.num_frames(round(seconds * RATE))
    tokens = bass.lead if field == "style" else bass.tokens[:, :frames]
    assert tokens.shape == (2, frames)
    assert (tokens != FREE).all()
