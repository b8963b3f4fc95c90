"""The songs of a data set before they are made: their names, splits, seeds and sources."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.band.songbook.progressions import Progression
from shared.errors import UserError
from shared.songs.tracks import SPLITS

# What tells versions of one song apart at the end of a file name.
_VERSION_MARK = re.compile(r"\d+|v(er|ersion)?\d*|copy|final|(re)?mix|alt|gm")


@dataclass(frozen=True)
class SongJob:
    """One song to make.

    Attributes:
        name: the name of its folder.
        split: train, valid or test.
        seed: all chance in the song depends on it.
        midi: the MIDI file that it is read from; None composes it.
        style: the style to compose in; None lets the seed choose.
        progression: the chords that it is made of; None composes them.
    """

    name: str
    split: str
    seed: tuple[int, ...]
    midi: Path | None = None
    style: str | None = None
    progression: Progression | None = None


def composed_jobs(
    songs: int, seed: int, styles: Sequence[str] | None, splits: Sequence[float]
) -> list[SongJob]:
    """Plan `songs` composed songs, in each of the styles in turn."""
    return [
        SongJob(
            name=f"band-{index:05d}",
            split=_split((index + 0.5) / songs, splits),
            seed=(seed, index),
            style=styles[index % len(styles)] if styles else None,
        )
        for index in range(songs)
    ]


def midi_jobs(
    files: Sequence[Path], seed: int, splits: Sequence[float], others: Sequence[SongJob] = ()
) -> list[SongJob]:
    """Plan a song for each MIDI file. Songs of one title are in the same split.

    The splits are filled in the order of the titles' hashes. No song has the name of another, nor
    of one of the `others`.
    """
    titles: dict[str, list[Path]] = {}
    for path in files:
        titles.setdefault(song_title(path), []).append(path)
    jobs: list[SongJob] = []
    names = {job.name.lower() for job in others}
    for title in sorted(titles, key=lambda title: hashlib.sha256(title.encode()).hexdigest()):
        split = _split((len(jobs) + 0.5) / len(files), splits)
        for path in titles[title]:
            name = _folder_name(path.stem, names)
            jobs.append(SongJob(name, split, _named_seed(seed, name), midi=path))
    return jobs


def chord_jobs(
    songs: Sequence[Progression],
    seed: int,
    splits: Sequence[float],
    others: Sequence[SongJob] = (),
) -> list[SongJob]:
    """Plan a song for each progression. Songs of one title are in the same split.

    The split depends on the title alone, or on the name where the title is not known. No song has
    the name of another, nor of one of the `others`.
    """
    names = {job.name.lower() for job in others}
    jobs = []
    for song in songs:
        title = hashlib.sha256((song.title or song.name).encode()).digest()
        split = _split(int.from_bytes(title[:8], "big") / 2**64, splits)
        name = _folder_name(song.name, names)
        jobs.append(SongJob(name, split, _named_seed(seed, name), progression=song))
    return jobs


def even_choice(songs: Sequence[Progression], count: int | None) -> list[Progression]:
    """Choose `count` songs at even distances, or all where there are no more than that."""
    if count is None or count >= len(songs):
        return list(songs)
    return [songs[(2 * index + 1) * len(songs) // (2 * count)] for index in range(count)]


def find_midi_files(folder: Path) -> dict[Path, str]:
    """Find the .mid and .midi files below a folder, sorted, and the SHA-256 of each.

    Raises:
        UserError: there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give a folder of MIDI files")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in (".mid", ".midi") and path.is_file()
    )
    if not found:
        raise UserError(f"{folder} holds no .mid or .midi file; give a folder of MIDI files")
    try:
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
    except OSError as error:
        raise UserError(f"cannot read {error.filename} ({error.strerror})") from error


def copies(files: Mapping[Path, str]) -> dict[Path, Path]:
    """Find the files whose content an earlier file has too; returns them with that file."""
    first: dict[str, Path] = {}
    return {
        path: first[content]
        for path, content in files.items()
        if first.setdefault(content, path) != path
    }


def song_title(path: Path) -> str:
    """Reduce a file name to the title that versions of a song share.

    It is in lower case and has no copy numbers and version marks.

    >>> song_title(Path("Blue Train (2).mid")) == song_title(Path("blue_train-v3.mid"))
    True
    """
    words = re.findall(r"[^\W_]+", path.stem.lower())
    while len(words) > 1 and _VERSION_MARK.fullmatch(words[-1]):
        words.pop()
    return " ".join(words)


def _folder_name(words: str, names: set[str]) -> str:
    """Turn a title into the name of a folder that is not in `names` (lower case), and add it."""
    name = re.sub(r"[^\w\-]+", "_", words).strip("_") or "song"
    while name.lower() in names:
        name += "_"
    names.add(name.lower())
    return name


def _named_seed(seed: int, name: str) -> tuple[int, int]:
    """Return the seed of a song that is known by its name."""
    return seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def _split(position: float, splits: Sequence[float]) -> str:
    """Return the split at `position`, from 0 to 1, along the shares of the splits."""
    for name, end in zip(SPLITS, np.cumsum(splits), strict=True):
        if position < end:
            return name
    return SPLITS[-1]
