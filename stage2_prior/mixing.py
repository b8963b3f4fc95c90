"""A song at its own sample rate, and the mix of it with its new bass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.codes.codec import Codec, require_frame
from shared.sound.files import read_sliced
from shared.sound.resampling import at_rate, resampled
from shared.sound.samples import Samples
from shared.sound.sliced import (
    Derived,
    SlicedSamples,
    settled,
    stereo_of,
)
from stage2_prior.accompaniment import PreparedSong


@dataclass(frozen=True, eq=False)
class SongFile:
    """A song as it was read.

    Attributes:
        path: the file.
        stereo: its sound `[2, N]` at its own sample rate; a mono song has two equal channels.
        sample_rate: that rate.
        mixture: the same sound at the codec's sample rate `[2, M]`.
        channels: how many channels the file has.
        wide: whether it holds more of a sample than 24 bits do.
    """

    path: Path
    stereo: SlicedSamples
    sample_rate: int
    mixture: SlicedSamples
    channels: int = 2
    wide: bool = False

    @classmethod
    def read(cls, path: Path, codec: Codec, folder: Path | None = None) -> SongFile:
        """Read a song, and bring it to the codec's sample rate.

        Args:
            path: the file.
            codec: the codec.
            folder: where a long song is kept (`StoredSamples`).

        Raises:
            UserError: the file cannot be read, or lasts less than a frame.
            OSError: the disk is full.
        """
        audio = read_sliced(path, folder)
        stereo = settled(stereo_of(audio.samples))
        require_frame(path, stereo.shape[-1] / audio.sample_rate, codec)
        mixture = resampled(stereo, audio.sample_rate, codec.sample_rate, folder)
        channels = audio.samples.shape[0]
        return cls(path, stereo, audio.sample_rate, mixture, channels, audio.wide)

    def brought_home(
        self, samples: SlicedSamples, codec: Codec, folder: Path | None = None
    ) -> SlicedSamples:
        """Bring sound `[2, M]` at the codec's sample rate to the rate and length of the song.

        `folder` is where a long sound is kept (`StoredSamples`).
        """
        rates = (codec.sample_rate, self.sample_rate)
        return at_rate(samples, *rates, self.stereo.shape[-1], folder)

    def with_its_channels(self, stereo: SlicedSamples) -> SlicedSamples:
        """Return sound `[2, N]` as `[1, N]` for a mono song, and as it is for any other."""
        return settled(Derived(_mono, stereo, channels=1)) if self.channels == 1 else stereo


def _mono(stereo: Samples) -> Samples:
    return stereo.mean(axis=0, keepdims=True)


@dataclass(frozen=True, eq=False)
class Mix:
    """What sounds together, at the song's sample rate and of its exact length.

    A mono song has one channel here, and any other has two.

    Attributes:
        song: the song `[C, N]`.
        own: the bass that was taken out of it `[C, N]`; None where none was.
        change: what is added to the song `[C, N]`: the new bass minus the song's own. It is exactly
            0 wherever the song's own bass stays, so that the song is not touched there.
    """

    song: SlicedSamples
    own: SlicedSamples | None
    change: SlicedSamples

    @property
    def rest(self) -> SlicedSamples:
        """The song `[C, N]`, without its own bass where that was taken out."""
        return self.song if self.own is None else self._computed(np.subtract, self.song, self.own)

    @property
    def bass(self) -> SlicedSamples:
        """The new bass `[C, N]`."""
        return self.change if self.own is None else self._computed(np.add, self.own, self.change)

    @property
    def whole(self) -> SlicedSamples:
        """The song with the new bass `[C, N]`."""
        return self._computed(np.add, self.song, self.change)

    @property
    def sounds(self) -> dict[str, SlicedSamples]:
        """The sounds of the files: bass, backing and mix."""
        return {"bass": self.bass, "backing": self.rest, "mix": self.whole}

    def _computed(
        self, compute: Callable[[Samples, Samples], Samples], *samples: SlicedSamples
    ) -> SlicedSamples:
        return settled(Derived(compute, *samples, channels=self.song.shape[0]))

    @classmethod
    def of(
        cls,
        song: SongFile,
        prepared: PreparedSong,
        bass: SlicedSamples,
        codec: Codec,
        folder: Path | None = None,
    ) -> Mix:
        """Put a bass `[2, M]` at the codec's sample rate in place of the song's own.

        `folder` is where long sounds are kept (`StoredSamples`).
        """

        def at_home(samples: SlicedSamples) -> SlicedSamples:
            return song.with_its_channels(song.brought_home(samples, codec, folder))

        mixed = song.with_its_channels(song.stereo)
        if prepared.bass is None:
            return cls(mixed, None, at_home(bass))
        change = settled(Derived(np.subtract, bass, prepared.bass))
        return cls(mixed, at_home(prepared.bass), at_home(change))
