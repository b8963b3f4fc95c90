"""A data set in MUSDB18-HQ's layout: composed songs, the user's MIDI files and progressions.

A song depends only on the seed and on its own number (composed) or name (others), so that it is the
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
from shared.band.composing.style import find_style
from shared.band.drums.drum_kits import installed_kits
from shared.band.mma.mma_library import require_mma
from shared.band.recording.render import SAMPLE_RATE, Orchestra
from shared.band.singing.singers import missing_speakers, require_singing
from shared.band.singing.speakers import available_speakers
from shared.band.song_folder import UNFINISHED, SongSettings, make_song
from shared.band.song_jobs import (
    SongJob,
    chord_jobs,
    composed_jobs,
    copies,
    even_choice,
    find_midi_files,
    midi_jobs,
)
from shared.band.songbook.progressions import chord_files, read_songbooks
from shared.console import err_console, progress
from shared.disk_space import warn_of_space
from shared.dropped import Dropped
from shared.errors import UserError, require
from shared.file_lock import sole_owner
from shared.json_files import write_json
from shared.seeds import LARGEST_SEED
from shared.shard import WHOLE, Shard
from shared.songs.tracks import SPLITS

MANIFEST = "dataset.json"
LOCK_NAME = ".lock"  # in the folder, while the songs are made
USUAL_SECONDS = 130.0  # A composed song lasts about so long.
FLAC_SHARE = 0.5  # A FLAC file has about this share of the bytes of a WAV file.
MOST_SONGS, MOST_WORKERS, MOST_SECONDS = 1_000_000, 1000, 1800


@dataclass(frozen=True)
class DatasetReport:
    """What is in a data set after `make_dataset`.

    Attributes:
        songs: `split/name` of each song, sorted.
        dropped: what could not be written, sorted by name.
        kept: how many of the songs an earlier run had finished.
        left_out: what all songs do without because it is not installed, as sentences.
    """

    songs: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    kept: int
    left_out: tuple[str, ...] = ()


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
    chords: Sequence[Path] = (),
    chord_songs: int | None = None,
    voice: float = 0.0,
    records: float = 0.0,
    shard: Shard = WHOLE,
    splits: Sequence[float] = (0.8, 0.1, 0.1),
) -> DatasetReport:
    """Write and render songs. Equal arguments give equal bytes.

    The layout is `out/{train,valid,test}/song/{mixture,vocals,bass,drums,other}.wav`, 44.1 kHz,
    stereo, int16, with `song.json` and `song.mid`. The mixture is the exact sum of the stems. If
    `out` holds songs of an interrupted run with equal arguments, these songs are kept.

    Args:
        out: the folder to make.
        songs: how many songs to compose.
        seed: all chance depends on it.
        soundfonts: each part of a song is played by one of them at random; by default TimGM6mb.
        midi: also render all usable MIDI files below this folder.
        mma: let Debian's `mma` play instead of the built-in band, except the MIDI files.
        seconds: about how long a song is, and how much of a MIDI file is kept at most.
        audio_format: "wav" or "flac".
        styles: styles of the composed songs, in turn; by default each song draws its own.
        workers: how many processes render.
        chords: also arrange the songs whose progressions are in these files or folders.
        chord_songs: how many of these to arrange, chosen at even distances; by default all.
        voice: the share of the songs, from 0 to 1, whose vocals are sung by a voice.
        records: the share of the songs, from 0 to 1, that sound like records (records.py).
        shard: make only this part of the songs. The parts together are the whole data set.
        splits: shares of train, valid and test. MIDI files of one title are in one split, and so
            are progressions of one title.

    Raises:
        UserError: an argument is wrong, a soundfont is missing or invalid, a program that is asked
            for is not installed, no progression can be used, or `out` cannot be made or holds other
            songs. A bad MIDI file or progression is only reported, even if no MIDI file is left.
    """
    _check_arguments(songs, seed, seconds, audio_format, styles, workers, splits)
    _check_chords_and_shares(chords, chord_songs, voice, records)
    left_out = _check_programs(soundfonts, mma, voice, records)
    files = {} if midi is None else find_midi_files(Path(midi))
    songbook = read_songbooks(list(map(Path, chords)))
    same = copies(files)
    jobs = composed_jobs(songs, seed, styles, splits)
    jobs += midi_jobs([path for path in files if path not in same], seed, splits, jobs)
    jobs += chord_jobs(even_choice(songbook.songs, chord_songs), seed, splits, jobs)
    jobs = shard.share(jobs)
    require(
        bool(jobs),
        "there is no song to make; ask for songs, or give MIDI files or chord progressions",
    )
    dropped = [Dropped(str(path), f"it is a copy of {first.name}") for path, first in same.items()]
    dropped += [Dropped(song.name, song.reason) for song in songbook.left_out]
    settings = SongSettings(
        Path(out), tuple(map(Path, soundfonts)), seconds, audio_format, mma, voice, records
    )
    arguments = {
        "songs": songs,
        "seed": seed,
        "soundfonts": _named_hashes(settings.soundfonts),
        "midi": {path.relative_to(midi or ".").as_posix(): files[path] for path in files},
        "mma": mma,
        "seconds": seconds,
        "audio_format": audio_format,
        "styles": list(styles or ()),
        "shard": str(shard),
        "splits": list(splits),
        "chords": _named_hashes([file for path in chords for file in chord_files(Path(path))]),
        "chord_songs": chord_songs,
        "voice": voice,
        "singers": [speaker.name for speaker in available_speakers()] if voice else [],
        "records": records,
        "kits": [kit.name for kit in installed_kits()] if records else [],
    }
    with sole_owner(settings.out / LOCK_NAME, f"{out} is being made", "choose another folder"):
        _open_folder(settings.out, arguments, left_out)
        missing = [job for job in jobs if not settings.folder(job).is_dir()]
        warn_of_space(settings.out, len(missing) * _expected_bytes(settings))
        failed = _make_songs(missing, len(jobs), settings, workers)
    written = sorted(f"{job.split}/{job.name}" for job in jobs if job not in failed)
    dropped += [Dropped(str(job.midi or job.name), reason) for job, reason in failed.items()]
    dropped.sort(key=lambda drop: drop.name)
    return DatasetReport(tuple(written), tuple(dropped), len(jobs) - len(missing), left_out)


def _expected_bytes(settings: SongSettings) -> int:
    """Estimate the bytes of a song: four stems and the mixture, in stereo and 16 bits."""
    share = 1.0 if settings.audio_format == "wav" else FLAC_SHARE
    seconds = settings.seconds or USUAL_SECONDS
    return round(share * seconds * SAMPLE_RATE * 5 * 2 * 2)


def _make_songs(
    jobs: Sequence[SongJob], total: int, settings: SongSettings, workers: int
) -> dict[SongJob, str]:
    """Make the songs that are missing of `total`; return why those failed that did."""
    failed = {}
    try:
        with progress("making songs", total, total - len(jobs)) as bar:
            for job, reason in _run(jobs, settings, workers):
                bar.advance()
                if reason is not None:
                    failed[job] = reason
    finally:
        shutil.rmtree(settings.out / UNFINISHED, ignore_errors=True)
    return failed


def _check_programs(
    soundfonts: Sequence[Path], mma: bool, voice: float, records: float
) -> tuple[str, ...]:
    """Refuse what cannot be played, before anything is written; return what is left out."""
    left_out: tuple[str, ...] = ()
    if mma:
        require_mma()
    Orchestra(soundfonts).close()
    if voice:
        require_singing()
        left_out += missing_speakers()
    if records and not installed_kits():
        left_out += (
            "no sampled drum kit is installed, so soundfonts play the drums of the records: "
            "install Debian's packages hydrogen-drumkits and avldrums.lv2-soundfont for kits",
        )
    for sentence in left_out:
        err_console.print(f"warning: {sentence}")
    return left_out


def _check_arguments(
    songs: int,
    seed: int,
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
    for name, value, least, most in (
        ("songs", songs, 0, MOST_SONGS),
        ("seed", seed, 0, LARGEST_SEED),
        ("workers", workers, 1, MOST_WORKERS),
        ("seconds", seconds, 8, MOST_SECONDS),
    ):
        if value is not None and not least <= value <= most:
            raise UserError(f"{name} is {value}: give a number from {least} to {most}")
    require(
        len(splits) == 3 and min(splits) >= 0 and abs(sum(splits) - 1) < 1e-6,
        f"splits {tuple(splits)} must be three shares that add up to 1",
    )


def _check_chords_and_shares(
    chords: Sequence[Path], chord_songs: int | None, voice: float, records: float
) -> None:
    if chord_songs is not None:
        require(chord_songs >= 1, f"chord_songs is {chord_songs}: give 1 or more")
        require(bool(chords), "chord_songs limits the songs of chord files: give chords too")
    for name, share in (("voice", voice), ("records", records)):
        require(0 <= share <= 1, f"{name} is {share}: give a share of the songs, from 0 to 1")


def _open_folder(out: Path, arguments: Mapping[str, Any], left_out: Sequence[str]) -> None:
    """Make the data set's folder, or check that its songs were made with equal arguments."""
    if any((out / split).is_dir() and any((out / split).iterdir()) for split in SPLITS):
        known = _read_manifest(out / MANIFEST)
        require(known is not None, f"{out} already holds songs; choose an empty folder")
        other = [name for name, value in arguments.items() if (known or {}).get(name) != value]
        require(
            not other,
            f"{out} holds songs that were made with another value of {', '.join(other)}: give the "
            "same arguments to continue, or choose an empty folder",
        )
    if out.is_dir():
        # Songs beside the folders of the splits would never be found.
        others = {path.name for path in out.iterdir() if not path.name.startswith(".")}
        first = min(others - {*SPLITS, MANIFEST}, default=None)
        require(first is None, f"{out} already holds {first}; choose an empty folder")
    try:
        shutil.rmtree(out / UNFINISHED, ignore_errors=True)  # of a run that was killed
        (out / UNFINISHED).mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out} ({error.strerror})") from error
    with atomic_path(out / MANIFEST) as temporary:
        write_json(temporary, {**arguments, "left_out": left_out})


def _read_manifest(path: Path) -> dict[str, Any] | None:
    """Return the arguments that a manifest records; None where there is none to be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _named_hashes(paths: Sequence[Path]) -> list[dict[str, str]]:
    """Describe files by what does not change when they are moved."""
    return [{"name": path.name, "sha256": _sha256(path)} for path in paths]


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
