"""The sound of a line at its level beside the song, and its sound while it is being played."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.sound.decibels import factor
from shared.sound.samples import Samples
from stage2_prior.balance import BalanceRange, balance_envelope, level_beside_song
from stage2_prior.bass_sound import BassSound, decoded_bass
from stage2_prior.performance import Listening
from stage2_prior.sampling import GeneratedBass


@dataclass(frozen=True, eq=False)
class StayingBass:
    """A song's own bass, parts of which stay.

    Attributes:
        sound: its sound `[2, M]`.
        share: how much of it stays at each sample `[M]`: 1 is all, 0 is nothing.
    """

    sound: Samples
    share: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LineSound:
    """A line beside its song, at the codec's sample rate and the song's own level.

    Attributes:
        sound: its sound `[2, M]`.
        balance: what its sound was multiplied by: the median over time.
        level: its level in dB relative to the song, where both sound; None where one is silent.
    """

    sound: Samples
    balance: float
    level: float | None


def render_line(
    line: GeneratedBass,
    accompaniment: Samples,
    sample_rate: int,
    song_gain: float,
    sound: BassSound,
    balance: BalanceRange,
    louder_db: float = 0.0,
    staying: StayingBass | None = None,
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
    """
    length = accompaniment.shape[-1]
    bass = sound.render(line.codes, line.notes, length) / np.float32(song_gain)
    change = np.full(length, factor(louder_db), np.float32)
    if staying is None:
        change *= balance_envelope(bass, line.notes, accompaniment, sample_rate, balance)
    bass = change * bass
    if staying is not None:
        bass = staying.share * staying.sound + (1 - staying.share) * bass
    level = level_beside_song(bass, line.notes, accompaniment, sample_rate)
    return LineSound(bass, float(np.median(change)), level)


def listening(
    codec: Codec, num_samples: int, on_listen: Callable[[], None] | None = None
) -> Listening:
    """Return how a line is heard while it is played: as the codec's own decoder plays its codes.

    Args:
        codec: the codec.
        num_samples: the length of the song at its sample rate.
        on_listen: is called whenever somebody listens.
    """

    def decode(codes: npt.NDArray[np.uint16]) -> Samples:
        if on_listen is not None:
            on_listen()
        return decoded_bass(codes, num_samples, 1.0, codec)

    return Listening(decode, codec.sample_rate)
