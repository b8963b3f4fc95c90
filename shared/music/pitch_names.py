"""Names of pitches, such as E1 for MIDI number 28, the lowest string of a bass."""

from shared.errors import UserError
from shared.music.chord import SHARP_NAMES


def pitch_name(pitch: int) -> str:
    """Return the name of a MIDI pitch, such as `E1` for 28."""
    return f"{SHARP_NAMES[pitch % 12]}{pitch // 12 - 1}"


def parse_pitch(text: str) -> int:
    """Read the name of a pitch, such as `E1` or `Bb2`, or a MIDI number.

    Raises:
        UserError: it is neither.
    """
    import pretty_midi

    try:
        return int(text) if text.strip().isdecimal() else int(pretty_midi.note_name_to_number(text))
    except (ValueError, KeyError):
        raise UserError(
            f"'{text}' is not a pitch: give a name such as E1 or Bb2, or a MIDI number"
        ) from None
