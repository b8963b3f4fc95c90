"""MP3 and AAC: what is left of audio after lossy coding, aligned with it to the sample."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import av
import numpy as np

from shared.band.recording.render import SAMPLE_RATE
from shared.errors import UserError

CODECS = {"mp3": ("libmp3lame", "mp3float"), "aac": ("aac", "aac")}
_FASTEST = {"mp3": {"compression_level": "9"}, "aac": {"aac_coder": "fast"}}
_PEAK = 0.9  # encoders may clip what is louder
_PADDING = 8192  # samples after the end, more than any delay


def available_codecs() -> tuple[str, ...]:
    """Return those of "mp3" and "aac" that the installed PyAV can encode and decode."""
    return tuple(
        name
        for name, needed in CODECS.items()
        if all(codec in av.codecs_available for codec in needed)
    )


def code(audio: np.ndarray, codec: str, kilobits: int) -> np.ndarray:
    """Encode audio and decode it again.

    Args:
        audio: float32 `[2, N]` at 44.1 kHz.
        codec: "mp3" or "aac".
        kilobits: bit rate in kbit/s, such as 96, 128, 192, 256 or 320.

    Returns:
        float32 `[2, N]`, where every sound is at its old place.

    Raises:
        UserError: PyAV was built without the codec.
    """
    if codec not in available_codecs():
        choices = ", ".join(available_codecs()) or "no lossy coding"
        raise UserError(f"the installed PyAV cannot encode {codec}; choose {choices}")
    peak = float(np.abs(audio).max(initial=0.0))
    if peak == 0.0:
        return audio.copy()
    gain = np.float32(min(_PEAK / peak, 1.0))
    delay = _delay(codec, kilobits)
    decoded = _decode(np.pad(audio * gain, ((0, 0), (0, _PADDING))), codec, kilobits)
    return np.ascontiguousarray(decoded[:, delay : delay + audio.shape[1]]) / gain


@cache
def _delay(codec: str, kilobits: int) -> int:
    """Measure by how many samples encoder and decoder delay a burst of noise."""
    rng = np.random.default_rng(0)
    burst = np.zeros((2, 16384), np.float32)
    noise = np.cumsum(rng.standard_normal(4096)) * np.hanning(4096)
    burst[:, 4096:8192] = 0.5 * noise / np.abs(noise).max()
    decoded = _decode(np.pad(burst, ((0, 0), (0, _PADDING))), codec, kilobits)
    lags = np.correlate(decoded[0, :20480], burst[0, 4096:8192], "valid")
    return int(np.argmax(lags)) - 4096


def _decode(audio: np.ndarray, codec: str, kilobits: int) -> np.ndarray:
    """Encode and decode without any alignment: the result begins with the coding's delay."""
    encoder_name, decoder_name = CODECS[codec]
    encoder = av.CodecContext.create(encoder_name, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate = SAMPLE_RATE
    encoder.layout = "stereo"
    encoder.format = "fltp"
    encoder.bit_rate = 1000 * kilobits
    encoder.time_base = Fraction(1, SAMPLE_RATE)
    encoder.options = _FASTEST[codec]
    encoder.open()
    decoder = av.CodecContext.create(decoder_name, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    blocks = []
    for frame in [*_frames(audio, encoder.frame_size), None]:
        for packet in encoder.encode(frame):
            blocks += [decoded.to_ndarray() for decoded in decoder.decode(packet)]
    blocks += [decoded.to_ndarray() for decoded in decoder.decode(None)]
    return np.concatenate(blocks, axis=1)


def _frames(audio: np.ndarray, size: int) -> Iterator[av.AudioFrame]:
    for start in range(0, audio.shape[1], size):
        block = np.ascontiguousarray(audio[:, start : start + size], np.float32)
        if block.shape[1] < size:
            block = np.pad(block, ((0, 0), (0, size - block.shape[1])))
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        frame.pts = start
        frame.time_base = Fraction(1, SAMPLE_RATE)
        yield frame
