"""Make one song of a data set: compose or read it, render it, and write its folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from shared.band.compose import compose
from shared.band.midi_import import read_midi_score
from shared.band.mma import arrange
from shared.band.production import produce
from shared.band.render import SAMPLE_RATE, Orchestra
from shared.band.score import Score
from shared.band.score_midi import write_score_midi
from shared.band.song_jobs import SongJob
from shared.errors import UserError
from shared.sources import SOURCES

UNFINISHED = ".unfinished"  # folder for songs that are being written


@dataclass(frozen=True)
class SongSettings:
    """What all songs of a data set have in common.

    Attributes:
        out: the data set's folder.
        soundfonts: what plays the parts; by default TimGM6mb.
        seconds: about how long a composed song is, and how much of a MIDI file is kept.
        audio_format: "wav" or "flac".
        mma: whether MMA arranges the composed chords.
    """

    out: Path
    soundfonts: tuple[Path, ...]
    seconds: float | None
    audio_format: str
    mma: bool

    def folder(self, job: SongJob) -> Path:
        """Return the folder of a song, which appears whole or not at all."""
        return self.out / job.split / job.name


def make_song(job: SongJob, settings: SongSettings, orchestra: Orchestra) -> str | None:
    """Make one song. Returns the reason why it cannot be made, or None."""
    orchestra.renew()
    sequence = np.random.SeedSequence(job.seed)
    try:
        score = _score(job, settings, sequence)
        _write(score, job, settings, orchestra, np.random.default_rng(sequence))
    except UserError as error:
        return str(error)
    return None


def _score(job: SongJob, settings: SongSettings, sequence: np.random.SeedSequence) -> Score:
    if job.midi is not None:
        return read_midi_score(job.midi, settings.seconds)
    seed = int(sequence.generate_state(1)[0])
    score = compose(seed, style=job.style, seconds=settings.seconds)
    return arrange(score, np.random.default_rng([*job.seed, 1])) if settings.mma else score


def _write(
    score: Score,
    job: SongJob,
    settings: SongSettings,
    orchestra: Orchestra,
    rng: np.random.Generator,
) -> None:
    stems = produce(score, orchestra, rng)
    audio = {**dict(zip(SOURCES, stems.samples, strict=True)), "mixture": stems.mixture}
    target = settings.folder(job)
    temporary = Path(tempfile.mkdtemp(prefix=f"{job.name}-", dir=settings.out / UNFINISHED))
    try:
        for name, samples in audio.items():
            path = temporary / f"{name}.{settings.audio_format}"
            soundfile.write(path, samples, SAMPLE_RATE, "PCM_16")
        facts = json.dumps(score.facts.to_dict(), indent=1)
        (temporary / "song.json").write_text(facts + "\n", encoding="utf-8")
        write_score_midi(temporary / "song.mid", score)
        temporary.chmod(0o755)
        target.parent.mkdir(exist_ok=True)
        temporary.rename(target)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"cannot write {target} ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
