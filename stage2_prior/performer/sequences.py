"""Cut training windows for the performer from the codes of songs.

Item i of the batch of a step depends only on (seed, step, i), so neither the number of processes
nor resuming changes the training data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.codes.song_codes import SongCodes
from shared.config import Fraction, Range
from shared.music.notes import NoteVocabulary
from shared.sources import BASS
from stage2_prior.performer.network import MASK, PAD
from stage2_prior.performer.score import (
    HIDDEN,
    LOUDNESS,
    NOTE,
    TONE,
    Score,
    hide_notes,
    loudness_of,
    make_score,
)
from stage2_prior.performer.tone import tone_of_program
from stage2_prior.rest_weight import rest_weight

Array = npt.NDArray[Any]
MeanShare = Annotated[float, Range(0, 0.5)]  # shares are drawn from 0 to twice their mean


@dataclass(frozen=True)
class PracticeConfig:
    """What is hidden from the performer in training.

    A network that may trust its own history plays on as before, whatever the notes say. Hence the
    hidden history.
    """

    hidden_codes: MeanShare = 0.15  # mean share of the codes of the history hidden one by one
    hidden_span: Fraction = 0.5  # chance that a stretch of the history is hidden in all codebooks
    span_seconds: Annotated[float, Range(0.01, 600)] = 4.0  # the longest such stretch
    hidden_notes: Fraction = 0.15  # chance that all notes are hidden, as for note guidance
    hidden_loudness: Fraction = 0.3  # chance that no loudness is known
    hidden_tone: Fraction = 0.3  # chance that the tone is not known
    rest_share: Fraction = 0.4  # the largest share of the loss that frames without bass may have


@dataclass(frozen=True, eq=False)
class PerformedSong:
    """The part of a song's codes that the performer needs.

    Attributes:
        track: the name of the song.
        split: "train", "valid" or "test".
        codes: codes of the bass alone `[H, T]`.
        score: its notes and its tone `[ROWS, T]` (score.py); HIDDEN where the notes are not known.
    """

    track: str
    split: str
    codes: Array
    score: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, song: SongCodes) -> "PerformedSong":
        """Select them from the content of a codes file."""
        codes = song.view("alone")[BASS]
        facts = song.facts
        tone = tone_of_program(facts.bass_program)
        if song.notes is None or song.note_confidence is None:
            rests = np.full(song.num_frames, NoteVocabulary.REST)
            score = hide_notes(make_score(rests, None, tone))
        else:
            loudness = loudness_of(facts.bass_notes or (), song.num_frames, song.frame_rate)
            score = make_score(song.notes, loudness, tone)
            unknown = song.note_confidence == 0
            score[:, unknown] = hide_notes(score)[:, unknown]
        return cls(
            track=song.track,
            split=song.split,
            codes=codes.astype(np.uint8) if codes.max() < 256 else codes,
            score=score.astype(np.uint8),
        )

    @property
    def frames(self) -> int:
        """The number of frames T."""
        return int(self.codes.shape[1])

    @property
    def rests(self) -> npt.NDArray[np.bool_]:
        """The frames in which the bass is known to rest `[T]`."""
        return np.asarray(self.score[NOTE] == 1 + NoteVocabulary.REST)

    @property
    def sounds(self) -> npt.NDArray[np.bool_]:
        """The frames in which a note is known to sound `[T]`."""
        return np.asarray(self.score[NOTE] > 1 + NoteVocabulary.REST)


def window(song: PerformedSong, start: int, frames: int, rest: float = 1.0) -> dict[str, Array]:
    """Cut a window of `frames` frames out of a song, from frame `start` on.

    Args:
        song: the song.
        start: the first frame.
        frames: the length of the window.
        rest: the weight of a frame in which the bass rests.

    Returns:
        `score` `[ROWS, F]`, `history` `[H, F]` and `target` `[H, F]`, all int64, and `weight`
        `[F]`, float32, which is 0 after the end of the song.
    """
    stop = min(start + frames, song.frames)

    def cut(values: Array, fill: float) -> Array:
        padding = [(0, 0)] * (values.ndim - 1) + [(0, start + frames - stop)]
        return np.pad(values[..., start:stop], padding, constant_values=fill)

    codes = song.codes.astype(np.int64)
    weight = np.where(song.rests, rest, 1.0).astype(np.float32)
    return {
        "score": cut(song.score.astype(np.int64), HIDDEN),
        "history": cut(codes, PAD),
        "target": cut(codes, 0),
        "weight": cut(weight, 0),
    }


def collate(windows: Sequence[dict[str, Array]]) -> dict[str, Tensor]:
    """Stack windows of equal length as tensors `[B, ...]`."""
    return {key: torch.from_numpy(np.stack([each[key] for each in windows])) for key in windows[0]}


class PractisingSequences:
    """Random windows of songs, in which parts of the history and of the score are hidden."""

    def __init__(
        self,
        songs: Sequence[PerformedSong],
        frames: int,
        frame_rate: float,
        practice: PracticeConfig,
    ) -> None:
        """Prepare to cut windows.

        Args:
            songs: the training songs.
            frames: the length of a window.
            frame_rate: frames per second.
            practice: how much to hide.
        """
        self.songs, self.frames, self.practice = songs, frames, practice
        self.longest_span = max(1, round(practice.span_seconds * frame_rate))
        self.ends = np.cumsum([song.frames for song in songs])
        self.rest_weight = rest_weight(songs, practice.rest_share)

    def batch(self, seed: int, step: int, items: range) -> dict[str, Tensor]:
        """Make some items of the batch of a step (see `window` for their content)."""
        return collate([self._item(np.random.default_rng((seed, step, i))) for i in items])

    def _item(self, chance: np.random.Generator) -> dict[str, Array]:
        song = self.songs[np.searchsorted(self.ends, chance.integers(self.ends[-1]), side="right")]
        start = int(chance.integers(max(1, song.frames - self.frames + 1)))
        item = window(song, start, self.frames, self.rest_weight)
        item["score"] = self._hide_score(item["score"], chance)
        item["history"] = self._hide_history(item["history"], chance)
        return item

    def _hide_score(self, score: Score, chance: np.random.Generator) -> Score:
        if chance.random() < self.practice.hidden_notes:
            score = hide_notes(score)
        if chance.random() < self.practice.hidden_loudness:
            score[LOUDNESS] = HIDDEN
        if chance.random() < self.practice.hidden_tone:
            score[TONE] = HIDDEN
        return score

    def _hide_history(self, codes: Array, chance: np.random.Generator) -> Array:
        # The rate differs from item to item, because the network must also learn from histories of
        # which nothing is hidden.
        rate = chance.random() * 2 * self.practice.hidden_codes
        hidden = chance.random(codes.shape) < rate
        if chance.random() < self.practice.hidden_span:
            start = chance.integers(self.frames)
            hidden[:, start : start + chance.integers(1, self.longest_span + 1)] = True
        return np.where(hidden & (codes != PAD), MASK, codes)


def whole_windows(
    songs: Sequence[PerformedSong], frames: int, at_most: int
) -> list[dict[str, Array]]:
    """Cut songs into consecutive windows, of which nothing is hidden.

    Args:
        songs: the songs.
        frames: the length of a window. A shorter song makes one window with padding; otherwise the
            frames that do not fill a window are left out.
        at_most: the largest number of windows. If there are more, they are thinned out evenly.
    """
    places = [
        (song, start)
        for song in songs
        for start in range(0, max(1, song.frames - frames + 1), frames)
    ]
    if len(places) > at_most:
        places = [places[i * len(places) // at_most] for i in range(at_most)]
    return [window(song, start, frames) for song, start in places]
