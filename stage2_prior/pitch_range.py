"""The range of pitches that a line may have."""

from shared.errors import require
from shared.music.notes import NoteVocabulary
from shared.music.pitch_names import pitch_name

E1, G3 = 28, 55  # the usual range of a bass


def require_range(lowest: int, highest: int) -> None:
    """Check the range of a line, in MIDI numbers.

    Raises:
        UserError: the range is empty or beyond what a bass plays.
    """
    low, high = NoteVocabulary.LOW, NoteVocabulary.HIGH
    require(
        low <= lowest <= highest <= high,
        f"the range of the line is {pitch_name(lowest)} to {pitch_name(highest)}, but it must rise "
        f"and lie within {pitch_name(low)} to {pitch_name(high)}",
    )
