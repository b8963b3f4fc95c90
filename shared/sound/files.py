"""Read and write audio files.

Samples are float32 `[channels, samples]` with full scale 1.0. The soundfile package (libsndfile)
reads WAV, FLAC, OGG and MP3; PyAV reads the rest (M4A, MP4, WebM and others) with the libraries in
its wheel, so no ffmpeg program is needed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

from shared.atomic import atomic_path
from shared.errors import UserError
from shared.sound.samples import to_int16

MAX_CHANNELS = 8


# The order of the streams in a MUSDB18 .stem.mp4 (Native Instruments' Stems format).
STEM_STREAMS = ("mixture", "drums", "bass", "other", "vocals")


# A file that ends this many seconds before its header says is broken, not padded: an encoder's own
# padding is shorter.
_TRUNCATED_SECONDS = 0.1


@dataclass(frozen=True)
class Audio:
    """`samples`: float32 `[channels, samples]`, finite, at least one sample. `sample_rate`: Hz."""

    samples: np.ndarray
    sample_rate: int


def read_audio(path: Path | str) -> Audio:
    """Read an audio file of any common format, whole, at its own sample rate and with its own
    channels.

    Float files keep samples beyond +-1. Of a file with several streams (`.stem.mp4`) the first is
    read.

    Raises UserError for a missing, empty, undecodable or truncated file, one without samples, one
    with more than 8 channels, and one that holds NaN or infinite samples.
    """
    path = _readable(path)
    try:
        audio = _read_soundfile(path)
    except soundfile.LibsndfileError:
        audio = _read_av(path, stream=0)
    return _checked(audio, str(path))


def read_stem(path: Path | str, source: str) -> Audio:
    """Read one source of a MUSDB18 `.stem.mp4`.

    `source` is one of `STEM_STREAMS`. Through `to_int16` the samples equal musdb's, which decodes
    to 16 bits with ffmpeg, to 1 LSB. Raises UserError as `read_audio` does, and where the file has
    fewer than five audio streams.
    """
    path = _readable(path)
    return _checked(_read_av(path, STEM_STREAMS.index(source)), f"{source} in {path}")


def write_wav(
    path: Path | str, samples: np.ndarray, sample_rate: int, subtype: str = "PCM_16"
) -> None:
    """Write float `[channels, samples]` as WAV, atomically. The caller sees to |x| <= 1; PCM clips
    what is beyond.

    `subtype` is soundfile's: PCM_16, PCM_24, FLOAT. PCM_16 written and read again differs by
    rounding only. Raises UserError where the place cannot be written.
    """
    path = Path(path)
    # libsndfile scales floats by 32767 but reads by 32768, so 16 bits are rounded here.
    frames = (to_int16(samples) if subtype == "PCM_16" else samples).T
    try:
        with atomic_path(path) as temporary:
            soundfile.write(temporary, frames, sample_rate, subtype=subtype, format="WAV")
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"cannot write {path} ({error}); choose another place") from error


def _readable(path: Path | str) -> Path:
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name an audio file")
    if not path.exists():
        raise UserError(f"there is no file {path}; check the path")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} may not be read; change its permissions")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); copy or export it again")
    return path


def _checked(audio: Audio, where: str) -> Audio:
    channels, length = audio.samples.shape
    if length == 0:
        raise UserError(f"{where} holds no samples; export it again")
    if channels > MAX_CHANNELS:
        raise UserError(f"{where} has {channels} channels; mix it down to {MAX_CHANNELS} or fewer")
    if not np.isfinite(audio.samples).all():
        raise UserError(f"{where} holds NaN or infinite samples; export it again")
    return audio


def _read_soundfile(path: Path) -> Audio:
    with soundfile.SoundFile(path) as file:
        promised, rate = file.frames, file.samplerate
        samples = file.read(dtype="float32", always_2d=True)
    if len(samples) < promised - _TRUNCATED_SECONDS * rate:
        raise _truncated(path, len(samples) / rate, promised / rate)
    return Audio(np.ascontiguousarray(samples.T), rate)


def _read_av(path: Path, stream: int) -> Audio:
    """Decode one audio stream. FFmpeg itself drops the priming samples that an edit list names."""
    try:
        with av.open(str(path)) as container:
            streams = container.streams.audio
            if len(streams) <= stream:
                raise UserError(
                    f"{path} has {len(streams)} audio stream(s), "
                    + (
                        f"a MUSDB18 stem file has {len(STEM_STREAMS)}; use stems in a folder"
                        if stream
                        else "so there is nothing to hear in it; name an audio file"
                    )
                )
            chosen = streams[stream]
            promised = float((chosen.duration or 0) * (chosen.time_base or 0))
            blocks = list(_float_blocks(container, chosen))
            rate, channels = chosen.rate, chosen.channels
            mp4 = "mp4" in container.format.name
    except (av.FFmpegError, ValueError) as error:
        raise UserError(
            f"{path} is not an audio file, or is truncated or damaged; export it again"
        ) from error
    samples = np.concatenate(blocks, axis=1) if blocks else np.zeros((channels, 0), np.float32)
    # Other formats only estimate their duration; MP4 states it.
    if mp4 and samples.shape[1] / rate < promised - _TRUNCATED_SECONDS:
        raise _truncated(path, samples.shape[1] / rate, promised)
    return Audio(samples, rate)


def _float_blocks(
    container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[np.ndarray]:
    to_float = av.AudioResampler(format="fltp")
    for frame in container.decode(stream):
        for block in to_float.resample(frame):
            yield block.to_ndarray()
    for block in to_float.resample(None):
        yield block.to_ndarray()


def _truncated(path: Path, found: float, promised: float) -> UserError:
    return UserError(
        f"{path} is truncated: {found:.1f} of {promised:.1f} s can be read; copy it again"
    )
