"""Stretches of songs on which a prior is judged, and how they sound and score."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.codes.manifest import read_manifest
from shared.codes.song_codes import SongCodes, require_codec
from shared.errors import UserError
from shared.music.bass_metrics import BassFigures, judge_bass
from shared.music.notes import NoteVocabulary
from shared.music.pitch import track_pitch
from shared.songs.cache import CachedSong, build_cache
from shared.sources import BASS
from stage2_prior.accompaniment import prepare_song
from stage2_prior.bootstrap import Estimate, bootstrap_mean
from stage2_prior.sampling import FREE


@dataclass(frozen=True, eq=False)
class Clip:
    """`num_samples` of a song from frame `first` on; they make `frames` frames."""

    song: SongCodes
    first: int
    frames: int
    num_samples: int

    @property
    def start(self) -> float:
        """Where in the song the clip begins, in s."""
        return self.first / self.song.frame_rate

    @property
    def truth(self) -> dict[str, Any]:
        """The song's chords, beats and notes; empty where they are not known."""
        return self.song.song or {}

    @property
    def accompaniment(self) -> npt.NDArray[np.uint16]:
        """Codes `[S, H, frames]` of the song without its bass."""
        return self.song.view("accompaniment")[..., self._frames]

    @property
    def bass(self) -> npt.NDArray[np.uint16]:
        """Codes `[H, frames]` of the true bass."""
        return self.song.view("alone")[BASS][:, self._frames]

    @property
    def notes(self) -> npt.NDArray[np.int64]:
        """Note tokens `[frames]` of the true bass, FREE where they are not known."""
        notes, confidence = self.song.notes, self.song.note_confidence
        if notes is None or confidence is None:
            return np.full(self.frames, FREE)
        known = confidence[self._frames] > 0
        return np.where(known, notes[self._frames].astype(np.int64), FREE)

    @property
    def _frames(self) -> slice:
        return slice(self.first, self.first + self.frames)


def load_clips(
    codes: Path, codec: Codec, split: str, at_most: int, seconds: float
) -> tuple[Clip, ...]:
    """From the middle of each song of a split, or of an even choice of `at_most`, one clip.

    Songs that are shorter than `seconds` are left out.

    Raises:
        UserError: no manifest, fewer than two songs are left, or codes are not this codec's.
    """
    files = read_manifest(codes).files
    songs = [SongCodes.load(path) for path in files if path.parent.name == split]
    num_samples = round(seconds * codec.sample_rate)
    frames = codec.num_frames(num_samples)
    songs = [song for song in songs if song.num_frames >= frames]
    if len(songs) < 2:
        raise UserError(
            f"{codes} holds {len(songs)} songs of the split '{split}' that last {seconds:g} s: at "
            "least two are needed; choose another split or fewer seconds"
        )
    count = min(at_most, len(songs))
    chosen = [songs[i * len(songs) // count] for i in range(count)]
    for song in chosen:
        require_codec(song, codec)
    return tuple(Clip(s, (s.num_frames - frames) // 2, frames, num_samples) for s in chosen)


@dataclass(frozen=True, eq=False)
class MixedClip:
    """A clip as `generate-bass` meets it: a mixture, out of which the codec takes the bass.

    accompaniment: codes `[S, H, frames]` of what is left, encoded at `gain`.
    bass_found: whether the codec heard a bass; where it did not, nothing was taken out.
    """

    clip: Clip
    recording: CachedSong
    accompaniment: npt.NDArray[np.uint16]
    gain: float
    bass_found: bool

    @classmethod
    def of(cls, clip: Clip, recording: CachedSong, codec: Codec) -> "MixedClip":
        """Mix the clip's stems and listen to them."""
        stems = recording.read_all(clip.first * codec.hop, clip.num_samples)
        heard = prepare_song(stems.sum(0), codec, remove_bass=None)
        codes = codec.encode(heard.accompaniment * np.float32(heard.gain))
        return cls(clip, recording, codes, heard.gain, heard.bass is not None)

    @property
    def bass(self) -> npt.NDArray[np.float32]:
        """The true bass's stem `[2, num_samples]`."""
        start = self.clip.first * self.clip.song.hop
        return self.recording.read(BASS, start, self.clip.num_samples)


def mixed_clips(clips: Sequence[Clip], data: Path, codec: Codec) -> tuple[MixedClip, ...]:
    """The clips from their songs in the folder `data`.

    Raises:
        UserError: `data` does not hold the songs that the clips were extracted from.
    """
    cache = build_cache(data, sample_rate=codec.sample_rate)
    recordings: dict[tuple[str, str], CachedSong] = {(s.split, s.name): s for s in cache.songs}
    for song in (clip.song for clip in clips):
        recording = recordings.get((song.split, song.track))
        if recording is None or recording.num_samples != song.num_samples:
            found = "no" if recording is None else "another"
            raise UserError(
                f"{data} holds {found} song '{song.track}' in the split '{song.split}': "
                "give the folder that the codes were extracted from"
            )
    return tuple(
        MixedClip.of(clip, recordings[clip.song.split, clip.song.track], codec) for clip in clips
    )


def shifted_by_a_bar(audio: npt.NDArray[np.float32], clip: Clip) -> npt.NDArray[np.float32]:
    """Audio `[2, N]` one bar later, its end at the beginning; two seconds where no bar is known."""
    downbeats = clip.truth.get("downbeats", [])
    bar = float(np.median(np.diff(downbeats))) if len(downbeats) > 1 else 2.0
    return np.roll(audio, round(bar * clip.song.sample_rate), axis=1)


def judge(audio: npt.NDArray[np.float32], clip: Clip, skip: float = 0.0) -> BassFigures:
    """Figures of a bass `[2, N]` in the clip, of its first `skip` seconds nothing."""
    rate = clip.song.sample_rate
    return judge_bass(audio[:, round(skip * rate) :], rate, clip.truth, clip.start + skip)


def pitch_match_share(
    audio: npt.NDArray[np.float32], notes: npt.NDArray[np.int64], clip: Clip
) -> float:
    """Of the frames in which `notes [frames]` sound, the share in which their pitch class is heard
    in the audio by pyin; nan where none do.
    """
    track = track_pitch(audio, clip.song.sample_rate, clip.song.frame_rate)
    times = np.arange(len(notes)) / clip.song.frame_rate
    heard = track.pitch[np.abs(track.times[:, None] - times).argmin(0)]
    sounding = (notes != FREE) & (notes != NoteVocabulary.REST)
    if not sounding.any():
        return float("nan")
    asked = NoteVocabulary.pitches(notes[sounding])
    wrong = np.isnan(heard[sounding])
    classes = np.where(wrong, 0, np.round(heard[sounding])).astype(np.int64) % 12
    return float(np.mean(~wrong & (classes == asked % 12)))


def summarise(figures: Sequence[BassFigures]) -> dict[str, Estimate]:
    """The mean of each figure over the clips, with its interval."""
    return {
        field.name: bootstrap_mean(float(getattr(each, field.name)) for each in figures)
        for field in fields(BassFigures)
    }
