"""Hold the codes of songs in memory, and cut training batches from them.

Item i of the batch of a step depends only on (seed, step, i), so neither the number of processes
nor resuming changes the training data. All random choices of training are made here, apart from the
dropout inside the model.
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
    """The part of a song's codes that stage 2 needs.

    Attributes:
        track: the name of the song.
        split: "train", "valid" or "test".
        accompaniment: codes of the song without its bass `[S, H, T]`.
        tokens: note tokens, then codes of the bass `[1 + H, T]`.
        confidence: how reliable each note is `[T]`, from 0 to 1; 0 where it is not known.
        root: the pitch class of the chord's root `[T]`; UNKNOWN where no chord is known.
    """

    track: str
    split: str
    accompaniment: Integers
    tokens: Integers
    confidence: npt.NDArray[np.float32]
    root: npt.NDArray[np.int8]

    @classmethod
    def of(cls, song: SongCodes) -> "SongTokens":
        """Select them from the content of a codes file."""
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
        """The number of frames T."""
        return int(self.tokens.shape[1])


@dataclass(frozen=True)
class Corpus:
    """All songs of a folder of codes, and the format that they share."""

    songs: tuple[SongTokens, ...]
    format: CodeFormat

    def split(self, name: str) -> tuple[SongTokens, ...]:
        """Return the songs of the split "train", "valid" or "test"."""
        return tuple(song for song in self.songs if song.split == name)


def load_corpus(folder: Path) -> Corpus:
    """Read every song that the manifest of a folder of codes lists.

    Raises:
        UserError: the manifest is missing or damaged, it lists no songs, or a song is missing,
            damaged, empty, or of another format than the manifest says.
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
    """A window of `frames` frames of a song, from frame `start` on."""

    song: SongTokens
    start: int
    frames: int

    @property
    def length(self) -> int:
        """The number of frames before the end of the song; the others are padding."""
        return min(self.frames, self.song.frames - self.start)

    def accompaniment(self, dropped: int) -> npt.NDArray[np.int64]:
        """Return the codes of the accompaniment `[S, H, frames]`, `dropped` after the song."""
        return self._cut(self.song.accompaniment, dropped)

    def tokens(self, fill: int) -> npt.NDArray[np.int64]:
        """Return the tokens of the bass `[1 + H, frames]`, `fill` after the song."""
        return self._cut(self.song.tokens, fill)

    def confidence(self) -> npt.NDArray[np.float32]:
        """Return how reliable each note is `[frames]`, 0 after the song."""
        part = self.song.confidence[self.start : self.start + self.length]
        return np.pad(part, (0, self.frames - self.length))

    def root(self) -> npt.NDArray[np.int64]:
        """Return the roots of the chords `[frames]`, UNKNOWN after the song."""
        return self._cut(self.song.root, UNKNOWN)

    def _cut(self, values: Integers | npt.NDArray[np.int8], fill: int) -> npt.NDArray[np.int64]:
        part = values[..., self.start : self.start + self.length].astype(np.int64)
        after = [(0, 0)] * (part.ndim - 1) + [(0, self.frames - self.length)]
        return np.pad(part, after, constant_values=fill)


class TrainingSequences:
    """Random windows of songs, in which parts of the accompaniment and the history are hidden."""

    def __init__(
        self,
        songs: Sequence[SongTokens],
        frames: int,
        dropped: int,
        frame_rate: float,
        data: DataConfig,
    ) -> None:
        """Prepare to cut windows.

        Args:
            songs: the training songs.
            frames: the length of a window.
            dropped: the code of a source that is not given.
            frame_rate: frames per second.
            data: how much to hide, and how to weigh.
        """
        self.songs, self.frames, self.dropped, self.data = songs, frames, dropped, data
        self.longest_span = max(1, round(data.mask_span_seconds * frame_rate))
        self.ends = np.cumsum([song.frames for song in songs])
        self.rest_weight = rest_weight(songs, data.rest_share)

    def batch(self, seed: int, step: int, items: range) -> dict[str, Tensor]:
        """Make some items of the batch of a step.

        Args:
            seed: the seed of the run.
            step: the step.
            items: the numbers of the items within the batch.

        Returns:
            `accompaniment` `[B, S, H, F]`, `history` and `target` `[B, 1 + H, F]`, and `root`
            `[B, F]`, all int64; `note_weight` and `code_weight` `[B, F]`, float32, which are 0
            where there is nothing to learn.
        """
        batch = [self._item(np.random.default_rng((seed, step, i))) for i in items]
        return {key: torch.from_numpy(np.stack([item[key] for item in batch])) for key in batch[0]}

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
        """Choose a window so that all frames of all songs are about equally likely."""
        song = self.songs[np.searchsorted(self.ends, chance.integers(self.ends[-1]), side="right")]
        start = chance.integers(max(1, song.frames - self.frames + 1))
        return Window(song, int(start), self.frames)

    def _hide_song(
        self, accompaniment: npt.NDArray[np.int64], chance: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        # The rate differs from item to item, from 0 to twice the mean, because the model must also
        # learn from codes of which none are hidden.
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
        # Again the rate differs from item to item.
        rate = chance.random() * 2 * self.data.mask_tokens
        hidden = chance.random(tokens.shape) < rate
        if chance.random() < self.data.mask_span:
            start = chance.integers(self.frames)
            hidden[:, start : start + chance.integers(1, self.longest_span + 1)] = True
        hidden[0] |= unknown | (chance.random() < self.data.mask_notes)
        return np.where(hidden & (tokens != PAD), MASK, tokens)


def rest_weight(songs: Sequence[SongTokens], share: float) -> float:
    """Return the weight of a frame without bass, relative to a frame with bass.

    It is 1, or less if frames without bass would otherwise have more than `share` of all weight.
    Only frames whose note is known are counted.
    """
    known = sum(int((song.confidence > 0).sum()) for song in songs)
    rests = sum(
        int(((song.tokens[0] == NoteVocabulary.REST) & (song.confidence > 0)).sum())
        for song in songs
    )
    if rests <= share * known:
        return 1.0
    return share * (known - rests) / ((1 - share) * rests)


def whole_windows(songs: Sequence[SongTokens], frames: int, at_most: int) -> list[Window]:
    """Cut songs into consecutive windows.

    Args:
        songs: the songs.
        frames: the length of a window. A shorter song makes one window with padding; otherwise the
            frames that do not fill a window are left out.
        at_most: the largest number of windows. If there are more, they are thinned out evenly.
    """
    windows = [
        Window(song, start, frames)
        for song in songs
        for start in range(0, max(1, song.frames - frames + 1), frames)
    ]
    if len(windows) <= at_most:
        return windows
    return [windows[i * len(windows) // at_most] for i in range(at_most)]
