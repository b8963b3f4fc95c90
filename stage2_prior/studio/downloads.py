"""The files of a take as a user takes them away."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np

from shared.json_files import write_json
from shared.music.midi import MidiScore, write_midi
from shared.sound.files import read_audio, write_wav
from shared.sound.integrated_loudness import integrated_loudness
from shared.sound.samples import Samples, unclipped
from stage2_prior.studio.sessions import Session
from stage2_prior.studio.song_facts import BACKING_FILE, chords_for_page
from stage2_prior.studio.take_files import BASS_FILE, take_folder

WORD_SIZE = "PCM_24"
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
            "bass.wav": lambda path: self._write_sound(path, self._bass()),
            "backing.wav": lambda path: self._write_sound(path, self._backing()),
            "mix.wav": lambda path: self._write_sound(path, self._mix()[0]),
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
        return integrated_loudness(self._backing() + self._bass(), self.song.sample_rate)

    def _bass(self) -> Samples:
        folder = take_folder(self.session.folder, self.take.number)
        gain = np.float32(10 ** (self.level / 20))
        return unclipped(read_audio(folder / BASS_FILE).samples * gain)[0]

    def _backing(self) -> Samples:
        return read_audio(self.session.folder / BACKING_FILE).samples

    def _mix(self) -> tuple[Samples, float]:
        """Return the mix and its scale, which keeps it from clipping."""
        return unclipped(self._backing() + self._bass())

    def _write_sound(self, path: Path, samples: Samples) -> None:
        write_wav(path, samples, self.song.sample_rate, WORD_SIZE)

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
                "tempo": round(song.grid.tempo, 2),
                "meter": song.grid.meter,
                "key": take.key,
                "beats": song.grid.beats.round(4).tolist(),
                "downbeats": song.grid.downbeats.round(4).tolist(),
                "chords": chords_for_page(take.chords),
                "take": take.number,
                "made_of_take": take.parent,
                "written_anew": [str(each) for each in take.ranges],
                "notes_edited": take.edited,
                "options": asdict(take.options),
                "notes": [asdict(note) for note in take.notes],
                "level_change_db": self.level,
                "mix_scale": self._mix()[1],
            },
        )
