"""Cut windows of accompaniment and bass for the plain encoder-decoder.

Item i of the batch of a step depends only on (seed, step, i), so neither the number of processes
nor resuming changes the training data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.codes.song_codes import SongCodes
from shared.sources import BASS

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class PairedSong:
    """The codes of a song.

    Attributes:
        split: "train", "valid" or "test".
        accompaniment: codes of the song without its bass `[S, H, T]`.
        bass: codes of the bass alone `[H, T]`.
    """

    split: str
    accompaniment: Array
    bass: Array

    @classmethod
    def of(cls, song: SongCodes) -> "PairedSong":
        """Select them from the content of a codes file."""
        return cls(song.split, song.view("accompaniment"), song.view("alone")[BASS])

    @property
    def frames(self) -> int:
        """The number of frames T."""
        return int(self.bass.shape[1])


def window(song: PairedSong, start: int, frames: int) -> dict[str, Array]:
    """Cut a window of `frames` frames out of a song, from frame `start` on.

    Returns:
        `accompaniment` `[S, H, F]`, `target` `[H, F]` and `weight` `[F]`, which is 0 after the end
        of the song.
    """
    stop = min(start + frames, song.frames)

    def cut(codes: Array) -> Array:
        after = [(0, 0)] * (codes.ndim - 1) + [(0, start + frames - stop)]
        return np.pad(codes[..., start:stop].astype(np.int64), after)

    weight = (np.arange(frames) < stop - start).astype(np.float32)
    return {
        "accompaniment": cut(song.accompaniment),
        "target": cut(song.bass),
        "weight": weight,
    }


def collate(windows: Sequence[dict[str, Array]]) -> dict[str, Tensor]:
    """Stack windows of equal length as tensors `[B, ...]`."""
    return {key: torch.from_numpy(np.stack([each[key] for each in windows])) for key in windows[0]}


def random_windows(
    songs: Sequence[PairedSong], frames: int, seed: int, step: int, items: range
) -> dict[str, Tensor]:
    """Make some items of the batch of a step: windows of songs, by chance in their length."""
    ends = np.cumsum([song.frames for song in songs])
    cut = []
    for item in items:
        chance = np.random.default_rng((seed, step, item))
        song = songs[np.searchsorted(ends, chance.integers(ends[-1]), side="right")]
        cut.append(window(song, int(chance.integers(max(1, song.frames - frames + 1))), frames))
    return collate(cut)
