"""Measure how fast codec and bass decoder are, and how much memory an hour of audio takes.

    pip install transformers          # has EnCodec and DAC, which are timed beside this codec
    python -m benchmarks.codec [--seconds 60] [--memory-seconds 3600]

All networks have the sizes of their `compact` preset or of the published models, and random
weights, which cost as much as trained ones. Times are CPU times of the process on one thread, which
other processes on a busy machine hardly add to. A speed is the length of the audio by that time.

1. The time to encode and decode stereo audio, of this codec at 44.1 kHz, EnCodec 48 kHz stereo at
   6 kbit/s, and DAC 44.1 kHz (mono, so one channel after the other). EnCodec cuts the sound into
   pieces of 1 s itself. DAC is given pieces of 10 s, because its activations for a minute need
   gigabytes; it takes some 10 minutes. Target: 5 times as fast as EnCodec, 50 times as fast as DAC.
2. The time to encode a song, and to decode the codes of its bass by the bass decoder, whose sound
   is joined with that of the codec. Target: both together are 40 times as fast as the song plays.
3. The peak memory of a process that encodes an hour of audio, which it reads in slices, and
   decodes the codes in blocks. Target: less than 1 GB.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.console import console, err_console
from shared.music.notes import NoteVocabulary
from shared.sources import BASS
from stage1_vqvae.bass_decoder.config import PRESETS as BASS_PRESETS
from stage1_vqvae.bass_decoder.config import BassDecoderConfig
from stage1_vqvae.bass_decoder.decode import BassDecoder
from stage1_vqvae.bass_decoder.network import BassDecoderNetwork
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.model import VQVAE

DAC_PIECE = 10  # seconds


@dataclass(frozen=True)
class Timing:
    """CPU seconds that encoding and decoding of so many seconds of audio took."""

    name: str
    audio: float
    encode: float
    decode: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.encode + self.decode

    def row(self, first: "Timing") -> str:
        """Return a row of the table, which compares this with the first row."""
        speeds = " | ".join(
            f"{self.audio / time:.1f}" for time in (self.encode, self.decode, self.total)
        )
        times = f"{self.encode:.2f} | {self.decode:.2f}"
        return f"| {self.name} | {times} | {speeds} | {self.total / first.total:.1f} |"


HEADER = """
| | encode, s | decode, s | encode, x real time | decode | both | times the first row |
|---|---:|---:|---:|---:|---:|---:|"""


def main() -> None:
    """Print a table of times, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="audio to code")
    parser.add_argument("--memory-seconds", type=int, default=3600, help="0 skips")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_seconds:  # comes first, because a process starts with its parent's peak
        gigabytes = peak_memory(options.memory_seconds)
        console.print(f"peak memory of {options.memory_seconds} s: {gigabytes:.2f} GB\n")
    contenders = [time_ours, time_ours_with_bass_decoder]
    if find_spec("transformers") is None:
        err_console.print("EnCodec and DAC are left out: pip install transformers")
    else:
        contenders += [time_encodec, time_dac]
    console.print(f"{options.seconds} s of stereo:\n{HEADER}")
    first = None
    for contender in contenders:
        timing = contender(options.seconds)
        first = first or timing
        console.print(timing.row(first))


def our_codec() -> VQVAECodec:
    """Make the codec of the `compact` preset with random weights."""
    config = load_config(VQVAEConfig, PRESETS, "compact")
    return VQVAECodec(VQVAE(config.model), config, "random")


def noise(seconds: int, sample_rate: int) -> np.ndarray:
    """Make stereo noise, float32 `[2, N]`."""
    audio = np.random.default_rng(0).standard_normal((2, seconds * sample_rate), np.float32)
    audio *= np.float32(0.1)
    return audio


@dataclass(frozen=True)
class Recording:
    """Stereo noise `[2, N]` that exists only in the slices that are read."""

    shape: tuple[int, int]

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Make the samples of a slice of time."""
        start, stop, _ = key[1].indices(self.shape[1])
        audio = np.random.default_rng(start).standard_normal((2, max(0, stop - start)), np.float32)
        audio *= np.float32(0.1)
        return audio


def time_ours(seconds: int) -> Timing:
    """Time this project's codec."""
    codec = our_codec()
    audio = noise(seconds, codec.sample_rate)
    return timed(
        "this codec, 44.1 kHz",
        seconds,
        lambda: codec.encode(audio),
        lambda codes: codec.decode(codes, audio.shape[-1]),
    )


def time_ours_with_bass_decoder(seconds: int) -> Timing:
    """Time this project's codec and its bass decoder, which knows the notes as it does in songs."""
    codec = our_codec()
    config = load_config(BassDecoderConfig, BASS_PRESETS, "compact")
    network = BassDecoderNetwork(config.model, CodeFormat.of(codec))
    decoder = BassDecoder(network, codec, "random")
    audio = noise(seconds, codec.sample_rate)
    notes = np.full(codec.num_frames(audio.shape[-1]), NoteVocabulary.sustain(40), np.uint8)
    return timed(
        "codes of the bass by the bass decoder",
        seconds,
        lambda: codec.encode(audio),
        lambda codes: decoder.decode(codes[BASS], notes, audio.shape[-1]),
    )


@torch.inference_mode()
def time_encodec(seconds: int) -> Timing:
    """Time EnCodec."""
    from transformers import EncodecConfig, EncodecModel

    # facebook/encodec_48khz
    config = EncodecConfig(
        target_bandwidths=[3.0, 6.0, 12.0, 24.0],
        sampling_rate=48000,
        audio_channels=2,
        normalize=True,
        chunk_length_s=1.0,
        overlap=0.01,
        norm_type="time_group_norm",
        use_causal_conv=False,
    )
    model = EncodecModel(config).eval()
    audio = torch.from_numpy(noise(seconds, 48000))[None]
    return timed(
        "EnCodec, 48 kHz",
        seconds,
        lambda: model.encode(audio, bandwidth=6.0),
        lambda coded: model.decode(
            coded.audio_codes,
            coded.audio_scales,
            last_frame_pad_length=coded.last_frame_pad_length,
        ),
    )


@torch.inference_mode()
def time_dac(seconds: int) -> Timing:
    """Time DAC."""
    from transformers import DacConfig, DacModel

    # Apart from the rate, the defaults are those of descript/dac_44khz.
    model = DacModel(DacConfig(sampling_rate=44100)).eval()
    audio = torch.from_numpy(noise(seconds, 44100))
    pieces = [p[None, None] for c in audio for p in c.split(DAC_PIECE * 44100)]
    return timed(
        "DAC, 44.1 kHz",
        seconds,
        lambda: [model.encode(piece).audio_codes for piece in pieces],
        lambda codes: [model.decode(audio_codes=piece) for piece in codes],
    )


def timed(
    name: str, seconds: float, encode: Callable[[], Any], decode: Callable[[Any], Any]
) -> Timing:
    """Time a pair of functions that code so many seconds of audio."""
    started = time.process_time()
    codes = encode()
    encoded = time.process_time()
    decode(codes)
    return Timing(name, seconds, encoded - started, time.process_time() - encoded)


def peak_memory(seconds: int) -> float:
    """Return the GB of resident memory that a new process needs to code so much audio."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_code_and_weigh, (seconds,))


def _code_and_weigh(seconds: int) -> float:
    torch.set_num_threads(1)
    codec = our_codec()
    num_samples = seconds * codec.sample_rate
    codes = codec.encode(Recording((2, num_samples)))
    for _ in codec.decode_blocks(codes, num_samples):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9  # macOS counts in bytes


if __name__ == "__main__":
    main()
