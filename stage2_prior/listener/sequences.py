"""Cut training windows for the listener from the codes of songs.

Item i of the batch of a step depends only on (seed, step, i), so neither the number of processes
nor resuming changes the training data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.codes.song_codes import SongCodes
from shared.config import Fraction, Range
from shared.errors import require
from shared.music.notes import NoteVocabulary
from stage2_prior.listener.labels import UNKNOWN, FrameLabels

Array = npt.NDArray[Any]
View = Literal["accompaniment", "without_bass", "mixture"]

WITHOUT_BASS: tuple[View, ...] = ("accompaniment", "without_bass")
"""The views of a song in which its bass was taken out: from the stems, and by the codec."""


@dataclass(frozen=True)
class HidingConfig:
    """How much of the accompaniment is hidden in training."""

    drop_source: Fraction = 0.15  # chance that one source is dropped
    # Mean share of the codes that are hidden one by one; it is drawn from 0 to twice this.
    hidden_codes: Annotated[float, Range(0, 0.5)] = 0.15


def known_views(song: SongCodes, views: Sequence[View]) -> list[View]:
    """Return those of the views that a codes file has.

    Raises:
        UserError: it has none of them.
    """
    known = [view for view in views if view in song.views]
    require(bool(known), f"codes of '{song.track}' have none of the views {', '.join(views)}")
    return known


@dataclass(frozen=True, eq=False)
class HeardSong:
    """The part of a song's codes that the listener needs.

    Attributes:
        track: the name of the song.
        split: "train", "valid" or "test".
        accompaniments: codes of the song without its bass `[A, S, H, T]`, in every way in which the
            bass was taken out.
        notes: note tokens of the bass `[T]`.
        confidence: how reliable each note is `[T]`, from 0 to 1; 0 where it is not known.
        labels: its chords and beats.
    """

    track: str
    split: str
    accompaniments: Array
    notes: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.float32]
    labels: FrameLabels

    @classmethod
    def of(cls, song: SongCodes, views: Sequence[View] = WITHOUT_BASS) -> "HeardSong":
        """Select them from the content of a codes file.

        Raises:
            UserError: the file has none of the views.
        """
        codes = np.stack([song.view(view) for view in known_views(song, views)])
        notes, confidence = song.notes, song.note_confidence
        if notes is None or confidence is None:
            notes = np.zeros(song.num_frames, np.uint8)
            confidence = np.zeros(song.num_frames, np.float32)
        return cls(
            track=song.track,
            split=song.split,
            accompaniments=codes.astype(np.uint8) if codes.max() < 256 else codes,
            notes=notes,
            confidence=confidence,
            labels=FrameLabels.of(song.facts, song.num_frames, song.frame_rate),
        )

    @property
    def frames(self) -> int:
        """The number of frames T."""
        return len(self.notes)

    @property
    def rests(self) -> npt.NDArray[np.bool_]:
        """The frames in which the bass is known to rest `[T]`."""
        return np.asarray((self.notes == NoteVocabulary.REST) & (self.confidence > 0))

    @property
    def sounds(self) -> npt.NDArray[np.bool_]:
        """The frames in which a note is known to sound `[T]`."""
        return np.asarray((self.notes != NoteVocabulary.REST) & (self.confidence > 0))


def window(
    song: HeardSong, start: int, frames: int, dropped: int, view: int = 0
) -> dict[str, Array]:
    """Cut a window of `frames` frames out of a song, from frame `start` on.

    Args:
        song: the song.
        start: the first frame.
        frames: the length of the window. After the end of the song, nothing is known.
        dropped: the code after the end of the song.
        view: which of its accompaniments to take.

    Returns:
        `accompaniment` `[S, H, F]`, `note` `[F]`, `confidence` `[F]`, `root` `[F]`, `tones`
        `[F, 12]` and `beats` `[F, 2]`.
    """
    stop = min(start + frames, song.frames)
    after = start + frames - stop

    def cut(values: Array, fill: float) -> Array:
        part = values[start:stop]
        padding = [(0, after)] + [(0, 0)] * (part.ndim - 1)
        return np.pad(part, padding, constant_values=fill)

    codes = cut(song.accompaniments[view].astype(np.int64).transpose(2, 0, 1), dropped)
    return {
        "accompaniment": codes.transpose(1, 2, 0),
        "note": cut(song.notes.astype(np.int64), 0),
        "confidence": cut(song.confidence, 0),
        "root": cut(song.labels.root.astype(np.int64), UNKNOWN),
        "tones": cut(song.labels.tones.astype(np.int64), UNKNOWN),
        "beats": cut(song.labels.beats.astype(np.int64), UNKNOWN),
    }


def collate(windows: Sequence[dict[str, Array]]) -> dict[str, Tensor]:
    """Stack windows of equal length as tensors `[B, ...]`."""
    return {
        key: torch.from_numpy(np.ascontiguousarray(np.stack([each[key] for each in windows])))
        for key in windows[0]
    }


class ListeningSequences:
    """Random windows of songs, in which parts of the accompaniment are hidden."""

    def __init__(
        self, songs: Sequence[HeardSong], frames: int, dropped: int, hiding: HidingConfig
    ) -> None:
        """Prepare to cut windows of `frames` frames, with `dropped` for codes that are hidden."""
        self.songs, self.frames, self.dropped, self.hiding = songs, frames, dropped, hiding
        self.ends = np.cumsum([song.frames for song in songs])

    def batch(self, seed: int, step: int, items: range) -> dict[str, Tensor]:
        """Make some items of the batch of a step (see `window` for their content)."""
        return collate([self._item(np.random.default_rng((seed, step, i))) for i in items])

    def _item(self, chance: np.random.Generator) -> dict[str, Array]:
        song = self.songs[np.searchsorted(self.ends, chance.integers(self.ends[-1]), side="right")]
        start = int(chance.integers(max(1, song.frames - self.frames + 1)))
        view = int(chance.integers(len(song.accompaniments)))
        item = window(song, start, self.frames, self.dropped, view)
        codes = item["accompaniment"]
        rate = chance.random() * 2 * self.hiding.hidden_codes
        codes[chance.random(codes.shape) < rate] = self.dropped
        codes[chance.random(len(codes)) < self.hiding.drop_source] = self.dropped
        return item
