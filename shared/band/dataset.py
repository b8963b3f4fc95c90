"""A data set in MUSDB18-HQ's layout from composed songs and from the user's MIDI files.

A song depends on the seed and its own number (composed) or name (MIDI) only, so that neither the
count of songs nor of workers changes it; it appears in the data set whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from shared.band.compose import compose
from shared.band.midi_import import find_midi_files, lowest_voice, read_midi_score, song_title
from shared.band.mma import arrange, grooves
from shared.band.production import produce
from shared.band.render import SAMPLE_RATE, Orchestra, write_score_midi
from shared.band.score import Score
from shared.console import progress
from shared.errors import UserError
from shared.sources import SOURCES

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Dropped:
    """A song that was not written, by its file or number, and the reason as a sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class DatasetReport:
    """What `make_dataset` wrote: `songs` as split/name, sorted, and what it dropped."""

    songs: tuple[str, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True)
class _Job:
    """One song to make: a MIDI file, or a number to compose from."""

    name: str
    split: str
    seed: tuple[int, ...]
    midi: Path | None
    style: str | None


@dataclass(frozen=True)
class _Settings:
    out: Path
    soundfonts: tuple[Path, ...]
    seconds: float | None
    audio_format: str
    mma: bool


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
    """Write `songs` composed songs and, with `midi`, all usable MIDI files of a folder.

    Layout: `out/{train,valid,test}/song/{mixture,vocals,bass,drums,other}.wav`, 44.1 kHz stereo
    int16, the mixture being the exact sum of the stems, with `song.json` and `song.mid`.

    - `soundfonts`: each part of a song is played by one of them at random; by default TimGM6mb.
    - `mma`: let Debian's `mma` arrange the composed chords in place of the built-in band.
    - `seconds`: about how long a composed song is, and the most that is kept of a MIDI file.
    - `audio_format`: "wav" or "flac".
    - `styles`: the styles of the composed songs, in turn; by default each song draws its own.
    - `splits`: shares of train, valid and test. MIDI files of one title stay in one split.

    Equal arguments give equal bytes. Raises UserError for arguments that cannot be followed, a
    missing or invalid soundfont, and a folder that cannot be made; a bad MIDI file is only
    reported, even where none is left.
    """
    if audio_format not in ("wav", "flac"):
        raise UserError(f"there is no audio format {audio_format!r}; use wav or flac")
    for name, value, least in (
        ("songs", songs, 0),
        ("workers", workers, 1),
        ("seconds", seconds, 8),
    ):
        if value is not None and value < least:
            raise UserError(f"{name} is {value}: give {least} or more")
    if len(splits) != 3 or min(splits) < 0 or abs(sum(splits) - 1) > 1e-6:
        raise UserError(f"splits {tuple(splits)} must be three shares that add up to 1")
    jobs = _composed_jobs(songs, seed, styles, splits)
    dropped: list[Dropped] = []
    if midi is not None:
        midi_jobs, dropped = _midi_jobs(Path(midi), seed, splits)
        jobs += midi_jobs
    if not jobs:
        raise UserError("there is no song to make; ask for songs, or give a folder of MIDI files")
    out = Path(out)
    if any((out / split).is_dir() and any((out / split).iterdir()) for split in SPLITS):
        raise UserError(f"{out} already holds songs; choose an empty folder")
    if mma:
        grooves(beats=4)  # says so where mma is missing
    Orchestra(soundfonts).close()  # a bad soundfont should fail before anything is written
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out} ({error.strerror})") from error
    settings = _Settings(out, tuple(map(Path, soundfonts)), seconds, audio_format, mma)
    written = []
    with progress("Making songs", len(jobs)) as bar:
        for job, reason in _run(jobs, settings, workers):
            bar.advance()
            if reason is None:
                written.append(f"{job.split}/{job.name}")
            else:
                dropped.append(Dropped(str(job.midi or job.name), reason))
    return DatasetReport(tuple(sorted(written)), tuple(sorted(dropped, key=lambda drop: drop.name)))


def _composed_jobs(
    songs: int, seed: int, styles: Sequence[str] | None, splits: Sequence[float]
) -> list[_Job]:
    return [
        _Job(
            name=f"band-{index:05d}",
            split=_split((index + 0.5) / songs, splits),
            seed=(seed, index),
            midi=None,
            style=styles[index % len(styles)] if styles else None,
        )
        for index in range(songs)
    ]


def _midi_jobs(
    folder: Path, seed: int, splits: Sequence[float]
) -> tuple[list[_Job], list[Dropped]]:
    """A job for each distinct file; titles are put into splits whole, in the order of their hash."""
    files: dict[str, Path] = {}
    dropped: list[Dropped] = []
    for path in find_midi_files(folder):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        if content in files:
            dropped.append(Dropped(str(path), f"it is a copy of {files[content].name}"))
        else:
            files[content] = path
    titles: dict[str, list[Path]] = {}
    for path in files.values():
        titles.setdefault(song_title(path), []).append(path)
    jobs: list[_Job] = []
    names: set[str] = set()
    order = sorted(titles, key=lambda title: hashlib.sha256(title.encode()).hexdigest())
    for title in order:
        split = _split((len(jobs) + 0.5) / len(files), splits)
        for path in titles[title]:
            name = re.sub(r"[^\w\-]+", "_", path.stem).strip("_") or "song"
            while name.lower() in names:
                name += "_"
            names.add(name.lower())
            digest = hashlib.sha256(name.encode()).digest()
            jobs.append(_Job(name, split, (seed, int.from_bytes(digest[:8], "little")), path, None))
    return jobs, dropped


def _split(position: float, splits: Sequence[float]) -> str:
    """The split at `position`, 0 to 1, along the shares."""
    for name, end in zip(SPLITS, np.cumsum(splits), strict=True):
        if position < end:
            return name
    return SPLITS[-1]


def _run(
    jobs: Sequence[_Job], settings: _Settings, workers: int
) -> Iterator[tuple[_Job, str | None]]:
    """Each job as it is done, with the reason why its song was dropped, or None."""
    if workers == 1:
        with Orchestra(settings.soundfonts) as orchestra:
            for job in jobs:
                yield job, _make_song(job, settings, orchestra)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (settings,)) as pool:
        futures = {pool.submit(_work, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise UserError("a worker was killed, perhaps for memory; use fewer workers") from error


_worker: tuple[_Settings, Orchestra]


def _start_worker(settings: _Settings) -> None:
    global _worker
    _worker = (settings, Orchestra(settings.soundfonts))


def _work(job: _Job) -> str | None:
    return _make_song(job, *_worker)


def _make_song(job: _Job, settings: _Settings, orchestra: Orchestra) -> str | None:
    """Write one song. The reason why it was dropped, or None."""
    sequence = np.random.SeedSequence(job.seed)
    try:
        if job.midi is not None:
            score = read_midi_score(job.midi, settings.seconds)
        else:
            composer_seed = int(sequence.generate_state(1)[0])
            score = compose(composer_seed, style=job.style, seconds=settings.seconds)
            if settings.mma:
                score = arrange(score, np.random.default_rng([*job.seed, 1]))
        _write_song(score, job, settings, orchestra, np.random.default_rng(sequence))
    except UserError as error:
        return str(error)
    return None


def _write_song(
    score: Score,
    job: _Job,
    settings: _Settings,
    orchestra: Orchestra,
    rng: np.random.Generator,
) -> None:
    stems = produce(score, orchestra, rng)
    target = settings.out / job.split / job.name
    temporary = Path(tempfile.mkdtemp(prefix=f".{job.name}-", dir=settings.out))
    try:
        for name, samples in [
            *zip(SOURCES, stems.samples, strict=True),
            ("mixture", stems.mixture),
        ]:
            soundfile.write(
                temporary / f"{name}.{settings.audio_format}", samples, SAMPLE_RATE, "PCM_16"
            )
        song = score.to_song_json()
        song["bass_notes"] = [
            {"onset": round(n.onset, 6), "duration": round(n.duration, 6), "pitch": n.pitch}
            for n in lowest_voice(score.bass_notes)
        ]
        (temporary / "song.json").write_text(json.dumps(song, indent=1) + "\n")
        write_score_midi(temporary / "song.mid", score)
        temporary.chmod(0o755)
        target.parent.mkdir(exist_ok=True)
        temporary.rename(target)
    except OSError as error:
        raise UserError(f"cannot write {target} ({error.strerror})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
