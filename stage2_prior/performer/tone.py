"""Classes of bass tone: how the strings are struck, and on which instrument.

A tone is the number of its name in TONES, and UNKNOWN_TONE where nothing is known.
"""

TONES = ("unknown", "fingered", "picked", "slap", "fretless", "upright", "synth")
UNKNOWN_TONE = 0

_OF_PROGRAM = {
    32: "upright",  # General MIDI: Acoustic Bass
    33: "fingered",  # Electric Bass (finger)
    34: "picked",  # Electric Bass (pick)
    35: "fretless",  # Fretless Bass
    36: "slap",  # Slap Bass 1
    37: "slap",  # Slap Bass 2
    38: "synth",  # Synth Bass 1
    39: "synth",  # Synth Bass 2
}


def tone_of_program(program: int | None) -> int:
    """Return the tone of a General MIDI program, counted from 0; UNKNOWN_TONE if it is no bass."""
    return TONES.index(_OF_PROGRAM.get(-1 if program is None else program, "unknown"))
