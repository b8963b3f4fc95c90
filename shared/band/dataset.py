"""A data set in MUSDB18-HQ's layout from composed songs and from the user's MIDI files.

A song depends only on the seed and on its own number (composed) or name (MIDI), so that it is the
same for any number of songs and of workers. It appears in the data set whole or not at all. The
file MANIFEST records the arguments, with which an interrupted run can go on.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.atomic import atomic_path
from shared.band.mma import grooves
from shared.band.render import Orchestra
from shared.band.song_folder import UNFINISHED, SongSettings, make_song
from shared.band.song_jobs import SongJob, composed_jobs, copies, find_midi_files, midi_jobs
from shared.band.style import find_style
from shared.console import progress
from shared.errors import UserError, require
from shared.json_files import write_json
from shared.songs.tracks import SPLITS

MANIFEST = "dataset.json"


@dataclass(frozen=True)
class Dropped:
    """A song that was not written.

    Attributes:
        name: its file or number.
        reason: why, as a sentence.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class DatasetReport:
    """What is in a data set after `make_dataset`.

    Attributes:
        songs: `split/name` of each song, sorted.
        dropped: what could not be written, sorted by name.
        kept: how many of the songs an earlier run had finished.
    """

    songs: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    kept: int


def make_dataset(
    out: Path,
    songs: int,
    seed: int,
    soundfonts: Sequence[Path] = (),
    midi: Path | None = None,
    mma: bool = False,
    seconds: float | None = None,
    audio_format: str = "wav",
    styles: Sequence[str] | None = None,
    workers: int = 1,
    splits: Sequence[float] = (0.8, 0.1, 0.1),
) -> DatasetReport:
    """Compose and render songs. Equal arguments give equal bytes.

    The layout is `out/{train,valid,test}/song/{mixture,vocals,bass,drums,other}.wav`, 44.1 kHz,
    stereo, int16, with `song.json` and `song.mid`. The mixture is the exact sum of the stems. If
    `out` holds songs of an interrupted run with equal arguments, these songs are kept.

    Args:
        out: the folder to make.
        songs: how many songs to compose.
        seed: all chance depends on it.
        soundfonts: each part of a song is played by one of them at random; by default TimGM6mb.
        midi: also render all usable MIDI files below this folder.
        mma: let Debian's `mma` arrange the composed chords instead of the built-in band.
        seconds: about how long a composed song is, and how much of a MIDI file is kept at most.
        audio_format: "wav" or "flac".
        styles: styles of the composed songs, in turn; by default each song draws its own.
        workers: how many processes render.
        splits: shares of train, valid and test. MIDI files of one title are in one split.

    Raises:
        UserError: an argument is wrong, a soundfont is missing or invalid, or `out` cannot be made
            or holds other songs. A bad MIDI file is only reported, even if none is left.
    """
    _check_arguments(songs, seconds, audio_format, styles, workers, splits)
    files = {} if midi is None else find_midi_files(Path(midi))
    same = copies(files)
    jobs = composed_jobs(songs, seed, styles, splits)
    jobs += midi_jobs([path for path in files if path not in same], seed, splits, jobs)
    require(bool(jobs), "there is no song to make; ask for songs, or give a folder of MIDI files")
    if mma:
        grooves(beats=4)  # raises UserError where mma is missing
    Orchestra(soundfonts).close()  # a bad soundfont must fail before anything is written
    settings = SongSettings(Path(out), tuple(map(Path, soundfonts)), seconds, audio_format, mma)
    arguments = {
        "songs": songs,
        "seed": seed,
        "soundfonts": [
            {"name": path.name, "sha256": _sha256(path)} for path in settings.soundfonts
        ],
        "midi": {path.relative_to(midi or ".").as_posix(): files[path] for path in files},
        "mma": mma,
        "seconds": seconds,
        "audio_format": audio_format,
        "styles": list(styles or ()),
        "splits": list(splits),
    }
    _open_folder(settings.out, arguments)
    kept = [job for job in jobs if settings.folder(job).is_dir()]
    written = [f"{job.split}/{job.name}" for job in kept]
    dropped = [Dropped(str(path), f"it is a copy of {first.name}") for path, first in same.items()]
    try:
        with progress("making songs", len(jobs), len(kept)) as bar:
            missing = [job for job in jobs if not settings.folder(job).is_dir()]
            for job, reason in _run(missing, settings, workers):
                bar.advance()
                if reason is None:
                    written.append(f"{job.split}/{job.name}")
                else:
                    dropped.append(Dropped(str(job.midi or job.name), reason))
    finally:
        shutil.rmtree(settings.out / UNFINISHED, ignore_errors=True)
    ordered = sorted(dropped, key=lambda drop: drop.name)
    return DatasetReport(tuple(sorted(written)), tuple(ordered), len(kept))


def _check_arguments(
    songs: int,
    seconds: float | None,
    audio_format: str,
    styles: Sequence[str] | None,
    workers: int,
    splits: Sequence[float],
) -> None:
    for style in styles or ():
        find_style(style)
    require(
        audio_format in ("wav", "flac"),
        f"there is no audio format '{audio_format}'; use wav or flac",
    )
    for name, value, least in (
        ("songs", songs, 0),
        ("workers", workers, 1),
        ("seconds", seconds, 8),
    ):
        if value is not None and not value >= least:
            raise UserError(f"{name} is {value}: give {least} or more")
    require(
        len(splits) == 3 and min(splits) >= 0 and abs(sum(splits) - 1) < 1e-6,
        f"splits {tuple(splits)} must be three shares that add up to 1",
    )


def _open_folder(out: Path, arguments: Mapping[str, Any]) -> None:
    """Make the data set's folder, or check that its songs were made with equal arguments."""
    if any((out / split).is_dir() and any((out / split).iterdir()) for split in SPLITS):
        known = _read_manifest(out / MANIFEST)
        if known is None:
            raise UserError(f"{out} already holds songs; choose an empty folder")
        other = [name for name, value in arguments.items() if known.get(name) != value]
        if other:
            raise UserError(
                f"{out} holds songs that were made with other values of {', '.join(other)}: repeat "
                "those to go on where the run stopped, or choose an empty folder"
            )
    try:
        shutil.rmtree(out / UNFINISHED, ignore_errors=True)  # of a run that was killed
        (out / UNFINISHED).mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out} ({error.strerror})") from error
    with atomic_path(out / MANIFEST) as temporary:
        write_json(temporary, arguments)


def _read_manifest(path: Path) -> dict[str, Any] | None:
    """Return the arguments that a manifest records; None where there is none to be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(
    jobs: Sequence[SongJob], settings: SongSettings, workers: int
) -> Iterator[tuple[SongJob, str | None]]:
    """Make songs. Yields each job when it is done, with the reason why it was dropped, or None."""
    if workers == 1:
        with Orchestra(settings.soundfonts) as orchestra:
            for job in jobs:
                yield job, make_song(job, settings, orchestra)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (settings,))
    futures = {pool.submit(_work, job): job for job in jobs}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise UserError("a worker was killed, perhaps for memory; use fewer workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker: tuple[SongSettings, Orchestra]


def _start_worker(settings: SongSettings) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the main process, which stops it
    _worker = (settings, Orchestra(settings.soundfonts))


def _work(job: SongJob) -> str | None:
    return make_song(job, *_worker)
