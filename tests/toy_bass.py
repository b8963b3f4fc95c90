"""Songs whose bass is one plucked-like tone, their codes, and the codec that made them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from shared.codes.codec import CodeFormat, Codes
from shared.music.notes import NoteVocabulary
from shared.songs.cache import StemCache, build_cache
from shared.sound.samples import Samples
from shared.sound.sliced import SlicedSamples
from shared.sources import SOURCES
from stage1_vqvae.bass_decoder.config import NetworkConfig
from stage1_vqvae.bass_decoder.network import BassDecoderNetwork
from tests.conftest import WriteSong
from tests.one_block import OneBlock
from tests.toy_songs import make_song, write_codes

RATE, HOP = 44100, 1024
PITCH = 33  # A1, 55 Hz
SAMPLES = 60 * HOP


class ToneCodec(OneBlock):
    """Decodes every bass as a soft tone of 55 Hz in both channels."""

    sample_rate, hop, frame_rate = RATE, HOP, RATE / HOP
    sources, num_codebooks, cardinality = SOURCES, 2, 8
    fingerprint, audible_bass = "tone", 0.18

    def num_frames(self, num_samples: int) -> int:
        return -(-num_samples // HOP) + 1

    def encode(self, audio: SlicedSamples) -> Codes:
        raise NotImplementedError

    def decode(
        self, codes: Codes, num_samples: int, sources: Sequence[str] | None = None
    ) -> Samples:
        assert sources == ["bass"]
        assert codes.shape == (4, 2, self.num_frames(num_samples))
        return np.tile(0.01 * tone(55.0, num_samples), (2, 1))

    def separate(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: Codes | None = None,
    ) -> Samples:
        raise NotImplementedError


FORMAT = CodeFormat.of(ToneCodec())
TINY = NetworkConfig(
    width=16,
    blocks=1,
    fine_width=16,
    fine_blocks=1,
    low_width=16,
    low_blocks=1,
    note_blocks=1,
    harmonics=16,
    noise_bands=8,
)


def tone(hertz: float, num_samples: int) -> npt.NDArray[np.float32]:
    """A sine of amplitude 1."""
    return np.sin(2 * np.pi * hertz * np.arange(num_samples) / RATE).astype(np.float32)


def lively_network(seed: int = 0) -> BassDecoderNetwork:
    """A network whose outputs differ from frame to frame, as they do after training."""
    torch.manual_seed(seed)
    network = BassDecoderNetwork(TINY, FORMAT)
    heads = (network.deviation_head, network.harmonic_head, network.noise_head, network.lows.head)
    for head in heads:
        torch.nn.init.normal_(head.weight, std=0.5)
    return network.eval()


def write_songs(folder: Path, write_song: WriteSong) -> tuple[StemCache, Path]:
    """Write two songs to train on and one to validate on, and their codes; return cache and codes.

    Song "a" also has codes in another key, of which there are no samples.
    """
    bass = sum(0.3 / k * tone(55.0 * k, SAMPLES) for k in range(1, 8))
    notes = np.full(61, NoteVocabulary.sustain(PITCH), np.uint8)
    notes[0] = NoteVocabulary.onset(PITCH)
    songs = []
    for name, split in (("a", "train"), ("b", "train"), ("c", "valid")):
        write_song(
            folder / "songs" / split / name, SAMPLES / RATE, bass=np.stack([bass, bass], axis=1)
        )
        codes = np.random.default_rng(ord(name)).integers(0, 8, (4, 2, 61)).astype(np.uint16)
        for track in (name, f"{name}@+2") if name == "a" else (name,):
            song = make_song(
                name,
                split,
                frames=61,
                track=track,
                num_samples=SAMPLES,
                fingerprint="tone",
                gain=0.5,
                views={"alone": codes},
                notes=notes,
                note_confidence=np.ones(61, np.float32),
            )
            songs.append(song)
    return build_cache(folder / "songs"), write_codes(folder / "codes", songs, FORMAT)
