"""What the user fixes of the new bass line, as tokens that the prior must keep to."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.errors import UserError, require
from shared.music.chord import Chord
from shared.music.midi import read_midi
from shared.music.note_tracking import track_bass_notes
from shared.music.notes import NoteVocabulary, notes_to_tokens
from shared.sound.files import read_audio
from shared.sound.levels import TARGET_RMS
from shared.sound.samples import Samples, resample, rms, to_stereo
from shared.sources import BASS
from shared.times import TimeRange, frames_within
from stage2_prior.accompaniment import PreparedSong
from stage2_prior.chord_line import allowed_notes, place_chords, read_chord_file
from stage2_prior.sampling import FREE


@dataclass(frozen=True)
class Edits:
    """What is fixed of a bass line.

    prompt: a recording of a bass alone, which becomes the beginning of the line.
    style: one that the line goes on from, without being heard.
    keep: ranges in which the song's own bass stays.
    redo: ranges outside of which it stays.
    midi: a MIDI file whose notes are played.
    chords: symbols such as "Am F C G", or the path of a chord file (chord_line.py).
    """

    prompt: Path | None = None
    style: Path | None = None
    keep: tuple[TimeRange, ...] = ()
    redo: tuple[TimeRange, ...] = ()
    midi: Path | None = None
    chords: str | None = None

    def __post_init__(self) -> None:
        require(not (self.keep and self.redo), "keep and redo exclude each other: give one of them")
        require(
            self.midi is None or self.chords is None,
            "a MIDI line and chords exclude each other: give one of them",
        )

    def kept_frames(self, num_frames: int, frame_rate: float) -> npt.NDArray[np.bool_]:
        """Where the song's own bass stays `[num_frames]`; UserError for a range beyond the song."""
        if self.redo:
            return ~frames_within(self.redo, num_frames, frame_rate)
        return frames_within(self.keep, num_frames, frame_rate)


@dataclass(frozen=True, eq=False)
class GivenBass:
    """What the prior must keep to, over `lead` frames ahead of the song and the song's own T.

    tokens: note and codes `[1 + H, lead + T]`, FREE where the prior is to choose.
    allowed_notes: `[lead + T, 97]`, the note tokens to choose among.
    """

    tokens: npt.NDArray[np.int64]
    allowed_notes: npt.NDArray[np.bool_]
    lead: int

    @property
    def has_sound(self) -> bool:
        """Whether the sound of a bass is given anywhere."""
        return bool((self.tokens[1:] != FREE).any())

    @property
    def follows_a_gap(self) -> bool:
        """Whether the sound of a bass is given after a frame in which it is not."""
        free = (self.tokens[1:] == FREE).any(0)
        return bool(free.any()) and not free[free.argmax() :].all()


def given_bass(edits: Edits, song: PreparedSong, codec: Codec) -> GivenBass:
    """Read what the user gives. Where several fix a frame, the song's own bass has precedence, then
    the prompt, then the notes of the MIDI file.

    Raises:
        UserError: a file that cannot be read, a range beyond the song, no bass in it to keep.
    """
    length = song.accompaniment.shape[-1]
    num_frames, frame_rate = codec.num_frames(length), codec.frame_rate
    tokens = np.full((1 + codec.num_codebooks, num_frames), FREE, np.int64)
    allowed = np.ones((num_frames, NoteVocabulary.size), np.bool_)
    if edits.chords is not None:
        chords = _read_chords(edits.chords, song, codec.sample_rate)
        allowed = allowed_notes(chords, num_frames, frame_rate)
    if edits.midi is not None:
        tokens[0] = notes_to_tokens(read_midi(edits.midi), num_frames, frame_rate)
    if edits.prompt is not None:
        riff = bass_tokens(_read_riff(edits.prompt, codec.sample_rate)[:, :length], codec)
        tokens[:, : riff.shape[1]] = riff
    kept = edits.kept_frames(num_frames, frame_rate)
    if kept.any():
        if song.bass is None:
            raise UserError(
                "the song has no bass of its own to keep: leave out the ranges to keep or redo"
            )
        own = bass_tokens(song.bass * np.float32(song.gain), codec)
        tokens[:, kept] = own[:, kept]
    if edits.style is None:
        return GivenBass(tokens, allowed, lead=0)
    riff = bass_tokens(_read_riff(edits.style, codec.sample_rate), codec)
    lead = riff.shape[1]
    return GivenBass(
        np.concatenate((riff, tokens), axis=1),
        np.pad(allowed, ((lead, 0), (0, 0)), constant_values=True),
        lead,
    )


def bass_tokens(samples: Samples, codec: Codec) -> npt.NDArray[np.int64]:
    """A bass alone `[2, N]`, at the codec's rate and the prior's level, as note and codes `[1 + H, T]`."""
    codes = codec.encode(samples)[BASS]
    notes = track_bass_notes(samples, codec.sample_rate, codes.shape[1], codec.frame_rate).tokens
    return np.concatenate((notes[None], codes)).astype(np.int64)


def _read_chords(chords: str, song: PreparedSong, sample_rate: int) -> tuple[Chord, ...]:
    duration = song.accompaniment.shape[-1] / sample_rate
    if Path(chords).suffix or Path(chords).is_file():  # no symbol has a dot
        return read_chord_file(Path(chords), duration)
    return place_chords(chords.replace("|", " ").split(), song.accompaniment, sample_rate)


def _read_riff(path: Path, sample_rate: int) -> Samples:
    """A bass at the accompaniment's own level; how loud it was recorded says nothing."""
    audio = read_audio(path)
    samples = resample(to_stereo(audio.samples), audio.sample_rate, sample_rate)
    level = rms(samples)
    require(level > 0, f"{path} is silent: give a recording of a bass")
    return samples * np.float32(TARGET_RMS / level)
