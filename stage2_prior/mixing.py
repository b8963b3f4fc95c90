"""A song at its own sample rate, and the mix of it with its new bass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shared.codes.codec import Codec, require_frame
from shared.sound.files import read_audio
from shared.sound.samples import Samples, resample, resample_to, to_stereo
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
    stereo: Samples
    sample_rate: int
    mixture: Samples
    channels: int = 2
    wide: bool = False

    @classmethod
    def read(cls, path: Path, codec: Codec) -> SongFile:
        """Read a song, and bring it to the codec's sample rate.

        Raises:
            UserError: the file cannot be read, or lasts less than a frame.
        """
        audio = read_audio(path)
        stereo = to_stereo(audio.samples)
        require_frame(path, stereo.shape[-1] / audio.sample_rate, codec)
        mixture = resample(stereo, audio.sample_rate, codec.sample_rate)
        channels = len(audio.samples)
        return cls(path, stereo, audio.sample_rate, mixture, channels, audio.wide)

    def brought_home(self, samples: Samples, codec: Codec) -> Samples:
        """Bring sound `[2, M]` at the codec's sample rate to the rate and length of the song."""
        rate, length = self.sample_rate, self.stereo.shape[-1]
        return resample_to(samples, codec.sample_rate, rate, length)

    def with_its_channels(self, stereo: Samples) -> Samples:
        """Return sound `[2, N]` as `[1, N]` for a mono song, and as it is for any other."""
        return stereo.mean(axis=0, keepdims=True) if self.channels == 1 else stereo


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

    song: Samples
    own: Samples | None
    change: Samples

    @property
    def rest(self) -> Samples:
        """The song `[C, N]`, without its own bass where that was taken out."""
        return self.song if self.own is None else self.song - self.own

    @property
    def bass(self) -> Samples:
        """The new bass `[C, N]`."""
        return self.change if self.own is None else self.own + self.change

    @property
    def whole(self) -> Samples:
        """The song with the new bass `[C, N]`."""
        return self.song + self.change

    @property
    def sounds(self) -> dict[str, Samples]:
        """The sounds of the files: bass, backing and mix."""
        return {"bass": self.bass, "backing": self.rest, "mix": self.whole}

    @classmethod
    def of(cls, song: SongFile, prepared: PreparedSong, bass: Samples, codec: Codec) -> Mix:
        """Put a bass `[2, M]` at the codec's sample rate in place of the song's own."""

        def at_home(samples: Samples) -> Samples:
            return song.with_its_channels(song.brought_home(samples, codec))

        whole = song.with_its_channels(song.stereo)
        if prepared.bass is None:
            return cls(whole, None, at_home(bass))
        return cls(whole, at_home(prepared.bass), at_home(bass - prepared.bass))
