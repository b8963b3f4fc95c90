"""The sound of a line at its level beside the song, and its sound while it is being played."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.codes.decoding import decode_bass_blocks
from shared.sound.decibels import factor
from shared.sound.samples import Samples
from shared.sound.sliced import SlicedSamples, Timed, settled, stored
from stage2_prior.balance import BalanceRange, balance_curve, level_beside_song
from stage2_prior.bass_sound import BassSound
from stage2_prior.performance import Listening
from stage2_prior.sampling import GeneratedBass


@dataclass(frozen=True, eq=False)
class StayingBass:
    """A song's own bass, parts of which stay.

    Attributes:
        sound: its sound `[2, M]`.
        kept: the frames in which it stays `[T]`. It is faded in and out within one frame.
        hop: samples per frame.
    """

    sound: SlicedSamples
    kept: npt.NDArray[np.bool_]
    hop: int

    def share(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Return how much of it stays at the samples `start` to `stop`: 1 is all, 0 is nothing."""
        frames = np.arange(len(self.kept))
        share = np.interp(np.arange(start, stop) / self.hop, frames, self.kept)
        return share.astype(np.float32)


@dataclass(frozen=True, eq=False)
class LineSound:
    """A line beside its song, at the codec's sample rate and the song's own level.

    Attributes:
        sound: its sound `[2, M]`.
        balance: what its sound was multiplied by: the median over time.
        level: its level in dB relative to the song, where both sound; None where one is silent.
    """

    sound: SlicedSamples
    balance: float
    level: float | None


def render_line(
    line: GeneratedBass,
    accompaniment: SlicedSamples,
    sample_rate: int,
    song_gain: float,
    sound: BassSound,
    balance: BalanceRange,
    louder_db: float = 0.0,
    staying: StayingBass | None = None,
    folder: Path | None = None,
) -> LineSound:
    """Turn a line into sound, and bring it to its level beside the song (balance.py).

    Where the song's own bass stays, that one sets the level, and nothing is brought to another.

    Args:
        line: the line.
        accompaniment: the song without its bass `[2, M]`.
        sample_rate: the codec's sample rate.
        song_gain: what the song was multiplied by before it was encoded.
        sound: renders the line.
        balance: the range of levels.
        louder_db: by how many dB the line is louder than it would be otherwise.
        staying: the song's own bass, where it stays.
        folder: where a long sound is kept (`StoredSamples`).
    """
    length = accompaniment.shape[-1]
    louder = np.float32(factor(louder_db))
    rendered = sound.render_blocks(line.codes, line.notes, length)
    plain = stored((block / np.float32(song_gain) for block in rendered), 2, folder)
    if staying is not None:

        def beside_own(start: int, stop: int, new: Samples, own: Samples) -> Samples:
            share = staying.share(start, stop)
            return np.asarray(share * own + (1 - share) * louder * new)

        bass = settled(Timed(beside_own, plain, staying.sound))
        change = float(louder)
    else:
        curve = balance_curve(plain, line.notes, accompaniment, sample_rate, balance)
        bass = settled(Timed(lambda start, stop, new: louder * curve(start, stop) * new, plain))
        step = max(1, length // len(line.notes))
        change = float(louder * np.median([curve(at, at + 1)[0] for at in range(0, length, step)]))
    return LineSound(bass, change, level_beside_song(bass, line.notes, accompaniment, sample_rate))


def listening(
    codec: Codec,
    num_samples: int,
    on_listen: Callable[[], None] | None = None,
    folder: Path | None = None,
) -> Listening:
    """Return how a line is heard while it is played: as the codec's own decoder plays its codes.

    Args:
        codec: the codec.
        num_samples: the length of the song at its sample rate.
        on_listen: is called whenever somebody listens.
        folder: where a long sound is kept (`StoredSamples`).
    """

    def decode(codes: npt.NDArray[np.uint16]) -> SlicedSamples:
        if on_listen is not None:
            on_listen()
        return stored(decode_bass_blocks(codec, codes, num_samples), 2, folder)

    return Listening(decode, codec.sample_rate)
