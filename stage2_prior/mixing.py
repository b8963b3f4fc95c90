"""A song at its own sample rate, and the mix of it with its new bass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shared.codes.codec import Codec, require_frame
from shared.sound.files import read_audio
from shared.sound.samples import Samples, fit_length, resample, to_stereo
from stage2_prior.accompaniment import PreparedSong


@dataclass(frozen=True, eq=False)
class SongFile:
    """A song as it was read.

    Attributes:
        path: the file.
        stereo: its sound `[2, N]` at its own sample rate.
        sample_rate: that rate.
        mixture: the same sound at the codec's sample rate `[2, M]`.
    """

    path: Path
    stereo: Samples
    sample_rate: int
    mixture: Samples

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
        return cls(path, stereo, audio.sample_rate, mixture)


@dataclass(frozen=True, eq=False)
class Mix:
    """What sounds together, at the song's sample rate and of its exact length.

    Attributes:
        rest: the song `[2, N]`, without its own bass where that was taken out.
        bass: the new bass `[2, N]`.
    """

    rest: Samples
    bass: Samples

    @property
    def whole(self) -> Samples:
        """The song with the new bass `[2, N]`."""
        return self.rest + self.bass

    @classmethod
    def of(cls, song: SongFile, prepared: PreparedSong, bass: Samples, codec: Codec) -> Mix:
        """Put a bass `[2, M]` at the codec's sample rate in place of the song's own."""

        def at_rate_of_song(samples: Samples) -> Samples:
            resampled = resample(samples, codec.sample_rate, song.sample_rate)
            return fit_length(resampled, song.stereo.shape[-1])

        own = prepared.bass
        rest = song.stereo if own is None else song.stereo - at_rate_of_song(own)
        return cls(rest, at_rate_of_song(bass))
