"""Decode the four sources of a song to arrays of one length."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import UserError
from shared.songs.tracks import Track
from shared.sound.files import Audio, read_audio, read_stem
from shared.sound.samples import resample, to_int16, to_stereo
from shared.sources import SOURCES

Int16 = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class DecodedSong:
    """The samples of a song.

    Attributes:
        stems: int16 `[4, samples, 2]`, in the order of SOURCES.
        padded: by how many seconds the shortest stem was padded with silence.
    """

    stems: Int16
    padded: float


def decode_song(track: Track, sample_rate: int) -> DecodedSong:
    """Decode all sources of a song.

    Every stem becomes stereo (see `to_stereo`) at `sample_rate` (see `resample`). Float stems
    beyond full scale are clipped to it, as they would be in any 16-bit file. Stems that end less
    than a second before the longest one are padded with silence. Those of a data set with many
    tracks for each song may have any length and rate.

    Raises:
        UserError: a stem is missing or cannot be read, or the stems differ in rate or by a second
            or more.
    """
    track.require_whole()
    decoded: dict[str, Int16] = {}
    lengths: dict[str, int] = {}
    first: tuple[str, Audio] | None = None
    for source in SOURCES:
        parts = []
        for audio in _read(track, source):
            first = first or (source, audio)
            _refuse_other_rate(track, source, audio, *first)
            parts.append(resample(to_stereo(audio.samples), audio.sample_rate, sample_rate))
            lengths[source] = max(lengths.get(source, 0), audio.samples.shape[1])
        if parts:
            decoded[source] = to_int16(_sum(parts)).T
    if not decoded:
        raise UserError(f"{track.path} has no track of any source: leave the song out")
    sizes = {source: len(stem) for source, stem in decoded.items()}
    longest, shortest = max(sizes, key=lambda s: sizes[s]), min(sizes, key=lambda s: sizes[s])
    missing = sizes[longest] - sizes[shortest]
    if missing >= sample_rate and not track.multitrack:
        raise UserError(
            f"the stems of {track.path} differ in length: {longest} {lengths[longest]} samples, "
            f"{shortest} {lengths[shortest]}; export them from one start to one end"
        )
    stems = np.zeros((len(SOURCES), sizes[longest], 2), np.int16)
    for source, samples in decoded.items():
        stems[SOURCES.index(source), : len(samples)] = samples
    return DecodedSong(stems, 0.0 if track.multitrack else missing / sample_rate)


def _read(track: Track, source: str) -> list[Audio]:
    """Read all files of a source."""
    if track.stems is None:
        return [read_stem(track.path, source)]
    return [read_audio(path) for path in track.stems.get(source, ())]


def _refuse_other_rate(
    track: Track, source: str, audio: Audio, first_source: str, first: Audio
) -> None:
    if audio.sample_rate != first.sample_rate and not track.multitrack:
        raise UserError(
            f"the stems of {track.path} differ in sample rate: {first_source} "
            f"{first.sample_rate} Hz, {source} {audio.sample_rate} Hz; export them at one rate"
        )


def _sum(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Sum samples `[2, n]`, of which the shorter ones end before the longest."""
    if len(parts) == 1:
        return parts[0]
    total = np.zeros((2, max(part.shape[1] for part in parts)), np.float32)
    for part in parts:
        total[:, : part.shape[1]] += part
    return total
