"""Make one song of a data set: write or read it, render it, and write its folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from shared.atomic import flush, full_disk_said
from shared.band.composing.arrangement import play_chart
from shared.band.composing.compose import compose_chart
from shared.band.mma.mma_charts import play_chart_with_mma
from shared.band.recording.production import produce
from shared.band.recording.records import Record, make_record
from shared.band.recording.render import SAMPLE_RATE, Orchestra
from shared.band.scores.midi_import import read_midi_score
from shared.band.scores.score import Score
from shared.band.scores.score_midi import write_score_midi
from shared.band.singing.singers import SungScore, sing_vocals
from shared.band.song_jobs import SongJob
from shared.band.songbook.charts import lay_out
from shared.dropped import reason_of
from shared.errors import UserError
from shared.sound.files import cause_of
from shared.sources import SOURCES

UNFINISHED = ".unfinished"  # folder for songs that are being written


@dataclass(frozen=True)
class SongSettings:
    """What all songs of a data set have in common.

    Attributes:
        out: the data set's folder.
        soundfonts: what plays the parts; by default TimGM6mb.
        seconds: about how long a song is, and how much of a MIDI file is kept.
        audio_format: "wav" or "flac".
        mma: whether MMA plays the songs that are not read from MIDI files.
        voice: the share of the songs whose vocals are sung.
        records: the share of the songs that sound like records.
    """

    out: Path
    soundfonts: tuple[Path, ...]
    seconds: float | None
    audio_format: str
    mma: bool
    voice: float = 0.0
    records: float = 0.0

    def folder(self, job: SongJob) -> Path:
        """Return the folder of a song, which appears whole or not at all."""
        return self.out / job.split / job.name


def make_song(job: SongJob, settings: SongSettings, orchestra: Orchestra) -> str | None:
    """Make one song. Returns the reason why it cannot be made, or None.

    Raises:
        NoSpaceError: the disk is full.
    """
    orchestra.renew()
    sequence = np.random.SeedSequence(job.seed)
    try:
        song = _sing(job, settings, _score(job, settings, sequence))
        record = _record(job, settings, song, orchestra, np.random.default_rng(sequence))
        _write(song, record, job, settings)
    except UserError as error:
        return reason_of(error)
    return None


def _score(job: SongJob, settings: SongSettings, sequence: np.random.SeedSequence) -> Score:
    if job.midi is not None:
        return read_midi_score(job.midi, settings.seconds)
    rng = np.random.default_rng(int(sequence.generate_state(1)[0]))
    if job.progression is None:
        chart = compose_chart(rng, job.style, settings.seconds)
    else:
        chart = lay_out(rng, job.progression, settings.seconds)
    return play_chart_with_mma(rng, chart) if settings.mma else play_chart(rng, chart)


def _sing(job: SongJob, settings: SongSettings, score: Score) -> SungScore:
    """Sing the vocals in a share of the songs; all else in a song does not depend on the share."""
    rng = np.random.default_rng([*job.seed, 1])
    if rng.random() < settings.voice:
        return sing_vocals(rng, score)
    return SungScore(score, {}, ())


def _record(
    job: SongJob,
    settings: SongSettings,
    song: SungScore,
    orchestra: Orchestra,
    rng: np.random.Generator,
) -> Record:
    """Play and mix a song, and make a share of the songs sound like records."""
    chance = np.random.default_rng([*job.seed, 2])
    if chance.random() < settings.records:
        return make_record(song.score, orchestra, chance, song.audio)
    return Record(song.score, produce(song.score, orchestra, rng, song.audio), {})


def _facts(song: SungScore, record: Record, job: SongJob) -> dict[str, Any]:
    """Return the content of `song.json`."""
    facts: dict[str, Any] = {**record.score.facts.to_dict(), "sung_vocals": bool(song.singers)}
    if record.report:
        facts["record"] = record.report
    if song.singers:
        facts["singers"] = song.singers
    if job.progression is not None:
        facts |= {"source": job.progression.source, "licence": job.progression.licence}
    return facts


def _write(song: SungScore, record: Record, job: SongJob, settings: SongSettings) -> None:
    stems = record.stems
    audio = {**dict(zip(SOURCES, stems.samples, strict=True)), "mixture": stems.mixture}
    target = settings.folder(job)
    try:
        with _unfinished_folder(job, settings) as temporary, full_disk_said(settings.out):
            for name, samples in audio.items():
                path = temporary / f"{name}.{settings.audio_format}"
                soundfile.write(path, samples, SAMPLE_RATE, "PCM_16")
            facts = json.dumps(_facts(song, record, job), indent=1)
            (temporary / "song.json").write_text(facts + "\n", encoding="utf-8")
            write_score_midi(temporary / "song.mid", record.score)
            for path in temporary.iterdir():
                flush(path)
            temporary.chmod(0o755)
            target.parent.mkdir(exist_ok=True)
            temporary.rename(target)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"cannot write {target} ({cause_of(error)})") from error


@contextmanager
def _unfinished_folder(job: SongJob, settings: SongSettings) -> Iterator[Path]:
    """Make a folder in which a song is written; what is left of it in the end is removed."""
    with full_disk_said(settings.out):
        temporary = tempfile.mkdtemp(prefix=f"{job.name}-", dir=settings.out / UNFINISHED)
    try:
        yield Path(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
