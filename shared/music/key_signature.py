"""The key signature of a key: how many sharps or flats it has."""

import re

_KEY = re.compile(r"([A-G])([#b♯♭]?)[\s:]*([A-Za-z]*)\s*")
# How many fifths the signature of a mode is from that of the major key on the same tonic.
_MODES = {
    **dict.fromkeys(("", "maj", "major", "ionian"), 0),
    **dict.fromkeys(("m", "min", "minor", "aeolian"), -3),
    "lydian": 1,
    "mixolydian": -1,
    "dorian": -2,
    "phrygian": -4,
    "locrian": -5,
}
_FIFTHS = "FCGDAEB"  # natural tonics, in fifths from F
# The tonics from seven flats to seven sharps.
_MAJOR = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
_MINOR = ("Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#")


def key_signature(key: str) -> str | None:
    """Return the major or minor key whose signature a key has, such as `Bb` or `G#m`.

    Only minor keys have the name of a minor key; modes have that of the major key with the same
    tones. Keys that would need more than seven sharps or flats are spelled the other way.

    Args:
        key: a tonic and a mode, such as `G# minor` or `D dorian`.

    Returns:
        The name, or None where the mode is not known.
    """
    match = _KEY.fullmatch(key)
    mode = match and _MODES.get("major" if match[3] == "M" else match[3].lower())
    if match is None or mode is None:
        return None
    sharps = _FIFTHS.index(match[1]) - 1 + mode
    sharps += 7 * ((match[2] in ("#", "♯")) - (match[2] in ("b", "♭")))
    if abs(sharps) > 7:
        sharps -= 12 if sharps > 0 else -12
    return f"{_MINOR[sharps + 7]}m" if mode == _MODES["minor"] else _MAJOR[sharps + 7]
