"""Codes of songs made of random numbers, as `extract-codes` would write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.codes.codec import CodeFormat
from shared.codes.manifest import write_manifest
from shared.codes.song_codes import SUFFIX, SongCodes
from shared.sources import SOURCES

HOP = 1024
FORMAT = CodeFormat(SOURCES, 8, 64, 44100, HOP, "codec")
WINDOW = 86  # frames of the 2 s that the tiny preset of the prior reads at once


def make_song(
    name: str, split: str, frames: int = 120, with_notes: bool = True, **changes: Any
) -> SongCodes:
    """Make a song without rests, whose notes have a confidence of 0.5.

    Args:
        name: one letter, which is also the seed.
        split: the split that it belongs to.
        frames: its length.
        with_notes: whether the notes of its bass are known.
        **changes: fields to replace.
    """
    chance = np.random.default_rng(ord(name))
    fields: dict[str, Any] = {
        "track": name,
        "split": split,
        "sources": SOURCES,
        "sample_rate": 44100,
        "hop": HOP,
        "num_samples": frames * HOP,
        "fingerprint": "codec",
        "gain": 1.0,
        "rms": dict.fromkeys(SOURCES, 0.1),
        "views": {
            view: chance.integers(0, 64, (4, 8, frames)).astype(np.uint16)
            for view in ("mixture", "accompaniment", "alone")
        },
        "notes": chance.integers(1, 97, frames).astype(np.uint8) if with_notes else None,
        "note_confidence": np.full(frames, 0.5, np.float32) if with_notes else None,
    }
    return SongCodes(**(fields | changes))


def write_codes(folder: Path, songs: Sequence[SongCodes], format: CodeFormat = FORMAT) -> Path:
    """Write what `extract-codes` would leave in `folder`; return the folder."""
    files = [folder / song.split / f"{song.track}{SUFFIX}" for song in songs]
    for song, file in zip(songs, files, strict=True):
        song.save(file)
    write_manifest(folder, format, files)
    return folder
