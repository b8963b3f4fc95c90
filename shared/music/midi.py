"""MIDI files: reading them, writing a bass line, and the rule for which track is the bass.

pretty_midi reads and writes them. symusic, which renders the synthetic band, cannot take its place:
of 100 files that were cut short it accepted 29 without notice and aborted the process on 8.
"""

import re
import warnings
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from shared.atomic import atomic_path
from shared.errors import UserError
from shared.music.notes import Note

if TYPE_CHECKING:
    import pretty_midi

FINGERED_BASS = 33  # General MIDI program, counted from 0
BASS_PROGRAMS = range(32, 40)  # General MIDI's basses
# Also in compounds such as "RiffBass" and "bass_2".
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")


def is_bass(instrument: "pretty_midi.Instrument") -> bool:
    """Whether a track of a MIDI file is the bass, by its program or a word of its name.

    The word is "bass", or "walk" as MMA names its walking basses. A bassoon, a contrabass section
    and a bass drum are not basses.
    """
    if instrument.is_drum:
        return False
    words = [word.lower() for word in _WORD.findall(instrument.name)]
    named = any(
        word in ("bass", "walk") and following not in ("drum", "drums")
        for word, following in pairwise([*words, ""])
    )
    return named or instrument.program in BASS_PROGRAMS


def parse_midi(path: Path) -> "pretty_midi.PrettyMIDI":
    """Parse a MIDI file.

    Raises:
        UserError: it cannot be parsed. The sentence does not name the file.
    """
    import pretty_midi

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pretty_midi.PrettyMIDI(str(path))
    except Exception as error:  # a damaged file makes the parser raise nearly anything
        cause = str(error) or type(error).__name__
        raise UserError(f"it is not a readable MIDI file ({cause})") from error


def read_midi(path: Path) -> list[Note]:
    """Read the bass line of a MIDI file, in order of onset.

    If no track is the bass, the line is made of all tracks but the drums.

    Raises:
        UserError: there is no such file, it is not a MIDI file, or it holds no such notes.
    """
    if not path.is_file():
        raise UserError(f"there is no MIDI file {path}: check the path")
    try:
        midi = parse_midi(path)
    except UserError as error:
        raise UserError(f"cannot use {path}, because {error}: give a .mid file") from error
    pitched = [instrument for instrument in midi.instruments if not instrument.is_drum]
    notes = [
        Note(float(note.start), float(note.end - note.start), note.pitch, note.velocity)
        for instrument in list(filter(is_bass, pitched)) or pitched
        for note in instrument.notes
    ]
    if not notes:
        raise UserError(f"{path} holds no notes outside the drums: give a file with a bass line")
    return sorted(notes, key=lambda note: (note.onset, note.pitch))


def write_midi(path: Path, notes: Iterable[Note], tempo: float = 120.0) -> None:
    """Write notes as one track of fingered bass. The file appears whole or not at all.

    Args:
        path: the file to write.
        notes: the bass line.
        tempo: in beats per minute; it does not change the times of the notes.
    """
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    bass = pretty_midi.Instrument(FINGERED_BASS, name="bass")
    bass.notes = [
        pretty_midi.Note(note.velocity, note.pitch, note.onset, note.end) for note in notes
    ]
    midi.instruments.append(bass)
    with atomic_path(path) as temporary:
        midi.write(str(temporary))
