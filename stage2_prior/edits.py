"""What the user determines of the new bass line, as tokens that sampling keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.errors import UserError, require
from shared.music.midi import read_midi
from shared.music.note_tracking import track_bass_notes
from shared.music.notes import notes_to_tokens
from shared.sound.files import read_audio
from shared.sound.levels import TARGET_RMS
from shared.sound.samples import Samples, resample, rms, to_stereo
from shared.sound.sliced import whole
from shared.sources import BASS
from shared.times import TimeRange, frames_within
from stage2_prior.accompaniment import PreparedSong
from stage2_prior.performer.sampling import FREE


@dataclass(frozen=True)
class Edits:
    """What the user determines of a bass line.

    Attributes:
        prompt: a recording of a bass alone that becomes the beginning of the line.
        style: a recording of a bass alone that the line continues, but that is not part of it.
        keep: time ranges in which the song's own bass stays.
        redo: time ranges outside of which the song's own bass stays.
        midi: a MIDI file whose notes the line has.

    Raises:
        UserError: two of the edits exclude each other.
    """

    prompt: Path | None = None
    style: Path | None = None
    keep: tuple[TimeRange, ...] = ()
    redo: tuple[TimeRange, ...] = ()
    midi: Path | None = None

    def __post_init__(self) -> None:
        """Check that no two edits exclude each other."""
        require(not (self.keep and self.redo), "keep and redo exclude each other: give one of them")

    def kept_frames(self, num_frames: int, frame_rate: float) -> npt.NDArray[np.bool_]:
        """Return the frames in which the song's own bass stays `[num_frames]`.

        Raises:
            UserError: a time range is beyond the end of the song.
        """
        if self.redo:
            return ~frames_within(self.redo, num_frames, frame_rate)
        return frames_within(self.keep, num_frames, frame_rate)


@dataclass(frozen=True, eq=False)
class GivenBass:
    """What the line must keep, in the T frames of a song and in L frames before it.

    Attributes:
        tokens: note tokens and codes `[1 + H, T]`; FREE where they are to be written.
        lead: note tokens and codes `[1 + H, L]` of a bass that the line continues.
        kept: whether the song's own bass stays in a frame `[T]`.
    """

    tokens: npt.NDArray[np.int64]
    lead: npt.NDArray[np.int64]
    kept: npt.NDArray[np.bool_]


def given_bass(edits: Edits, song: PreparedSong, codec: Codec) -> GivenBass:
    """Read what the user gives.

    Where several edits determine a frame, the song's own bass has precedence, then the prompt, then
    the notes of the MIDI file.

    Args:
        edits: what the user gives.
        song: the song, with its bass if it was taken out.
        codec: the codec of the prior.

    Raises:
        UserError: a file cannot be read, a time range is beyond the end of the song, or the song
            has no bass to keep.
    """
    length = song.accompaniment.shape[-1]
    num_frames, frame_rate = codec.num_frames(length), codec.frame_rate
    tokens = np.full((1 + codec.num_codebooks, num_frames), FREE, np.int64)
    if edits.midi is not None:
        tokens[0] = notes_to_tokens(read_midi(edits.midi), num_frames, frame_rate)
    if edits.prompt is not None:
        prompt = bass_tokens(_read_recording(edits.prompt, codec.sample_rate)[:, :length], codec)
        tokens[:, : prompt.shape[1]] = prompt
    kept = edits.kept_frames(num_frames, frame_rate)
    if kept.any():
        if song.heard_bass is None:
            raise UserError(
                "the song has no bass of its own to keep: leave out the ranges to keep or redo"
            )
        own = bass_tokens(whole(song.heard_bass), codec)
        tokens[:, kept] = own[:, kept]
    lead = tokens[:, :0]
    if edits.style is not None:
        lead = bass_tokens(_read_recording(edits.style, codec.sample_rate), codec)
    return GivenBass(tokens, lead, kept)


def freed(
    tokens: npt.NDArray[np.integer], ranges: Sequence[TimeRange], frame_rate: float
) -> npt.NDArray[np.int64]:
    """Return note tokens and codes `[1 + H, T]` of a line that are FREE within ranges of time.

    Raises:
        UserError: a range is beyond the end of the line.
    """
    return np.where(frames_within(ranges, tokens.shape[1], frame_rate), FREE, tokens)


def bass_tokens(samples: Samples, codec: Codec) -> npt.NDArray[np.int64]:
    """Turn the recording of a bass alone into note tokens and codes `[1 + H, T]`.

    Args:
        samples: the recording `[2, N]`, at the codec's sample rate and at the level at which songs
            are encoded.
        codec: the codec.
    """
    codes = codec.encode(samples)[BASS]
    notes = track_bass_notes(samples, codec.sample_rate, codes.shape[1], codec.frame_rate).tokens
    return np.concatenate((notes[None], codes)).astype(np.int64)


def _read_recording(path: Path, sample_rate: int) -> Samples:
    """Read the recording of a bass, and scale it to the level at which songs are encoded.

    Its own level depends on how it was recorded, and does not matter.
    """
    audio = read_audio(path)
    samples = resample(to_stereo(audio.samples), audio.sample_rate, sample_rate)
    level = rms(samples)
    require(level > 0, f"{path} is silent: give a recording of a bass")
    return samples * np.float32(TARGET_RMS / level)
