"""Split a song into stems that sum to it: the function behind `separate`.

A song of any sample rate is separated at the codec's rate, by masks or, without a mask, by decoding
its sources, and the stems are resampled to the song's rate. Whatever the stems leave over is kept
as the residual, so that stems and residual always sum to the song.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.atomic import files_together, full_disk_said
from shared.codes.codec import Codec, require_frame
from shared.disk_space import require_space
from shared.errors import UserError
from shared.outputs import require_free, sole_writer
from shared.songs.tracks import mix_name
from shared.sound.encoding import Encoding
from shared.sound.files import read_sliced
from shared.sound.resampling import at_rate, resampled
from shared.sound.separation import CodedMixture, separate_mixture_blocks
from shared.sound.sliced import (
    Derived,
    SlicedSamples,
    StoredSamples,
    scratch_folder,
    stereo_of,
    stored,
)
from shared.sources import SOURCES

ENCODING = Encoding("wav", "32f")  # in which stems and residual sum to the song without rounding


@dataclass(frozen=True, eq=False)
class Stems:
    """Stems and a residual that sum to the song; every array is `[2, N]`.

    Attributes:
        stems: by source.
        mix: the stems together.
        residual: the song minus the stems.
    """

    stems: dict[str, SlicedSamples]
    mix: SlicedSamples
    residual: SlicedSamples


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
    folder = scratch_folder(out)
    audio = read_sliced(song, folder)
    require_frame(song, audio.samples.shape[-1] / audio.sample_rate, codec)
    stereo = stereo_of(audio.samples)
    written = len({*files.values(), mix, residual})
    require_space(folder, written * ENCODING.least_bytes(stereo.shape))
    with full_disk_said(folder):
        result = separate_samples(stereo, audio.sample_rate, codec, chosen, mask, folder)
    parts = {path: result.stems[source] for source, path in files.items()}
    if len(chosen) > 1:
        parts[mix] = result.mix
    parts[residual] = result.residual
    with sole_writer(out, name):
        require_free(parts, [song], force)  # another process may have written them meanwhile
        with files_together({str(path): path for path in parts}) as temporary:
            for path, samples in parts.items():
                ENCODING.write(temporary[str(path)], samples, audio.sample_rate)
    return SeparatedSong(files, mix if len(chosen) > 1 else files[chosen[0]], residual)


def separate_samples(
    song: SlicedSamples,
    sample_rate: int,
    codec: Codec,
    sources: Sequence[str] = SOURCES,
    mask: bool = True,
    folder: Path | None = None,
) -> Stems:
    """Separate a song `[2, N]` of any sample rate into the named stems.

    Without a mask, the stems and their mix are decoded, each from its own selection of sources.
    Because the decoder is not linear, that mix differs from the sum of the stems. Memory stays flat
    however long the song is: long stems are kept in a file in `folder` (`StoredSamples`).

    Raises:
        UserError: a source is unknown, or none is named.
        OSError: the disk is full.
    """
    chosen = _chosen(sources, codec)
    mixture = resampled(song, sample_rate, codec.sample_rate, folder)

    def as_song(samples: SlicedSamples) -> SlicedSamples:
        """Bring samples to the song's sample rate and length."""
        return at_rate(samples, codec.sample_rate, sample_rate, song.shape[-1], folder)

    if mask:
        estimates = [StoredSamples(2, folder) for _ in chosen]
        for blocks in separate_mixture_blocks(mixture, codec, chosen):
            for kept, block in zip(estimates, blocks, strict=True):
                kept.append(block)
        stems = {name: as_song(kept) for name, kept in zip(chosen, estimates, strict=True)}
        together: SlicedSamples = _sum(stems)
    else:
        coded = CodedMixture.encode(mixture, codec)
        decoded = {name: stored(coded.decode_blocks([name]), 2, folder) for name in chosen}
        stems = {name: as_song(samples) for name, samples in decoded.items()}
        together = as_song(stored(coded.decode_blocks(chosen), 2, folder))
    rest = Derived(lambda whole, sum: whole - sum, song, _sum(stems))
    return Stems(stems, together, rest)


def _sum(stems: Mapping[str, SlicedSamples]) -> Derived:
    return Derived(lambda *parts: np.sum(parts, axis=0), *stems.values())


def _chosen(sources: Sequence[str], codec: Codec) -> list[str]:
    """Return the named sources, each once, in the codec's order."""
    known = ", ".join(codec.sources)
    for source in sources:
        if source not in codec.sources:
            raise UserError(f"there is no source '{source}': choose from {known}")
    if not sources:
        raise UserError(f"no source is named: choose from {known}")
    return [source for source in codec.sources if source in sources]
