"""Songs' codes in memory, and training batches cut from them.

Item i of the batch of a step depends on (seed, step, i) only: neither the number of processes nor
resuming changes what is trained on. All of training's chance lies here, but for the model's own
dropout.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.codes.codec import CodeFormat
from shared.codes.manifest import read_manifest, require_format
from shared.codes.song_codes import SongCodes
from shared.errors import require
from shared.music.notes import NoteVocabulary
from shared.sources import BASS, SOURCES
from stage2_prior.config import DataConfig
from stage2_prior.model import MASK, PAD

UNKNOWN = -1
Integers = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class SongTokens:
    """What stage 2 needs of a song.

    accompaniment: codes `[S, H, T]`. tokens: the note, then the bass codes `[1 + H, T]`.
    confidence: how far to trust each note `[T]`, 0 where it is unknown.
    root: the chord's root, a pitch class `[T]`; UNKNOWN where nobody wrote the chords down.
    """

    track: str
    split: str
    accompaniment: Integers
    tokens: Integers
    confidence: npt.NDArray[np.float32]
    root: npt.NDArray[np.int8]

    @classmethod
    def of(cls, song: SongCodes) -> "SongTokens":
        """Take them from a codes file."""
        accompaniment, bass = song.view("accompaniment"), song.view("alone")[BASS]
        small = np.dtype("u1" if max(accompaniment.max(), bass.max()) < 256 else "u2")
        notes, confidence = song.notes, song.note_confidence
        if notes is None or confidence is None:
            notes = np.zeros(song.num_frames, np.uint8)
            confidence = np.zeros(song.num_frames, np.float32)
        tokens = np.concatenate((notes[None], bass)).astype(small)
        root = np.full(song.num_frames, UNKNOWN, np.int8)
        for chord in song.facts.chords:
            if chord.root is not None:
                start, end = (round(t * song.frame_rate) for t in (chord.start, chord.end))
                root[start:end] = chord.root
        return cls(song.track, song.split, accompaniment.astype(small), tokens, confidence, root)

    @property
    def frames(self) -> int:
        """Length T."""
        return int(self.tokens.shape[1])


@dataclass(frozen=True)
class Corpus:
    """All songs of a codes folder, and the format they share."""

    songs: tuple[SongTokens, ...]
    format: CodeFormat

    def split(self, name: str) -> tuple[SongTokens, ...]:
        """The songs of "train", "valid" or "test"."""
        return tuple(song for song in self.songs if song.split == name)


def load_corpus(folder: Path) -> Corpus:
    """Read every song that a codes folder's manifest lists.

    Raises:
        UserError: no manifest or a damaged one, no songs, or one that is not as the manifest says.
    """
    manifest = read_manifest(folder)
    require(bool(manifest.files), f"{folder} holds no songs: extract codes of a folder with some")
    sources = manifest.format.sources
    require(
        sources == SOURCES,
        f"{folder} holds the sources {', '.join(sources)}, not {', '.join(SOURCES)}: "
        "extract codes with a codec of these",
    )
    songs = []
    for path in manifest.files:
        song = SongCodes.load(path)
        require(song.num_frames > 0, f"{path} holds no frames: extract codes of a longer song")
        require_format(song, manifest.format)
        songs.append(SongTokens.of(song))
    return Corpus(tuple(songs), manifest.format)


@dataclass(frozen=True)
class Window:
    """`frames` frames of a song from `start` on."""

    song: SongTokens
    start: int
    frames: int

    @property
    def length(self) -> int:
        """Frames that the song has here; the rest is padding."""
        return min(self.frames, self.song.frames - self.start)

    def accompaniment(self, dropped: int) -> npt.NDArray[np.int64]:
        """`[S, H, frames]`, `dropped` after the song's end."""
        return self._cut(self.song.accompaniment, dropped)

    def tokens(self, fill: int) -> npt.NDArray[np.int64]:
        """`[1 + H, frames]`, `fill` after the song's end."""
        return self._cut(self.song.tokens, fill)

    def confidence(self) -> npt.NDArray[np.float32]:
        """`[frames]`, 0 after the song's end."""
        part = self.song.confidence[self.start : self.start + self.length]
        return np.pad(part, (0, self.frames - self.length))

    def root(self) -> npt.NDArray[np.int64]:
        """`[frames]`, UNKNOWN after the song's end."""
        return self._cut(self.song.root, UNKNOWN)

    def _cut(self, values: Integers | npt.NDArray[np.int8], fill: int) -> npt.NDArray[np.int64]:
        part = values[..., self.start : self.start + self.length].astype(np.int64)
        after = [(0, 0)] * (part.ndim - 1) + [(0, self.frames - self.length)]
        return np.pad(part, after, constant_values=fill)


class TrainingSequences:
    """Random windows of the training songs, with parts of song and history hidden."""

    def __init__(
        self,
        songs: Sequence[SongTokens],
        frames: int,
        dropped: int,
        frame_rate: float,
        data: DataConfig,
    ) -> None:
        self.songs, self.frames, self.dropped, self.data = songs, frames, dropped, data
        self.longest_span = max(1, round(data.mask_span_seconds * frame_rate))
        self.ends = np.cumsum([song.frames for song in songs])
        self.rest_weight = rest_weight(songs, data.rest_share)

    def batch(self, seed: int, step: int, items: range) -> dict[str, Tensor]:
        """Items of the batch of a step.

        Returns:
            accompaniment `[B, S, H, F]`, history and target `[B, 1 + H, F]`, root `[B, F]` int64;
            note_weight and code_weight `[B, F]` float32, 0 where there is nothing to learn.
        """
        made = [self._item(np.random.default_rng((seed, step, i))) for i in items]
        return {key: torch.from_numpy(np.stack([item[key] for item in made])) for key in made[0]}

    def _item(self, chance: np.random.Generator) -> dict[str, np.ndarray]:
        window = self._window(chance)
        target = window.tokens(fill=0)
        inside = np.arange(self.frames) < window.length
        weight = inside * np.where(target[0] == NoteVocabulary.REST, self.rest_weight, 1.0)
        unknown = window.confidence() == 0
        code_weight = np.where(unknown, inside, weight)
        return {
            "accompaniment": self._hide_song(window.accompaniment(self.dropped), chance),
            "history": self._hide_history(window.tokens(fill=PAD), unknown, chance),
            "target": target,
            "root": window.root(),
            "note_weight": (weight * window.confidence()).astype(np.float32),
            "code_weight": code_weight.astype(np.float32),
        }

    def _window(self, chance: np.random.Generator) -> Window:
        """Every frame of the corpus is about as likely as any other."""
        song = self.songs[np.searchsorted(self.ends, chance.integers(self.ends[-1]), side="right")]
        start = chance.integers(max(1, song.frames - self.frames + 1))
        return Window(song, int(start), self.frames)

    def _hide_song(
        self, accompaniment: npt.NDArray[np.int64], chance: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        # A rate per item, from none to twice the mean: the model must also know intact codes.
        rate = chance.random() * 2 * self.data.mask_song
        accompaniment[chance.random(accompaniment.shape) < rate] = self.dropped
        hidden = chance.random(len(accompaniment)) < self.data.drop_source
        hidden |= chance.random() < self.data.drop_all
        accompaniment[hidden] = self.dropped
        return accompaniment

    def _hide_history(
        self,
        tokens: npt.NDArray[np.int64],
        unknown: npt.NDArray[np.bool_],
        chance: np.random.Generator,
    ) -> npt.NDArray[np.int64]:
        # Again a rate per item: the model must also know an intact history.
        rate = chance.random() * 2 * self.data.mask_tokens
        hidden = chance.random(tokens.shape) < rate
        if chance.random() < self.data.mask_span:
            start = chance.integers(self.frames)
            hidden[:, start : start + chance.integers(1, self.longest_span + 1)] = True
        hidden[0] |= unknown | (chance.random() < self.data.mask_notes)
        return np.where(hidden & (tokens != PAD), MASK, tokens)


def rest_weight(songs: Sequence[SongTokens], share: float) -> float:
    """Weight of a frame without bass that makes such frames at most `share` of all weight."""
    known = sum(int((song.confidence > 0).sum()) for song in songs)
    rests = sum(
        int(((song.tokens[0] == NoteVocabulary.REST) & (song.confidence > 0)).sum())
        for song in songs
    )
    if rests <= share * known:
        return 1.0
    return share * (known - rests) / ((1 - share) * rests)


def whole_windows(songs: Sequence[SongTokens], frames: int, at_most: int) -> list[Window]:
    """Consecutive windows that fill the songs; where there are too many, an even choice of them."""
    windows = [
        Window(song, start, frames)
        for song in songs
        for start in range(0, max(1, song.frames - frames + 1), frames)
    ]
    if len(windows) <= at_most:
        return windows
    return [windows[i * len(windows) // at_most] for i in range(at_most)]
