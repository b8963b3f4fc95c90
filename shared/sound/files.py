"""Read and write audio files.

Samples are float32 `[channels, samples]` with full scale 1.0. The soundfile package (libsndfile)
reads WAV, AIFF, FLAC, OGG and others. PyAV reads MP3 and the rest (M4A, MP4, WebM and others), and
the files that libsndfile reads wrongly, with the libraries in its wheel, so no ffmpeg program is
needed. libsndfile stops at the length in the tag of an MP3, which another MP3 may follow.

A file is refused as truncated where its header states a length or a size that it does not reach.
Where the format states none, all that can be decoded is read.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

from shared.atomic import atomic_path, final_path, full_disk_said
from shared.console import err_console
from shared.errors import UserError
from shared.sound.headers import (
    ends_within_ogg_page,
    may_be_mp3,
    mp3_frames,
    share_of_stated_size,
    states_too_little,
)
from shared.sound.samples import Samples, to_int16, to_int24
from shared.sound.sliced import SlicedSamples, StoredSamples, blocks_of, whole
from shared.sound.stem_streams import STEM_STREAMS, find_stem

MAX_CHANNELS = 8
MIN_RATE, MAX_RATE = 1000, 768_000  # Hz
MAX_RIFF_BYTES = (1 << 32) - (1 << 16)  # of the samples of a WAV file, with room for its header

# A file that ends at least this many seconds before the end that its header states is broken.
# Encoders pad by less.
_TRUNCATED_SECONDS = 0.1

# FFmpeg's names of the containers that may be opened. Playlists are not among them: they can name
# any other file.
_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,loas,matroska,webm,mlp,mov,mp4,"
    "m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,ogg,tak,truehd,tta,voc,w64,wav,wv"
)
_ACCESS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}

_MP3_PADDING = 2400  # samples that an MP3's coding adds and its decoder takes away, at most

# What holds more of a sample than 24 bits do, in libsndfile's words and in FFmpeg's.
_WIDE = ("PCM_32", "FLOAT", "DOUBLE")
_WIDE_CODECS = ("pcm_f", "pcm_s32", "pcm_s64")

_BYTES_OF_SAMPLE = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}

_LARGEST_HEADER = 4096  # bytes, of an RF64 file that libsndfile writes
_ADD_PEAK_CHUNK = 0x1050  # libsndfile's command; the chunk would hold the time of writing

_BLOCK = 1 << 18  # samples read at once, because the length that a header states may be nonsense


@dataclass(frozen=True)
class Audio:
    """Sound that was read.

    Attributes:
        samples: float32 `[channels, samples]`, finite, at least one sample.
        sample_rate: in Hz.
        wide: whether the file holds more of a sample than 24 bits do.
    """

    samples: Samples
    sample_rate: int
    wide: bool = False


@dataclass(frozen=True, eq=False)
class SlicedAudio:
    """Sound that was read and that may lie on the disk; otherwise as `Audio`."""

    samples: SlicedSamples
    sample_rate: int
    wide: bool = False

    def read(self) -> Audio:
        """Read all of it into memory."""
        return Audio(whole(self.samples), self.sample_rate, self.wide)


@dataclass(frozen=True)
class _Decoded:
    """What was decoded.

    Attributes:
        samples: `[channels, samples]`.
        sample_rate: in Hz.
        stated: the length in seconds that the header promises, 0 for none.
        wide: whether the file holds more of a sample than 24 bits do.
    """

    samples: StoredSamples
    sample_rate: int
    stated: float
    wide: bool

    @property
    def seconds(self) -> float:
        return self.samples.shape[1] / self.sample_rate


def read_audio(path: Path | str) -> Audio:
    """Read a whole audio file at its own sample rate and with its own channels.

    Float files keep samples beyond full scale. The first stream is read of a file with several
    (`.stem.mp4`), or the one that is named as the mixture (stem_streams.py).

    Raises:
        UserError: the file is missing, empty, truncated or cannot be decoded; it has no samples,
            more than 8 channels, a sample rate outside 1 to 768 kHz, or samples that are NaN or
            infinite; or it is so long that it does not fit into the memory.
    """
    audio = read_sliced(path)
    try:
        return audio.read()
    except MemoryError:
        minutes = audio.samples.shape[1] / audio.sample_rate / 60
        raise UserError(
            f"{path} is {minutes:.0f} minutes long, for which there is not enough memory; cut it "
            "into shorter files"
        ) from None


def read_sliced(path: Path | str, folder: Path | None = None) -> SlicedAudio:
    """Read an audio file as `read_audio` does, but keep a long one on the disk.

    Args:
        path: the file.
        folder: where a long one is kept (`StoredSamples`).

    Raises:
        UserError: see `read_audio`, but a file of any length fits.
        NoSpaceError: the disk is full.
    """
    path = _readable(path)
    with full_disk_said(folder or Path(tempfile.gettempdir())):
        try:
            unusual = may_be_mp3(path) or states_too_little(path)
            decoded = None if unusual else _read_soundfile(path, folder)
        except (soundfile.LibsndfileError, TypeError):  # TypeError: a name that ends with .raw
            decoded = None
        if decoded is None:
            decoded = _read_av(path, None, folder)
        return _checked(decoded, path, str(path))


def read_stem(path: Path | str, source: str) -> Audio:
    """Read one source of a stem file (stem_streams.py), such as a MUSDB18 `.stem.mp4`.

    `source` is one of `STEM_STREAMS`. Where the name of a stream is known, the names decide, and
    otherwise the order of STEM_STREAMS. Through `to_int16` the samples equal musdb's, which
    decodes to 16 bits with ffmpeg, to 1 LSB.

    Raises:
        UserError: in the cases of `read_audio`, and for a file with fewer than five audio streams,
            or whose streams are named, but none of them as the source.
    """
    path = _readable(path)
    decoded = _read_av(path, source)
    return _checked(decoded, path, f"{source} in {path}").read()


def stated_seconds(path: Path) -> float:
    """Return how long a file is by its header; 0 where that does not say it or cannot be read."""
    try:
        return float(soundfile.info(os.fsencode(path)).duration)
    except soundfile.LibsndfileError:
        pass
    try:
        with av.open(f"file:{path}", options=dict(_ACCESS)) as container:
            return _stated_seconds(path, container, container.streams.audio[0])
    except (av.FFmpegError, ValueError, IndexError):
        return 0.0


def write_wav(
    path: Path | str, samples: SlicedSamples, sample_rate: int, subtype: str = "PCM_16"
) -> None:
    """Write float `[channels, samples]` as a WAV file, which appears whole or not at all.

    `subtype` is soundfile's: PCM_16, PCM_24 or FLOAT. PCM formats round to the nearest value and
    clip what lies beyond full scale; `shared.sound.samples.unclipped` avoids that. Equal samples
    give equal bytes. A file of more than MAX_RIFF_BYTES is an RF64 file, because the sizes in a WAV
    header have 32 bits.

    Raises:
        UserError: the file cannot be written, or the disk is full.
    """
    size = samples.shape[0] * samples.shape[-1] * _BYTES_OF_SAMPLE[subtype]
    container = "RF64" if size > MAX_RIFF_BYTES else "WAV"
    _write(Path(path), samples, sample_rate, subtype, container)


def write_flac(
    path: Path | str, samples: SlicedSamples, sample_rate: int, subtype: str = "PCM_24"
) -> None:
    """Write float `[channels, samples]` as a FLAC file. `subtype` is PCM_16 or PCM_24.

    The rest is as in `write_wav`.

    Raises:
        UserError: the file cannot be written, or the disk is full.
    """
    _write(Path(path), samples, sample_rate, subtype, "FLAC")


def _write(
    path: Path, samples: SlicedSamples, sample_rate: int, subtype: str, container: str
) -> None:
    # libsndfile rounds down, these to the nearest value.
    roundings: dict[str, Callable[[Samples], np.ndarray]]
    roundings = {"PCM_16": to_int16, "PCM_24": to_int24}
    rounding, channels = roundings.get(subtype, np.asarray), samples.shape[0]
    try:
        with atomic_path(path) as temporary:
            with soundfile.SoundFile(
                temporary, "w", sample_rate, channels, subtype, format=container
            ) as file:
                # soundfile has no function for this command.
                soundfile._snd.sf_command(file._file, _ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
                for block in blocks_of(samples):
                    file.write(rounding(block).T)
            if container == "RF64":  # for which libsndfile ignores the command
                _clear_time_of_writing(temporary)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(
            f"cannot write {final_path(path)} ({cause_of(error)}); choose another place"
        ) from error


def _clear_time_of_writing(path: Path) -> None:
    """Set the time in the PEAK chunk of a file's header to 0, if it has this chunk."""
    with path.open("r+b") as file:
        at = file.read(_LARGEST_HEADER).find(b"PEAK")
        if at >= 0:
            file.seek(at + 12)  # after the identifier, the size and the version
            file.write(bytes(4))


def cause_of(error: OSError | soundfile.LibsndfileError) -> str:
    """Say why a file could not be read or written, without the name that it had then."""
    cause = error.strerror if isinstance(error, OSError) else error.error_string
    return str(cause or error).rstrip(".")


def _readable(path: Path | str) -> Path:
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name an audio file")
    if not path.exists():
        raise UserError(f"there is no file {path}; check the path")
    if not path.is_file():  # reading from a pipe would wait for ever
        raise UserError(f"{path} is not a regular file; name an audio file")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} may not be read; change its permissions")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); copy or export it again")
    return path


def _require_usual(path: Path, channels: int, sample_rate: int) -> None:
    """Refuse what would fill the memory before it is decoded or resampled."""
    if channels > MAX_CHANNELS:
        raise UserError(f"{path} has {channels} channels; mix it down to {MAX_CHANNELS} or fewer")
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise UserError(
            f"{path} has a sample rate of {sample_rate} Hz; export it again at a rate "
            f"from {MIN_RATE} to {MAX_RATE} Hz"
        )


def _checked(decoded: _Decoded, path: Path, where: str) -> SlicedAudio:
    """Refuse samples that are missing or not finite. `where` names the file, or a stream of it."""
    found = decoded.seconds
    stated = max(decoded.stated, found / max(share_of_stated_size(path), 1e-9))
    if found < stated - _TRUNCATED_SECONDS:
        raise UserError(
            f"{where} is truncated: {found:.1f} of {stated:.1f} s can be read; copy it again"
        )
    if ends_within_ogg_page(path):
        raise UserError(
            f"{where} is truncated: only the first {found:.1f} s can be read; copy it again"
        )
    if decoded.samples.shape[1] == 0:
        raise UserError(f"{where} holds no samples; export it again")
    if not all(np.isfinite(block).all() for block in blocks_of(decoded.samples)):
        raise UserError(f"{where} holds NaN or infinite samples; export it again")
    return SlicedAudio(decoded.samples, decoded.sample_rate, decoded.wide)


def _read_soundfile(path: Path, folder: Path | None) -> _Decoded | None:
    """Decode with libsndfile; None where it finds no samples.

    It takes a WAV whose header states a size of 0 for empty.
    """
    with soundfile.SoundFile(os.fsencode(path)) as file:  # bytes: a name need not be Unicode
        _require_usual(path, file.channels, file.samplerate)
        samples = StoredSamples(file.channels, folder)
        while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
            samples.append(block.T)
        if samples.shape[1] == 0:
            return None
        stated = file.frames / file.samplerate
        return _Decoded(samples, file.samplerate, stated, file.subtype in _WIDE)


def _read_av(path: Path, source: str | None = None, folder: Path | None = None) -> _Decoded:
    """Decode the audio stream of a source, or of the song.

    FFmpeg itself drops the priming samples that an edit list names.
    """
    options = dict(_ACCESS)
    if states_too_little(path):
        options["ignore_length"] = "1"
        err_console.print(f"warning: {path} holds more sound than its header states; all is read")
    try:
        with av.open(f"file:{path}", options=options) as container:
            chosen = _audio_stream(path, container, source)
            rate, channels = chosen.rate, chosen.channels
            _require_usual(path, channels, rate)
            stated = _stated_seconds(path, container, chosen)
            wide = chosen.codec_context.name.startswith(_WIDE_CODECS)
            samples = StoredSamples(channels, folder)
            try:
                for block in _float_blocks(path, container, chosen):
                    samples.append(block)
            except av.FFmpegError:
                # Otherwise the length says that the file is truncated.
                if samples.shape[1] == 0 or not stated:
                    raise
    except (av.FFmpegError, ValueError) as error:
        raise UserError(
            f"{path} is not an audio file, or is truncated or damaged; export it again"
        ) from error
    return _Decoded(samples, rate, stated, wide)


def _audio_stream(
    path: Path, container: av.container.InputContainer, source: str | None
) -> av.AudioStream:
    """Return the stream of a source; without one, that of the mixture where there are several."""
    streams = container.streams.audio
    if not streams:
        raise UserError(f"{path} has no audio stream; name an audio file")
    titles = [_title(stream) for stream in streams]
    if source is None:
        index = find_stem(path, titles, STEM_STREAMS[0]) if len(streams) > 1 else 0
    elif len(streams) < len(STEM_STREAMS):
        raise UserError(
            f"{path} has {len(streams)} audio stream(s), but a stem file has "
            f"{len(STEM_STREAMS)}; use stems in a folder"
        )
    else:
        index = find_stem(path, titles, source)
    if streams[index].codec_context is None:
        raise UserError(f"{path} is encrypted or of an unknown encoding; export it as WAV")
    return streams[index]


def _title(stream: av.AudioStream) -> str:
    """Return what a stream is called; MP4 has three places for it, and "" where it is not."""
    found = (stream.metadata.get(key) for key in ("title", "name", "handler_name"))
    return next(filter(None, found), "")


def _stated_seconds(
    path: Path, container: av.container.InputContainer, stream: av.AudioStream
) -> float:
    """Return the length that the header states; 0 where FFmpeg would only estimate it."""
    formats = set(container.format.name.split(","))
    if "mp3" in formats:
        frame = 1152 if stream.rate >= 32_000 else 576
        return max(0, mp3_frames(path) * frame - _MP3_PADDING) / stream.rate
    if {"mp4", "flac"} & formats:
        return float((stream.duration or 0) * (stream.time_base or 0))
    return 0.0


def _float_blocks(
    path: Path, container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[Samples]:
    """Decode a stream to float. What is no sound in an MP3, such as a tag, is left out."""
    # Interleaved: of a frame with one plane for each of 8 channels, PyAV finds a ninth, somewhere.
    to_float = av.AudioResampler(format="flt")
    decoded = undecodable = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            if container.format.name != "mp3":
                raise
            undecodable += 1
            continue
        for frame in frames:
            decoded += 1
            for block in to_float.resample(frame):
                samples = block.to_ndarray().astype(np.float32, copy=False)
                yield samples.reshape(-1, block.layout.nb_channels).T
    if undecodable > decoded:
        raise ValueError("hardly anything in the file is sound")
    if undecodable:
        err_console.print(f"warning: {undecodable} frames of {path} are damaged and left out")
