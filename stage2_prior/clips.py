"""Clips: the parts of songs on which a prior is evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.codes.manifest import read_manifest
from shared.codes.song_codes import SongCodes, require_codec
from shared.errors import UserError
from shared.music.notes import Note, NoteVocabulary, tokens_to_notes
from shared.music.song_facts import SongFacts
from shared.songs.cache import CachedSong, build_cache
from shared.sources import BASS
from stage2_prior.accompaniment import prepare_song
from stage2_prior.own_bass import OwnBass
from stage2_prior.performer.sampling import FREE

ALL = "all"  # stands for the songs of every split


@dataclass(frozen=True, eq=False)
class Clip:
    """A part of a song.

    Attributes:
        number: the position of the clip among all clips; it is added to the seed of sampling.
        song: the codes of the song.
        first: the frame of the song with which the clip begins.
        frames: the number of frames.
        num_samples: the number of samples.
    """

    number: int
    song: SongCodes
    first: int
    frames: int
    num_samples: int

    @property
    def start(self) -> float:
        """Where in the song the clip begins, in seconds."""
        return self.first / self.song.frame_rate

    @property
    def seconds(self) -> float:
        """How long the clip is."""
        return self.num_samples / self.song.sample_rate

    @cached_property
    def facts(self) -> SongFacts:
        """What is known of the song.

        Where it does not name the notes of its bass, they are those that `extract-codes` tracked.
        """
        facts, tokens, confidence = self.song.facts, self.song.notes, self.song.note_confidence
        if facts.bass_notes is not None or tokens is None or confidence is None:
            return facts
        trusted = np.where(confidence > 0, tokens, NoteVocabulary.REST)
        return replace(facts, bass_notes=tuple(tokens_to_notes(trusted, self.song.frame_rate)))

    @property
    def true_notes(self) -> tuple[Note, ...] | None:
        """The notes of the true bass, in seconds from the beginning of the clip, if known.

        A note that the clip cuts off keeps its length, so the first may begin before the clip.
        """
        if self.facts.bass_notes is None:
            return None
        return tuple(
            replace(note, onset=note.onset - self.start)
            for note in self.facts.bass_notes
            if note.end > self.start and note.onset < self.start + self.seconds
        )

    @property
    def accompaniment(self) -> npt.NDArray[np.uint16]:
        """The codes of the song without its bass `[S, H, frames]`."""
        return self.song.view("accompaniment")[..., self._frames]

    def hearing(self, view: str) -> "Clip":
        """Return the same clip, with another view of its song in the place of the accompaniment.

        Raises:
            UserError: the codes of the song have no such view.
        """
        views = {**self.song.views, "accompaniment": self.song.view(view)}
        return replace(self, song=replace(self.song, views=views))

    @property
    def bass(self) -> npt.NDArray[np.uint16]:
        """The codes of the true bass `[H, frames]`."""
        return self.song.view("alone")[BASS][:, self._frames]

    @property
    def notes(self) -> npt.NDArray[np.int64]:
        """The note tokens of the true bass `[frames]`; FREE where they are not known."""
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
    """Take one clip from the middle of each song of a split.

    Songs that are shorter than `seconds` are left out.

    Args:
        codes: a folder that `extract-codes` wrote.
        codec: the codec that made the codes.
        split: "train", "valid", "test", or "all" for the songs of all of them.
        at_most: the largest number of clips. They are spread evenly over the split.
        seconds: the length of a clip.

    Raises:
        UserError: the folder has no manifest, fewer than two songs are left, or the codes are
            damaged or of another codec.
    """
    files = read_manifest(codes).files
    songs = [*map(SongCodes.load, files if split == ALL else files.of_split(split))]
    num_samples = round(seconds * codec.sample_rate)
    frames = codec.num_frames(num_samples)
    songs = [song for song in songs if song.num_frames >= frames]
    if len(songs) < 2:
        which = "" if split == ALL else f" of the split '{split}'"
        raise UserError(
            f"{codes} holds {len(songs)} songs{which} that last {seconds:g} s, but "
            "at least two are needed: choose another split or fewer seconds"
        )
    count = min(at_most, len(songs))
    chosen = [songs[i * len(songs) // count] for i in range(count)]
    for song in chosen:
        require_codec(song, codec)
    return tuple(
        Clip(number, song, (song.num_frames - frames) // 2, frames, num_samples)
        for number, song in enumerate(chosen)
    )


@dataclass(frozen=True, eq=False)
class MixedClip:
    """A clip as `generate-bass` receives a song: a mixture from which the codec removes the bass.

    Attributes:
        clip: the clip.
        recording: the stems of its song.
        accompaniment: codes `[S, H, frames]` of what is left of the mixture.
        gain: what it was multiplied by before it was encoded.
        own_bass: the bass that the codec found. Where there is none, nothing was removed.
    """

    clip: Clip
    recording: CachedSong
    accompaniment: npt.NDArray[np.uint16]
    gain: float
    own_bass: OwnBass | None

    @classmethod
    def of(cls, clip: Clip, recording: CachedSong, codec: Codec) -> "MixedClip":
        """Mix the stems of a clip, and remove the bass from the mixture."""
        stems = recording.read_all(clip.first * codec.hop, clip.num_samples)
        song = prepare_song(stems.sum(0), codec, remove_bass=None)
        codes = codec.encode(song.heard)
        bass = song.found_bass
        own = None if bass is None else OwnBass.of(bass, codec.sample_rate)
        return cls(clip, recording, codes, song.gain, own)

    @property
    def bass(self) -> npt.NDArray[np.float32]:
        """The stem of the true bass `[2, num_samples]`."""
        start = self.clip.first * self.clip.song.hop
        return self.recording.read(BASS, start, self.clip.num_samples)

    @property
    def without_bass(self) -> npt.NDArray[np.float32]:
        """The sum of the other stems `[2, num_samples]`."""
        stems = self.recording.read_all(self.clip.first * self.clip.song.hop, self.clip.num_samples)
        return stems.sum(0) - stems[BASS]


def mixed_clips(clips: Sequence[Clip], data: Path, codec: Codec) -> tuple[MixedClip, ...]:
    """Mix the clips from the stems of their songs in the folder `data`.

    Raises:
        UserError: `data` does not hold the songs that the codes were extracted from.
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
