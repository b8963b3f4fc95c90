"""Samples that are read in slices of time, so that a song of any length needs little memory.

An array is such samples. So is what lies on the disk (`StoredSamples`), and what is computed from
other samples when it is read (`Derived`).
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from shared.folders import existing_folder
from shared.sound.samples import BLOCK, Samples, to_stereo

_READ = 1 << 16  # samples that are read from the disk at once
# Longer sounds are kept on the disk: 95 s at 44.1 kHz, which are 32 MiB in stereo.
MOST_IN_MEMORY = 1 << 22


class SlicedSamples(Protocol):
    """Samples `[C, N]` that are read in slices of time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of channels and of samples."""

    def __getitem__(self, key: tuple[slice, slice], /) -> Samples:
        """Read channels in a slice of time."""


class Derived:
    """Samples that are computed from others of the same length, slice by slice.

    Attributes:
        shape: the number of channels and of samples.
    """

    def __init__(
        self, compute: Callable[..., Samples], *sources: SlicedSamples, channels: int = 2
    ) -> None:
        """Describe the samples.

        Args:
            compute: makes a slice `[channels, n]` of the same slices of the sources. Each sample
                depends only on the samples at the same time.
            *sources: the samples that are read.
            channels: the number of channels of the result.
        """
        self._compute, self._sources = compute, sources
        self.shape: tuple[int, ...] = (channels, sources[0].shape[-1])

    def __getitem__(self, key: tuple[slice, slice]) -> Samples:
        """Compute a slice."""
        computed = self._compute(*(source[:, key[1]] for source in self._sources))
        return np.asarray(computed[key[0]])


class Timed:
    """Samples that are computed from others and from their place in time, slice by slice.

    Attributes:
        shape: the number of channels and of samples.
    """

    def __init__(
        self, compute: Callable[..., Samples], *sources: SlicedSamples, channels: int = 2
    ) -> None:
        """Describe the samples as for `Derived`.

        Args:
            compute: is also given the numbers of the first sample and of that after the last one,
                before the slices.
            *sources: the samples that are read.
            channels: the number of channels of the result.
        """
        self._compute, self._sources = compute, sources
        self.shape: tuple[int, ...] = (channels, sources[0].shape[-1])

    def __getitem__(self, key: tuple[slice, slice]) -> Samples:
        """Compute a slice."""
        start, stop, _ = key[1].indices(self.shape[1])
        stop = max(start, stop)
        slices = (source[:, start:stop] for source in self._sources)
        return np.asarray(self._compute(start, stop, *slices)[key[0]])


class StoredSamples:
    """Float32 samples `[C, N]`, to which blocks are appended.

    Short sounds stay in memory. Longer ones move to a file without a name, which is gone when it is
    not used any more. They are not mapped into memory, because the pages of a map count as memory
    of the process.
    """

    def __init__(
        self, channels: int, folder: Path | None = None, most_in_memory: int | None = None
    ) -> None:
        """Begin without samples.

        Args:
            channels: the number of channels C.
            folder: where the file is made; None takes the folder of temporary files.
            most_in_memory: how many samples of each channel stay in memory; MOST_IN_MEMORY by
                default.
        """
        self._channels, self._length = channels, 0
        self._folder = folder
        self._most_in_memory = MOST_IN_MEMORY if most_in_memory is None else most_in_memory
        self._held: list[Samples] = []
        self._file: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of channels and of samples."""
        return (self._channels, self._length)

    def append(self, block: Samples) -> None:
        """Append samples `[C, n]`.

        Raises:
            OSError: the disk is full.
        """
        block = np.asarray(block, np.float32)
        self._length += block.shape[-1]
        if self._file is None and self._length > self._most_in_memory:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                self._file = os.dup(file.fileno())
            for held in self._held:
                self._write(held)
            self._held = []
        if self._file is None:
            self._held.append(block)
        else:
            self._write(block)

    def __getitem__(self, key: tuple[slice, slice]) -> Samples:
        """Read channels in a slice of time."""
        start, stop, _ = key[1].indices(self._length)
        if self._file is None:
            if len(self._held) > 1:
                self._held = [np.concatenate(self._held, axis=1)]
            held = self._held[0] if self._held else np.zeros((self._channels, 0), np.float32)
            return held[key[0], start:stop]
        samples = np.empty((self._channels, stop - start), np.float32)
        for first in range(start, stop, _READ):
            last = min(first + _READ, stop)
            samples[:, first - start : last - start] = self._read(first, last)
        return samples[key[0]]

    def __del__(self) -> None:
        """Give the file back."""
        if getattr(self, "_file", None) is not None:
            os.close(self._file)  # type: ignore[arg-type]

    def _read(self, start: int, stop: int) -> Samples:
        assert self._file is not None
        size = 4 * self._channels
        content = bytearray()
        while len(content) < (stop - start) * size:  # a read may be shorter than was asked for
            at = start * size + len(content)
            content += os.pread(self._file, (stop - start) * size - len(content), at)
        return np.frombuffer(content, np.float32).reshape(-1, self._channels).T

    def _write(self, block: Samples) -> None:
        assert self._file is not None
        if not block.any():  # silence needs no space on the disk
            os.ftruncate(self._file, os.lseek(self._file, 4 * block.size, os.SEEK_CUR))
            return
        content = memoryview(np.ascontiguousarray(block.T).tobytes())
        while content:
            content = content[os.write(self._file, content) :]


def scratch_folder(out: Path) -> Path:
    """Return where sounds are kept for results in the folder `out`, which may not exist yet.

    It lies on the disk that the results are written to, which must have room for them anyway.
    """
    return existing_folder(out)


def stored(blocks: Iterable[Samples], channels: int, folder: Path | None = None) -> StoredSamples:
    """Keep blocks `[C, n]` that follow each other."""
    kept = StoredSamples(channels, folder)
    for block in blocks:
        kept.append(block)
    return kept


def is_short(samples: SlicedSamples) -> bool:
    """Whether samples are few enough to be in memory as a whole."""
    return samples.shape[-1] <= MOST_IN_MEMORY


def settled(samples: SlicedSamples) -> SlicedSamples:
    """Read short samples into an array, so that they are computed once; return long ones as is."""
    return whole(samples) if is_short(samples) else samples


def scaled(samples: SlicedSamples, gain: np.float32) -> SlicedSamples:
    """Multiply stereo samples by a gain."""
    if isinstance(samples, np.ndarray):
        return samples * gain
    return Derived(lambda part: part * gain, samples)


def stereo_of(samples: SlicedSamples) -> SlicedSamples:
    """Bring 1 to 8 channels `[C, N]` to two as `to_stereo` does."""
    if samples.shape[0] == 2 or isinstance(samples, np.ndarray):
        return samples if samples.shape[0] == 2 else to_stereo(whole(samples))
    return Derived(to_stereo, samples)


def whole(samples: SlicedSamples) -> Samples:
    """Read all samples into one array `[C, N]`; an array is returned as it is."""
    return samples if isinstance(samples, np.ndarray) else samples[:, :]


def blocks_of(samples: SlicedSamples, size: int | None = None) -> Iterator[Samples]:
    """Read samples block after block `[C, n]`, of BLOCK samples by default."""
    size = BLOCK if size is None else size
    for start in range(0, samples.shape[-1], size):
        yield samples[:, start : start + size]
