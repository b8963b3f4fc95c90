"""The files of a take as a user takes them away."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np

from shared.json_files import write_json
from shared.music.midi import MidiScore, write_midi
from shared.sound.decibels import factor
from shared.sound.files import read_audio, write_wav
from shared.sound.integrated_loudness import integrated_loudness
from shared.sound.samples import Samples
from stage2_prior.delivery import SOUNDS
from stage2_prior.music_figures import music_figures
from stage2_prior.peaks import TamedParts, tame_peaks
from stage2_prior.studio.sessions import Session
from stage2_prior.studio.song_facts import BACKING_FILE, WORD_SIZE
from stage2_prior.studio.take_files import BASS_FILE, take_folder

ZIP = "zip"


class Download:
    """What can be taken away of one take, at one level of the bass."""

    def __init__(self, session: Session, take: int, level: float) -> None:
        """Choose a take of a session.

        Args:
            session: the session.
            take: the number of the take.
            level: what the level of the bass is changed by, in dB.

        Raises:
            UserError: there is no such take.
        """
        self.session, self.song, self.take = session, session.facts, session.take(take)
        self.level = level
        self.kinds: dict[str, Callable[[Path], None]] = {
            **{f"{part}.wav": partial(self._write_sound, part) for part in SOUNDS},
            "mid": self._write_midi,
            "json": self._write_json,
        }

    def write(self, kind: str, folder: Path) -> Path:
        """Write a file of one of `kinds`, or all of them as a zip, into a folder."""
        name = f"{self.session.song} - take {self.take.number}"
        if kind != ZIP:
            path = folder / f"{name}.{kind}"
            self.kinds[kind](path)
            return path
        with ZipFile(folder / f"{name}.zip", "w", ZIP_STORED) as archive:
            for each in self.kinds:
                path = self.write(each, folder)
                archive.write(path, path.name)
                path.unlink()
        return folder / f"{name}.zip"

    def loudness(self) -> float | None:
        """Return the loudness of the mix in LUFS, before it is kept from clipping."""
        return integrated_loudness(self._parts()["mix"], self.song.sample_rate)

    def _parts(self) -> dict[str, Samples]:
        """Return bass, backing and mix at the level of the song."""
        folder = take_folder(self.session.folder, self.take.number)
        bass = read_audio(folder / BASS_FILE).samples * np.float32(factor(self.level))
        backing = read_audio(self.session.folder / BACKING_FILE).samples
        return dict(zip(SOUNDS, (bass, backing, backing + bass), strict=True))

    @cached_property
    def _tamed(self) -> TamedParts:
        """The same as they are written, all softer by the same amount where one would clip."""
        return tame_peaks(self._parts(), self.song.sample_rate, "rescale")

    def _write_sound(self, part: str, path: Path) -> None:
        write_wav(path, self._tamed.parts[part], self.song.sample_rate, WORD_SIZE)

    def _write_midi(self, path: Path) -> None:
        score = MidiScore(self.song.grid, self.take.key, self.take.chords)
        write_midi(path, self.take.notes, score)

    def _write_json(self, path: Path) -> None:
        song, take = self.song, self.take
        write_json(
            path,
            {
                "song": self.session.song,
                "sample_rate": song.sample_rate,
                "samples": song.samples,
                "bass_removed": song.bass_removed,
                **music_figures(song.grid, take.chords, take.key),
                "take": take.number,
                "made_of_take": take.parent,
                "written_anew": [str(each) for each in take.ranges],
                "notes_edited": take.edited,
                "options": asdict(take.options),
                "notes": [asdict(note) for note in take.notes],
                "level_change_db": self.level,
                "peaks": asdict(self._tamed.report),
            },
        )
