"""Split a song into stems that sum to it: the function behind `separate`.

A song of any sample rate is separated at the codec's rate, by masks or, without a mask, by decoding
its sources, and the stems are resampled to the song's rate. Whatever the stems leave over is kept
as the residual, so that stems and residual always sum to the song.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.atomic import files_together
from shared.codes.codec import Codec, require_frame
from shared.errors import UserError
from shared.outputs import require_free, sole_writer
from shared.songs.tracks import mix_name
from shared.sound.files import read_audio, write_wav
from shared.sound.samples import Samples, resample, resample_to, to_stereo
from shared.sound.separation import CodedMixture, separate_mixture
from shared.sources import SOURCES


@dataclass(frozen=True, eq=False)
class Stems:
    """Stems and a residual that sum to the song; every array is `[2, N]`.

    Attributes:
        stems: by source.
        mix: the stems together.
        residual: the song minus the stems.
    """

    stems: dict[str, Samples]
    mix: Samples
    residual: Samples


@dataclass(frozen=True)
class SeparatedSong:
    """The files that `separate` wrote.

    Attributes:
        stems: by source.
        mix: the stems together. If there is one stem only, this is its file.
        residual: the song minus the stems.
    """

    stems: dict[str, Path]
    mix: Path
    residual: Path


def separate(
    song: Path,
    out: Path,
    codec: Codec,
    sources: Sequence[str] = SOURCES,
    mask: bool = True,
    force: bool = False,
) -> SeparatedSong:
    """Write the stems of a song, their mix and the residual into the folder `out`.

    The files are `NAME.SOURCE.wav` for each source, `NAME.SOURCE+SOURCE.wav` for the mix of several
    (`NAME.all.wav` for the mix of all), and `NAME.residual.wav`. They are stereo float WAV files of
    the song's own sample rate and exact length, so that stems and residual sum to the song without
    rounding.

    Args:
        song: an audio file.
        out: the folder to write to.
        codec: what decodes the sources.
        sources: which stems to write.
        mask: mask the song, instead of decoding its sources.
        force: whether files that exist may be replaced; the song itself never is.

    Raises:
        UserError: the song cannot be read or is shorter than a frame, a source is unknown, a file
            would be replaced, or the folder cannot be written.
    """
    chosen, name = _chosen(sources, codec), mix_name(song)
    together = "all" if len(chosen) == len(codec.sources) else "+".join(chosen)
    files = {source: out / f"{name}.{source}.wav" for source in chosen}
    mix, residual = out / f"{name}.{together}.wav", out / f"{name}.residual.wav"
    require_free([*files.values(), mix, residual], [song], force)
    audio = read_audio(song)
    require_frame(song, audio.samples.shape[-1] / audio.sample_rate, codec)
    result = separate_samples(to_stereo(audio.samples), audio.sample_rate, codec, chosen, mask)
    parts = {path: result.stems[source] for source, path in files.items()}
    if len(chosen) > 1:
        parts[mix] = result.mix
    parts[residual] = result.residual
    with sole_writer(out, name):
        require_free(parts, [song], force)  # another process may have written them meanwhile
        with files_together({str(path): path for path in parts}) as temporary:
            for path, samples in parts.items():
                write_wav(temporary[str(path)], samples, audio.sample_rate, "FLOAT")
    return SeparatedSong(files, mix if len(chosen) > 1 else files[chosen[0]], residual)


def separate_samples(
    song: Samples,
    sample_rate: int,
    codec: Codec,
    sources: Sequence[str] = SOURCES,
    mask: bool = True,
) -> Stems:
    """Separate a song `[2, N]` of any sample rate into the named stems.

    Without a mask, the stems and their mix are decoded, each from its own selection of sources.
    Because the decoder is not linear, that mix differs from the sum of the stems.

    Raises:
        UserError: a source is unknown, or none is named.
    """
    chosen = _chosen(sources, codec)
    mixture = resample(song, sample_rate, codec.sample_rate)

    def as_song(samples: Samples) -> Samples:
        """Bring samples to the song's sample rate and length."""
        return resample_to(samples, codec.sample_rate, sample_rate, song.shape[-1])

    if mask:
        estimates = separate_mixture(mixture, codec, chosen)
        stems = dict(zip(chosen, map(as_song, estimates), strict=True))
        together = np.sum(list(stems.values()), axis=0)
        return Stems(stems, together, song - together)
    coded = CodedMixture.encode(mixture, codec)
    stems = {source: as_song(coded.decode([source])) for source in chosen}
    return Stems(stems, as_song(coded.decode(chosen)), song - np.sum(list(stems.values()), axis=0))


def _chosen(sources: Sequence[str], codec: Codec) -> list[str]:
    """Return the named sources, each once, in the codec's order."""
    known = ", ".join(codec.sources)
    for source in sources:
        if source not in codec.sources:
            raise UserError(f"there is no source '{source}': choose from {known}")
    if not sources:
        raise UserError(f"no source is named: choose from {known}")
    return [source for source in codec.sources if source in sources]
