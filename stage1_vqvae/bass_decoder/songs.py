"""The songs that the bass decoder is trained on: bass stems with the codes and notes of each frame.

Every example is a pure function of (seed, step, index in the global batch), so that a run can start
at any step and be divided among any number of processes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.codes.codec import CodeFormat
from shared.codes.manifest import Manifest, read_manifest
from shared.codes.song_codes import SUFFIX, SongCodes, require_fingerprint
from shared.errors import Refusals, UserError, require
from shared.music.notes import NoteVocabulary
from shared.songs.cache import CachedSong, StemCache
from shared.songs.drawing import ByLength
from shared.songs.tracks import Split
from shared.sources import BASS, SOURCES
from stage1_vqvae.bass_decoder.config import DataConfig
from stage1_vqvae.bass_decoder.deviation import measure_deviation
from stage1_vqvae.bass_decoder.network import UNKNOWN

SILENT = 1e-3  # RMS of a segment at the level of its codes


@dataclass(frozen=True, eq=False)
class BassSegment:
    """Some frames of a song: T frames, and the T - 1 hops of samples between their centres.

    Attributes:
        samples: the bass in mono at the level of the codes, float32 `[(T - 1) * hop]`.
        codes: of the bass, int64 `[H, T]`.
        tokens: note tokens, int64 `[T]`; UNKNOWN where there are none.
        confidence: how far to trust them, float32 `[T]`.
    """

    samples: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class BassSong:
    """The bass of a song, whose samples are on disk.

    Attributes:
        audio: where the samples are.
        hop: samples per frame of codes.
        gain: what the samples are multiplied by to have the level of the codes.
        codes: uint16 `[H, T]`.
        tokens: int64 `[T]`; UNKNOWN where there are no notes.
        confidence: float32 `[T]`.
    """

    audio: CachedSong
    hop: int
    gain: float
    codes: npt.NDArray[np.uint16]
    tokens: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]

    @property
    def num_frames(self) -> int:
        """How many frames of codes it has."""
        return self.codes.shape[1]

    def segment(self, start: int, frames: int) -> BassSegment:
        """Read the frames from `start` to `start + frames - 1`, which the song must have."""
        span = slice(start, start + frames)
        stereo = self.audio.read(BASS, start * self.hop, (frames - 1) * self.hop)
        return BassSegment(
            samples=stereo.mean(0) * np.float32(self.gain),
            codes=self.codes[:, span].astype(np.int64),
            tokens=self.tokens[span],
            confidence=self.confidence[span],
        )

    def middle(self, seconds: float) -> BassSegment:
        """Read the frames of the middle of the song, or all of it where it is shorter."""
        frames = min(self.num_frames, 1 + round(seconds * self.audio.sample_rate / self.hop))
        return self.segment((self.num_frames - frames) // 2, frames)


def read_bass_songs(cache: StemCache, codes: Path) -> tuple[list[BassSong], list[BassSong]]:
    """Read the codes of all songs that have samples and whose bass sounds.

    Songs in other keys or tempi have codes without samples. They are left out.

    Returns:
        The songs of the train split, and those of the valid split.

    Raises:
        UserError: codes are missing or damaged, or were made of other samples. All of them are
            named.
    """
    manifest = read_manifest(codes)
    refusals = Refusals()
    train, valid = (
        [*_read_split(manifest, cache.split(split), split, refusals)]
        for split in ("train", "valid")
    )
    refusals.check(f"the codes of {len(refusals.sentences)} songs cannot be used")
    return train, valid


def _read_split(
    manifest: Manifest, cached: Sequence[CachedSong], split: Split, refusals: Refusals
) -> Iterator[BassSong]:
    audio = {song.name: song for song in cached}
    for file in manifest.files.of_split(split):
        name = file.name.removesuffix(SUFFIX)
        if name in audio and not audio[name].silent[BASS]:
            with refusals.collecting():
                yield _read_song(file, manifest.format.fingerprint, audio[name])


def _read_song(file: Path, fingerprint: str, audio: CachedSong) -> BassSong:
    song = SongCodes.load(file)
    require_fingerprint(song.fingerprint, fingerprint, f"the codes in {file}")
    require(
        song.num_samples == audio.num_samples,
        f"{file} was made of {song.num_samples} samples, but the song has {audio.num_samples}: "
        "extract the codes again",
    )
    nothing = np.full(song.num_frames, UNKNOWN)
    confidence = song.note_confidence
    return BassSong(
        audio=audio,
        hop=song.hop,
        gain=song.gain,
        codes=song.view("alone")[song.source_index(SOURCES[BASS])],
        tokens=nothing if song.notes is None else song.notes.astype(np.int64),
        confidence=np.zeros(len(nothing), np.float32) if confidence is None else confidence,
    )


@dataclass(frozen=True)
class SegmentDrawer:
    """Draws batches of segments.

    Attributes:
        songs: the songs to draw from.
        config: how to draw.
        format: of the songs' codes.
        seed: determines all examples, together with the step.
        batch_size: over all processes.
    """

    songs: Sequence[BassSong]
    config: DataConfig
    format: CodeFormat
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        """Raise UserError if no song is as long as a segment."""
        if not self._long_enough:
            raise UserError(
                "no song of the train split has a bass, codes and samples for a segment of "
                f"{self.config.segment_seconds} s: extract the codes of the same --data, or set a "
                "shorter 'data.segment_seconds'"
            )

    @property
    def frames(self) -> int:
        """How many frames a segment has."""
        rate = self.format.frame_rate
        return 1 + max(1, round(self.config.segment_seconds * rate))

    def batch(self, step: int, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """Draw the examples of one process at a step.

        Returns:
            "samples" `[B, N]`, "codes" `[B, T, H]`, and `[B, T]` under "tokens", "confidence",
            "deviation" (semitones) and "steady" (whether the deviation is known).
        """
        examples = [
            self._example(np.random.default_rng((self.seed, step, index)))
            for index in range(rank, self.batch_size, world)
        ]
        return {
            name: torch.from_numpy(np.stack([example[name] for example in examples]))
            for name in examples[0]
        }

    @cached_property
    def _long_enough(self) -> list[BassSong]:
        return [song for song in self.songs if song.num_frames >= self.frames]

    @cached_property
    def _by_length(self) -> ByLength:
        return ByLength(song.num_frames for song in self._long_enough)

    def _example(self, rng: np.random.Generator) -> dict[str, npt.NDArray]:
        for _ in range(1 + self.config.redraws):
            song = self._long_enough[self._by_length.draw(rng)]
            start = int(rng.integers(song.num_frames - self.frames + 1))
            segment = song.segment(start, self.frames)
            if np.square(segment.samples).mean() > SILENT**2:
                break
        pitches = np.where(segment.tokens < 0, -1, NoteVocabulary.PITCHES[segment.tokens])
        deviation = measure_deviation(
            segment.samples, pitches, self.format.sample_rate, self.format.hop
        )
        return {
            "samples": segment.samples,
            "codes": segment.codes.T.copy(),
            "tokens": segment.tokens,
            "confidence": segment.confidence,
            "deviation": deviation.semitones,
            "steady": deviation.known,
        }
