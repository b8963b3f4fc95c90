"""A third codec behind the contract: EnCodec, a network of other people, small and untrained.

EnCodec knows no sources. Here the bass is what lies below a crossover, and "other" is the rest;
EnCodec codes each of them by itself. There are no vocals and no drums.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from shared.codes.codec import Codes
from shared.sound.samples import Samples, fit_length
from shared.sound.sliced import SlicedSamples, whole
from shared.sound.torchaudio_guard import torchaudio
from shared.sources import SOURCES
from tests.one_block import OneBlock

assert torchaudio  # imported first, because encodec imports it without a guard

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from encodec import EncodecModel
    from encodec.modules import SEANetDecoder, SEANetEncoder
    from encodec.quantization import ResidualVectorQuantizer

CROSSOVER = 250.0  # Hz


class EncodecCodec(OneBlock):
    """EnCodec for 24 kHz with a quarter of its filters, and two codebooks a source."""

    sample_rate, hop, frame_rate = 24000, 320, 75.0
    sources, num_codebooks, cardinality = SOURCES, 2, 1024
    fingerprint = "encodec-24khz-random"
    audible_bass = 0.18

    def __init__(self) -> None:
        """Draw the weights, and fill the codebooks with what the encoder makes of noise."""
        torch.manual_seed(0)
        size: dict[str, Any] = {"n_filters": 8, "dimension": 32, "norm": "none"}
        quantizer = ResidualVectorQuantizer(32, self.num_codebooks, self.cardinality)
        self.model = EncodecModel(
            SEANetEncoder(**size), SEANetDecoder(**size), quantizer, [1.5], self.sample_rate, 1
        ).eval()
        self.model.set_target_bandwidth(1.5)
        with torch.no_grad():
            noise = torch.randn(1, 1, self.cardinality * self.hop)
            entries = self.model.encoder(noise)[0].T
            books = (entries, entries - entries.mean(0))
            for layer, book in zip(quantizer.vq.layers, books, strict=True):
                layer.codebook.copy_(book)
        self._silence: dict[int, Codes] = {}

    def num_frames(self, num_samples: int) -> int:
        return max(1, -(-num_samples // self.hop))

    def encode(self, audio: SlicedSamples) -> Codes:
        return np.stack([self._encode(band) for band in self.split(whole(audio))])

    def decode(
        self, codes: Codes, num_samples: int, sources: Sequence[str] | None = None
    ) -> Samples:
        rows = [SOURCES.index(source) for source in sources or SOURCES]
        return np.sum([self._decode(codes[row], num_samples) for row in rows], axis=0)

    def separate(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: Codes | None = None,
    ) -> Samples:
        return self.split(whole(mixture))[[SOURCES.index(name) for name in sources or SOURCES]]

    def split(self, audio: Samples) -> Samples:
        """Split `[2, N]` into the sources `[S, 2, N]`."""
        spectrum = np.fft.rfft(audio)
        spectrum[:, np.fft.rfftfreq(audio.shape[1], 1 / self.sample_rate) > CROSSOVER] = 0
        stems = np.zeros((len(SOURCES), *audio.shape), np.float32)
        bass, other = SOURCES.index("bass"), SOURCES.index("other")
        stems[bass] = np.fft.irfft(spectrum, audio.shape[1])
        stems[other] = audio - stems[bass]
        return stems

    def _encode(self, audio: Samples) -> Codes:
        if audio.any():
            return self._encode_sound(audio)
        length = audio.shape[1]
        if length not in self._silence:
            self._silence[length] = self._encode_sound(audio)
        return self._silence[length]

    @torch.inference_mode()
    def _encode_sound(self, audio: Samples) -> Codes:
        (frame,) = self.model.encode(torch.from_numpy(audio.mean(0))[None, None])
        return frame[0][0].numpy().astype(np.uint16)

    @torch.inference_mode()
    def _decode(self, codes: Codes, num_samples: int) -> Samples:
        frame = torch.from_numpy(codes.astype(np.int64))[None]
        sound = self.model.decode([(frame, None)])[0].numpy()
        return fit_length(np.repeat(sound, 2, axis=0), num_samples)
