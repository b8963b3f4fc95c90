"""Read and write bass lines as MIDI files."""

from collections.abc import Iterable
from pathlib import Path

from shared.atomic import atomic_path
from shared.errors import UserError
from shared.music.notes import Note

FINGERED_BASS = 33  # General MIDI program, counted from 0
BASS_PROGRAMS = range(32, 40)


def write_midi(path: Path, notes: Iterable[Note], tempo: float = 120.0) -> None:
    """Write the notes as one fingered bass track, atomically. tempo: beats per minute."""
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    bass = pretty_midi.Instrument(FINGERED_BASS, name="bass")
    bass.notes = [
        pretty_midi.Note(note.velocity, note.pitch, note.onset, note.onset + note.duration)
        for note in notes
    ]
    midi.instruments.append(bass)
    with atomic_path(path) as temporary:
        midi.write(str(temporary))


def read_midi(path: Path) -> list[Note]:
    """Notes of a MIDI file in order of onset.

    Of a song the bass tracks, known by program or name; where it has none, all tracks but drums.

    Raises:
        UserError: no such file, not a MIDI file, or no note in it.
    """
    import pretty_midi

    if not path.is_file():
        raise UserError(f"there is no MIDI file {path}: check the path")
    try:
        midi = pretty_midi.PrettyMIDI(str(path))
    except Exception as error:  # mido raises whatever the damage leads to
        raise UserError(f"cannot read {path} as MIDI ({error}): give a .mid file") from error
    pitched = [instrument for instrument in midi.instruments if not instrument.is_drum]
    bass = [i for i in pitched if i.program in BASS_PROGRAMS or "bass" in i.name.lower()]
    notes = [
        Note(float(note.start), float(note.end - note.start), note.pitch, note.velocity)
        for instrument in bass or pitched
        for note in instrument.notes
    ]
    if not notes:
        raise UserError(f"{path} holds no notes outside the drums: give a file with a bass line")
    return sorted(notes, key=lambda note: (note.onset, note.pitch))
