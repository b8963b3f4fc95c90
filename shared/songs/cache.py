"""Decode every song once into int16 arrays, of which any segment can then be read at no cost.

A song becomes `SONG.i16`, bare int16 `[4 sources, samples, 2 channels]` (so that a segment of a
source is one run of bytes), and `SONG.json`, which says what it was made from. The JSON is written
last and removed first: without it, or where it does not match the source files' sizes and times,
the song is decoded again. So an interrupted build is never taken for a complete one.

Of several processes that need the same songs, such as those of `torchrun`, one decodes them while
the others wait.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shared.atomic import atomic_path
from shared.console import err_console, progress
from shared.disk_space import warn_of_space
from shared.dropped import reason_of
from shared.errors import Refusals, UserError
from shared.file_lock import file_lock
from shared.songs.decode import decode_song
from shared.songs.tracks import Split, Track, find_tracks, nested_songs, song_name
from shared.sound.files import stated_seconds
from shared.sources import SOURCES

FORMAT = 1  # a change of the arrays' meaning needs a higher one: every cache is then rebuilt
LOCK_NAME = ".lock"
_SCALE = np.float32(1 / 32768)
_MAX_BUILDERS = 4  # decoding a song of 5 minutes takes about 0.5 GB


@dataclass(frozen=True)
class CachedSong:
    """A song whose decoded samples are on disk. Several threads may read it at once.

    `silent` says for each of SOURCES whether its stem is all zeros.
    """

    name: str
    split: Split
    num_samples: int
    sample_rate: int
    silent: tuple[bool, ...]
    song_json: Path | None
    path: Path

    @property
    def stems(self) -> np.memmap:
        """Map the whole song, int16 `[4, num_samples, 2]`, anew at each use.

        A map that is kept open holds a file descriptor, and a data set may have more songs than a
        process may have descriptors.
        """
        return np.memmap(self.path, np.int16, "r", shape=(len(SOURCES), self.num_samples, 2))

    def read(self, source_index: int, start: int, length: int) -> np.ndarray:
        """Read one source's samples from `start` on, float32 `[2, length]`.

        Past the song's end they are zeros.
        """
        return self._read(slice(source_index, source_index + 1), start, length)[0]

    def read_all(self, start: int = 0, length: int | None = None) -> np.ndarray:
        """Read all four sources' samples from `start` on, float32 `[4, 2, length]`.

        With `length` None they reach to the end of the song.
        """
        return self._read(
            slice(None), start, self.num_samples - start if length is None else length
        )

    def middle(self, seconds: float | None) -> np.ndarray:
        """Read the song's middle, float32 `[4, 2, N]`; see `middle_span`."""
        return self.read_all(*self.middle_span(seconds))

    def middle_span(self, seconds: float | None) -> tuple[int, int]:
        """Locate the middle `seconds` of the song, or all of it for None.

        Returns:
            The number of its first sample, and how many samples it has.

        Raises:
            UserError: `seconds` is less than a sample, or nan.
        """
        if seconds is None:
            return 0, self.num_samples
        samples = seconds * self.sample_rate
        if not samples >= 1:
            raise UserError(f"{seconds} seconds of a song cannot be measured: ask for more")
        length = round(min(samples, self.num_samples))
        return (self.num_samples - length) // 2, length

    def _read(self, sources: slice, start: int, length: int) -> np.ndarray:
        if start < 0 or length < 0:
            raise ValueError(f"start {start} and length {length} must not be negative")
        segment = np.asarray(self.stems)[sources, start : start + length].swapaxes(1, 2)
        samples = np.zeros((len(segment), 2, length), np.float32)
        present = samples[..., : segment.shape[-1]]
        present[:] = segment
        present *= _SCALE
        return samples


@dataclass(frozen=True)
class StemCache:
    """The decoded songs of a data folder.

    Attributes:
        songs: the songs.
        folder: where they are.
        defects: why songs are not among them that cannot be decoded, by split and name.
    """

    songs: tuple[CachedSong, ...]
    folder: Path
    defects: Mapping[tuple[Split, str], str] = field(default_factory=dict)

    def split(self, name: Split) -> tuple[CachedSong, ...]:
        """Return the songs of one split."""
        return tuple(song for song in self.songs if song.split == name)


def build_cache(
    data: Path | str, cache: Path | str | None = None, sample_rate: int = 44100
) -> StemCache:
    """Decode what is new or changed under `data`, and return all its songs, which must be sound.

    See `decode_songs`. Sound songs are decoded also where others are not, so that they need not be
    decoded again once the others are mended.

    Raises:
        UserError: the folder is refused, songs cannot be decoded, all of which are then named, or
            the cache cannot be written.
    """
    found = decode_songs(data, cache, sample_rate)
    Refusals([*found.defects.values()]).check(
        f"{len(found.defects)} songs of {data} cannot be used: mend them, or take them out"
    )
    return found


def decode_songs(
    data: Path | str, cache: Path | str | None = None, sample_rate: int = 44100
) -> StemCache:
    """Decode what is new or changed under `data`, and return its songs and what is wrong with some.

    See `decode_song`. A warning names songs of which stems were padded.

    Args:
        data: a folder of songs.
        cache: the folder to decode into. None stands for `data/.cache` or, where that cannot be
            written, for the user's cache folder (in `$XDG_CACHE_HOME` or `~/.cache`).
        sample_rate: samples per second of the decoded songs.

    Raises:
        UserError: `find_tracks` refuses the folder, or the cache cannot be written.
    """
    data = Path(data)
    tracks = find_tracks(data)
    nested = nested_songs(data)
    if nested:
        err_console.print(
            f"warning: {len(nested)} songs lie one folder too deep and are left out, such as "
            f"{nested[0]}: move them up"
        )
    places = [Path(cache)] if cache is not None else [data / ".cache", _users_cache(data)]
    recipes = [_Recipe(track, data, sample_rate) for track in tracks]
    for place in places:
        folder = place / f"stems_{sample_rate}"
        if not _stale(recipes, folder) or place is places[-1] or _writable(folder):
            break
    defects: dict[tuple[Split, str], str] = {}
    if _stale(recipes, folder):
        with file_lock(folder / LOCK_NAME, "decode the songs"):
            # They are fewer if another process was first.
            defects = _build(_stale(recipes, folder), folder)
    songs = []
    for recipe in recipes:
        song = recipe.load(folder)
        if song is not None:
            songs.append(song)
        elif recipe.song not in defects:
            path = recipe.track.path
            defects[recipe.song] = f"{path} changed while it was decoded: run the command again"
    return StemCache(tuple(songs), folder, defects)


@dataclass(frozen=True)
class _Recipe:
    """How the cache entry of one song is made and recognised."""

    track: Track
    data: Path
    sample_rate: int

    @property
    def song(self) -> tuple[Split, str]:
        """The split and the name of the song."""
        return self.track.split, self.track.name

    def load(self, folder: Path) -> CachedSong | None:
        """Read the cache entry; None where it is absent, incomplete, or made from other files."""
        array, meta = self._paths(folder)
        try:
            entry = json.loads(meta.read_text(encoding="utf-8"))
            if entry["made_from"] != self._made_from() or array.stat().st_size != entry["bytes"]:
                return None  # other "bytes": a copy of the cache that was cut short
            return CachedSong(
                self.track.name,
                self.track.split,
                entry["num_samples"],
                self.sample_rate,
                tuple(entry["silent"]),
                self.track.song_json,
                array,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def expected_bytes(self) -> int:
        """Return how large the decoded song will be, as far as the header of a stem tells."""
        seconds = stated_seconds(next(iter(self.track.files.values())))
        return round(seconds * self.sample_rate) * len(SOURCES) * 2 * 2  # stereo, 16 bits

    def build(self, folder: Path) -> None:
        """Decode the song into the cache."""
        made_from = self._made_from()  # before decoding: files that change meanwhile then differ
        song = decode_song(self.track, self.sample_rate)
        if song.padded:
            err_console.print(
                f"warning: the shortest stem of {self.track.path} is padded by {song.padded:.3f} s"
            )
        stems = song.stems
        array, meta = self._paths(folder)
        meta.unlink(missing_ok=True)
        with atomic_path(array) as temporary:
            stems.tofile(temporary)
        entry = {
            "made_from": made_from,
            "bytes": stems.nbytes,
            "num_samples": stems.shape[1],
            "silent": [not stem.any() for stem in stems],
        }
        with atomic_path(meta) as temporary:
            temporary.write_text(json.dumps(entry, indent=1), encoding="utf-8")

    def _paths(self, folder: Path) -> tuple[Path, Path]:
        song = self.track.path
        base = folder / song.relative_to(self.data).with_name(song_name(song))
        return base.with_name(base.name + ".i16"), base.with_name(base.name + ".json")

    def _made_from(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "sources": list(SOURCES),
            "sample_rate": self.sample_rate,
            "files": [[name, *_size_and_time(file)] for name, file in self.track.files.items()],
        }


def _size_and_time(file: Path) -> list[int]:
    """Return what tells a file from an earlier one of its name; nothing where there is no file."""
    try:
        stat = file.stat()
    except OSError:  # decoding says what is wrong
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _stale(recipes: Sequence[_Recipe], folder: Path) -> list[_Recipe]:
    """List the songs that `folder` does not hold, or holds as they no longer are."""
    return [recipe for recipe in recipes if recipe.load(folder) is None]


def _build(recipes: Sequence[_Recipe], folder: Path) -> dict[tuple[Split, str], str]:
    """Decode songs; return why some of them cannot be decoded, by split and name."""
    found: dict[tuple[Split, str], str] = {}
    if not recipes:
        return found
    warn_of_space(folder, sum(recipe.expected_bytes() for recipe in recipes))
    with (
        ThreadPoolExecutor(min(_MAX_BUILDERS, os.cpu_count() or 1)) as pool,
        progress("Decoding songs", len(recipes)) as bar,
    ):
        futures = {pool.submit(recipe.build, folder): recipe.song for recipe in recipes}
        try:
            for future in as_completed(futures):
                try:
                    future.result()
                except UserError as error:
                    found[futures[future]] = reason_of(error)
                bar.advance()
        except OSError as error:
            raise UserError(
                f"cannot write the cache in {folder} ({error.strerror}); "
                "free some space or choose another folder"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
    return {song: found[song] for song in futures.values() if song in found}


def _users_cache(data: Path) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    identity = hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:12]
    return home / "bassprior" / f"{data.resolve().name}-{identity}"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
