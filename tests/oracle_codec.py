"""A codec that knows the sources of one song, and codes of songs for it."""

from collections.abc import Sequence

import numpy as np

from shared.codes.codec import Codes
from shared.codes.song_codes import SongCodes
from shared.sound.samples import Samples, rms
from shared.sound.sliced import SlicedSamples, whole
from shared.sources import BASS, SOURCES
from tests.one_block import OneBlock

RATE = 44100
SECONDS = 2


class OracleCodec(OneBlock):
    """Decodes the stems that it was made with, at the level of what it encoded last.

    Its codes carry no information.

    Attributes:
        stems: the sources `[S, 2, N]`.
        encoded: the audio that was encoded last.
        scale: its level as a multiple of the level of the song.
    """

    sample_rate, hop, num_codebooks, cardinality = RATE, 1024, 1, 2
    frame_rate, sources, fingerprint = RATE / 1024, SOURCES, "oracle"

    def __init__(self, stems: Samples, audible_bass: float = 0.18) -> None:
        self.stems, self.audible_bass = stems, audible_bass
        self.encoded, self.scale = stems.sum(0), 1.0

    def num_frames(self, num_samples: int) -> int:
        return 1 + num_samples // self.hop

    def encode(self, audio: SlicedSamples) -> Codes:
        self.encoded = whole(audio)
        self.scale = rms(audio) / rms(self.stems.sum(0))
        return np.zeros((len(SOURCES), 1, self.num_frames(audio.shape[-1])), np.uint16)

    def decode(
        self, codes: Codes, num_samples: int, sources: Sequence[str] | None = None
    ) -> Samples:
        rows = [SOURCES.index(source) for source in sources or SOURCES]
        return (self.scale * self.stems[rows].sum(0)).astype(np.float32)

    def separate(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: Codes | None = None,
    ) -> Samples:
        rows = [SOURCES.index(source) for source in sources or SOURCES]
        scale = np.float32(rms(mixture) / rms(self.stems.sum(0)))
        return scale * self.stems[rows]


def two_tones(bass: float = 0.2, other: float = 0.1) -> Samples:
    """Stems `[S, 2, N]` of 2 s: a low tone for the bass, a high one for everything else."""
    time = np.arange(SECONDS * RATE) / RATE
    stems = np.zeros((len(SOURCES), 2, len(time)), np.float32)
    stems[BASS] = bass * np.sin(2 * np.pi * 80 * time)
    stems[SOURCES.index("other")] = other * np.sin(2 * np.pi * 1000 * time)
    return stems


def oracle_song(codec: OracleCodec, name: str, seconds: float, split: str = "test") -> SongCodes:
    """A song of random codes, in which half of the notes are known."""
    rng = np.random.default_rng(0)
    samples = round(seconds * RATE)
    shape = (len(SOURCES), codec.num_codebooks, codec.num_frames(samples))
    confidence = np.zeros(shape[2], np.float32)
    confidence[::2] = 0.7
    return SongCodes(
        track=name,
        split=split,
        sources=SOURCES,
        sample_rate=RATE,
        hop=codec.hop,
        num_samples=samples,
        fingerprint=codec.fingerprint,
        gain=123.0,  # of the true accompaniment; a mixture has a gain of its own
        rms=dict.fromkeys(SOURCES, 0.1),
        views={
            view: rng.integers(0, codec.cardinality, shape).astype(np.uint16)
            for view in ("mixture", "accompaniment", "alone")
        },
        notes=rng.integers(0, 97, shape[2]).astype(np.uint8),
        note_confidence=confidence,
    )
