"""Split a song into stems that sum to it, by the codec: what `separate` does.

A song of any sample rate is coded at the codec's rate; its decoded sources return to the song's rate
and serve there as a soft mask on the song itself (or, without a mask, as the stems). What the stems
leave over is kept as the residual, so that stems and residual always sum to the song.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.codes.codec import Codec
from shared.errors import UserError
from shared.songs.tracks import mix_name
from shared.sound.files import read_audio, write_wav
from shared.sound.masking import mask_song
from shared.sound.samples import Samples, fit_length, resample, to_stereo
from shared.sound.separation import CodedMixture
from shared.sources import SOURCES


@dataclass(frozen=True, eq=False)
class Stems:
    """stems `[2, N]` by source and residual `[2, N]`, which sum to the song; mix: the stems together."""

    stems: dict[str, Samples]
    mix: Samples
    residual: Samples


@dataclass(frozen=True)
class SeparatedSong:
    """The files that `separate` left: the stems by source, their sub-mix, and the residual."""

    stems: dict[str, Path]
    mix: Path
    residual: Path


def separate(
    song: Path, out: Path, codec: Codec, sources: Sequence[str] = SOURCES, mask: bool = True
) -> SeparatedSong:
    """Write the stems of a song, their sub-mix and the residual into the folder `out`.

    Files: `NAME.SOURCE.wav` for each source, `NAME.SOURCE+SOURCE.wav` for the sub-mix (`NAME.all.wav` of all),
    `NAME.residual.wav`; stereo float WAV of the song's own sample rate and exact length, so that
    stems and residual sum to it without rounding.

    Raises:
        UserError: a song that cannot be read or is shorter than a frame, an unknown source, a place that
            cannot be written.
    """
    audio = read_audio(song)
    seconds = audio.samples.shape[-1] / audio.sample_rate
    if seconds * codec.frame_rate < 1:
        raise UserError(
            f"{song} lasts {1000 * seconds:.0f} ms, less than a frame "
            f"of {1000 / codec.frame_rate:.0f} ms: give a longer song"
        )
    result = separate_samples(to_stereo(audio.samples), audio.sample_rate, codec, sources, mask)
    name = mix_name(song)
    chosen = list(result.stems)
    together = "all" if len(chosen) == len(codec.sources) else "+".join(chosen)
    files = {source: out / f"{name}.{source}.wav" for source in chosen}
    mix, residual = out / f"{name}.{together}.wav", out / f"{name}.residual.wav"
    for source, path in files.items():
        write_wav(path, result.stems[source], audio.sample_rate, "FLOAT")
    if len(chosen) > 1:
        write_wav(mix, result.mix, audio.sample_rate, "FLOAT")
    write_wav(residual, result.residual, audio.sample_rate, "FLOAT")
    return SeparatedSong(files, mix if len(chosen) > 1 else files[chosen[0]], residual)


def separate_samples(
    song: Samples,
    sample_rate: int,
    codec: Codec,
    sources: Sequence[str] = SOURCES,
    mask: bool = True,
) -> Stems:
    """The named stems of a song `[2, N]` of any sample rate, each `[2, N]` again.

    Without a mask the stems and their mix are the decoder's, each a selection of its own: the
    decoder is not linear, so this mix is not the sum of these stems.

    Raises:
        UserError: an unknown source, or none.
    """
    chosen = _chosen(sources, codec)
    num_samples = song.shape[-1]
    mixture = resample(song, sample_rate, codec.sample_rate)
    coded = CodedMixture.encode(mixture, codec)

    def at_home(samples: Samples) -> Samples:
        return fit_length(resample(samples, codec.sample_rate, sample_rate), num_samples)

    if mask:
        # Every source takes part in the mask, the ones not asked for too.
        decoded = np.stack([at_home(coded.decode([source])) for source in codec.sources])
        estimates = mask_song(song, decoded).estimates
        stems = {source: estimates[codec.sources.index(source)] for source in chosen}
        mix = np.stack(list(stems.values())).sum(0)
    else:
        stems = {source: at_home(coded.decode([source])) for source in chosen}
        mix = at_home(coded.decode(chosen))
    return Stems(stems, mix, song - np.stack(list(stems.values())).sum(0))


def _chosen(sources: Sequence[str], codec: Codec) -> list[str]:
    """The sources named, once each, in the codec's order."""
    known = ", ".join(codec.sources)
    for source in sources:
        if source not in codec.sources:
            raise UserError(f"there is no source '{source}': choose of {known}")
    if not sources:
        raise UserError(f"no source is named: choose of {known}")
    return [source for source in codec.sources if source in sources]
