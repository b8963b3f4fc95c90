"""Training mixtures: sources drawn from different songs (the paper) or from one moment of one song.

Every example is a pure function of (seed, step, index in the global batch), so that a run can start
at any step and be divided among any number of processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from shared.errors import UserError
from shared.songs.cache import CachedSong
from shared.songs.drawing import ByLength
from shared.sources import SOURCES
from stage1_vqvae.config import RemixConfig

# Between these frequencies, the gains of the equaliser's knots are joined by straight lines.
EQUALISER_HZ, EQUALISER_KNOTS = (40.0, 16_000.0), 8


@dataclass(frozen=True)
class Remixer:
    """Draws batches of stems with a presence mask and a selection, the paper's C and X.

    Attributes:
        songs: the songs to draw from.
        config: how to draw.
        sample_rate: of the songs.
        seed: determines all examples, together with the step.
        batch_size: over all processes.
    """

    songs: Sequence[CachedSong]
    config: RemixConfig
    sample_rate: int
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        """Raise UserError if there are no songs."""
        if not self.songs:
            raise UserError("the train split holds no song: put songs into a train/ folder")

    @cached_property
    def _all(self) -> "_Songs":
        return _Songs(self.songs)

    @cached_property
    def _having(self) -> "list[_Songs | None]":
        """The songs that have each source; None where no song has it."""
        having = [
            [song for song in self.songs if not song.silent[source]]
            for source in range(len(SOURCES))
        ]
        return [_Songs(songs) if songs else None for songs in having]

    def batch(self, step: int, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """Draw the examples of one process at a step.

        Returns:
            "stems" `[b, sources, 2, N]`, and zeros and ones `[b, sources]` under "presence" and
            "selection". The stems of absent sources are silent.
        """
        examples = [
            self._example(np.random.default_rng((self.seed, step, index)))
            for index in range(rank, self.batch_size, world)
        ]
        stems, presence, selection = (np.stack(column) for column in zip(*examples, strict=True))
        return {
            "stems": torch.from_numpy(stems),
            "presence": torch.from_numpy(presence),
            "selection": torch.from_numpy(selection),
        }

    def _example(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        config = self.config
        length = round(config.segment_seconds * self.sample_rate)
        coherent = rng.random() < config.coherent
        stems = np.zeros((len(SOURCES), 2, length), np.float32)
        song, start = self._all.moment(length, rng)
        for source in range(len(SOURCES)):
            if not coherent:
                having = self._having[source]
                if having is None:
                    continue
                song, start = having.moment(length, rng)
            stems[source] = song.read(source, start, length)
        if config.equalised:
            stems = equalise(stems, self.sample_rate, config, rng)
        gains = 10 ** (rng.uniform(config.gain_low_db, config.gain_high_db, len(SOURCES)) / 20)
        if coherent:  # one gain changes the level of the song and keeps its balance
            gains[:] = gains[0]
        presence = (rng.random(len(SOURCES)) >= config.absent).astype(np.float32)
        if rng.random() < config.alone:
            sounding = np.flatnonzero(np.abs(stems).max((1, 2)) > 0)
            if sounding.size:
                presence = np.eye(len(SOURCES), dtype=np.float32)[rng.choice(sounding)]
        if config.flip:
            gains *= rng.choice([-1, 1], len(SOURCES) if not coherent else 1)
            if rng.random() < 0.5:
                stems = stems[:, ::-1]
        stems = stems * (gains * presence)[:, None, None].astype(np.float32)
        presence *= np.abs(stems).max((1, 2)) > 0
        return np.ascontiguousarray(stems), presence, self._selection(presence, rng)

    def _selection(self, presence: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one of the sources that sound, or each source with a chance of 1/2."""
        if rng.random() < self.config.single_source and presence.any():
            return np.eye(len(SOURCES), dtype=np.float32)[rng.choice(np.flatnonzero(presence))]
        return (rng.random(len(SOURCES)) < 0.5).astype(np.float32)


def equalise(
    stems: np.ndarray, sample_rate: int, config: RemixConfig, rng: np.random.Generator
) -> np.ndarray:
    """Filter some of the stems `[sources, 2, N]`, each by a smooth curve of its own.

    So a network cannot tell the sources by the colour of their instruments alone.
    """
    chosen = np.flatnonzero(rng.random(len(stems)) < config.equalised)
    knots = np.log(np.geomspace(*EQUALISER_HZ, EQUALISER_KNOTS))
    length = stems.shape[-1]
    frequencies = np.log(np.maximum(np.fft.rfftfreq(length, 1 / sample_rate), EQUALISER_HZ[0]))
    result = stems.copy()
    for source in chosen:
        decibels = rng.uniform(-config.equaliser_db, config.equaliser_db, EQUALISER_KNOTS)
        curve = 10 ** (np.interp(frequencies, knots, decibels) / 20)
        result[source] = np.fft.irfft(np.fft.rfft(stems[source]) * curve, length)
    return result


class _Songs:
    """Songs from which moments are drawn."""

    def __init__(self, songs: Sequence[CachedSong]) -> None:
        self._songs = songs
        self._by_length = ByLength(song.num_samples for song in songs)

    def moment(self, length: int, rng: np.random.Generator) -> tuple[CachedSong, int]:
        """Draw a song, in proportion to its length, and the start of a segment in it."""
        song = self._songs[self._by_length.draw(rng)]
        return song, int(rng.integers(max(1, song.num_samples - length + 1)))
