"""Check a folder of songs before anything is trained on it: what `check-data` does."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shared.console import progress
from shared.disk_space import free_bytes
from shared.errors import UserError
from shared.songs.decode import Int16, decode_song
from shared.songs.tracks import SPLITS, Split, Track, find_tracks, nested_songs
from shared.sound.files import read_audio
from shared.sound.samples import resample, to_int16, to_stereo
from shared.sources import BASS, SOURCES

SAMPLE_RATE = 44100
CLIPPED = 1e-4  # the share of samples at full scale from which on a stem counts as clipped
OTHER_MIX = 0.2  # the level of what is missing, from which on stems do not sum to the mixture
_FULL_SCALE = 32767
_READERS = 4


@dataclass(frozen=True)
class SongCheck:
    """What was found in one song.

    Attributes:
        name: its name.
        split: its split.
        seconds: its length; 0 where it cannot be read.
        wrong: what must be mended.
        notes: what may be as it is, but should be known.
        digest: of its samples; songs with the same one are the same.
    """

    name: str
    split: Split
    seconds: float = 0.0
    wrong: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True)
class DataCheck:
    """What was found in a folder of songs.

    Attributes:
        songs: all songs, by split, then by name.
        wrong: what is wrong with the folder as a whole.
        cache_bytes: the disk space that the decoded songs need.
        free_bytes: the disk space that is free.
    """

    songs: tuple[SongCheck, ...]
    wrong: tuple[str, ...]
    cache_bytes: int
    free_bytes: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong and not any(song.wrong for song in self.songs)

    def as_markdown(self) -> str:
        """Write what was found as text: the splits, and a table of the songs to look at."""
        lines = ["| split | songs | hours |", "|---|---:|---:|"]
        for split in SPLITS:
            lengths = [song.seconds for song in self.songs if song.split == split]
            lines.append(f"| {split} | {len(lengths)} | {sum(lengths) / 3600:.2f} |")
        lines.append(
            f"\nDecoded, the songs take {self.cache_bytes / 1e9:.2f} GB; "
            f"{self.free_bytes / 1e9:.2f} GB are free."
        )
        rows = [
            f"| {song.split} | {song.name} | {kind} | {text} |"
            for kind, found in (("wrong", "wrong"), ("note", "notes"))
            for song in self.songs
            for text in getattr(song, found)
        ]
        if rows:
            lines += ["", "| split | song | | what |", "|---|---|---|---|", *rows]
        lines += [f"\nwrong: {text}" for text in self.wrong]
        if self.is_sound:
            lines.append("\nNothing is wrong.")
        return "\n".join(lines) + "\n"


def check_data(data: Path) -> DataCheck:
    """Read every song of a folder, and list what is wrong with it.

    Raises:
        UserError: the folder is missing or holds no song.
    """
    tracks = find_tracks(data)
    with (
        ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as pool,
        progress("reading songs", len(tracks)) as bar,
    ):
        songs = []
        for song in pool.map(check_song, tracks):
            songs.append(song)
            bar.advance()
    checked = _with_duplicates(songs)
    cache_bytes = round(sum(song.seconds for song in checked) * SAMPLE_RATE) * len(SOURCES) * 4
    free = free_bytes(data)
    wrong = [
        f"no song is in the split '{split}'"
        for split in ("train", "valid")
        if not any(song.split == split for song in checked)
    ]
    wrong += [f"{song} lies one folder too deep: move it up" for song in nested_songs(data)]
    if cache_bytes > free:
        wrong.append("the decoded songs do not fit on the disk")
    return DataCheck(tuple(checked), tuple(wrong), cache_bytes, free)


def check_song(track: Track) -> SongCheck:
    """Read a song, and list what is wrong with it."""
    found = SongCheck(track.name, track.split)
    if track.missing:
        return replace(found, wrong=(f"it has no {' and no '.join(track.missing)} stem",))
    try:
        song = decode_song(track, SAMPLE_RATE)
        mixture = _mixture(track)
    except UserError as error:
        return replace(found, wrong=(str(error),))
    stems = song.stems
    wrong = _look_at_mixture(stems, mixture)
    notes: list[str] = []
    if not stems.any():
        wrong.append("all its stems are silent")
    elif not stems[BASS].any():
        notes.append("its bass is silent")
    if song.padded:
        notes.append(f"its shortest stem is padded by {song.padded:.3f} s")
    for source, stem in zip(SOURCES, stems, strict=True):
        share = _clipped_share(stem)
        if share > CLIPPED:
            notes.append(f"{source} clips in {share:.2%} of its samples")
    return replace(
        found,
        seconds=stems.shape[1] / SAMPLE_RATE,
        wrong=tuple(wrong),
        notes=tuple(notes),
        digest=hashlib.sha256(np.ascontiguousarray(stems).data).hexdigest(),
    )


def _with_duplicates(songs: Sequence[SongCheck]) -> list[SongCheck]:
    """Name in each song the earlier one that it equals."""
    first: dict[str, SongCheck] = {}
    checked = []
    for song in songs:
        twin = first.setdefault(song.digest, song) if song.digest else song
        if twin is not song:
            text = f"it is the same as '{twin.name}' of the split '{twin.split}'"
            song = replace(song, wrong=(*song.wrong, text))
        checked.append(song)
    return checked


def _mixture(track: Track) -> tuple[str, Int16] | None:
    """Read the mixture that lies beside four stems, as int16 `[samples, 2]`, with its name."""
    if track.stems is None or track.multitrack:
        return None
    for path in sorted(track.path.iterdir()):
        if path.is_file() and path.stem.lower() in ("mixture", "mix"):
            audio = read_audio(path)
            samples = resample(to_stereo(audio.samples), audio.sample_rate, SAMPLE_RATE)
            return path.name, to_int16(samples).T
    return None


def _look_at_mixture(stems: Int16, mixture: tuple[str, Int16] | None) -> list[str]:
    """Compare the sum of the stems with the mixture, where there is one."""
    if mixture is None:
        return []
    name, samples = mixture
    length = min(len(samples), stems.shape[1])
    mix = samples[:length].astype(np.float32)
    rest = mix - stems[:, :length].sum(0, dtype=np.float32)
    level = float(np.sqrt(np.mean(np.square(mix)))) if length else 0.0
    share = float(np.sqrt(np.mean(np.square(rest)))) / level if level else 0.0
    if share <= OTHER_MIX:
        return []
    return [f"its stems do not sum to {name}: what is missing has {share:.0%} of its level"]


def _clipped_share(stem: Int16) -> float:
    at_full_scale = (stem >= _FULL_SCALE) | (stem <= -_FULL_SCALE)
    return float(at_full_scale.mean()) if stem.size else 0.0
