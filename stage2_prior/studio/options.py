"""What a page can choose for a take: tone, sound, boldness, range and chords."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shared.errors import require
from shared.music.notes import NoteVocabulary
from stage2_prior.chord_line import names_file
from stage2_prior.harmony import Harmony, HarmonySource
from stage2_prior.performer.tone import TONES, UNKNOWN_TONE
from stage2_prior.pitch_range import E1, G3, require_range
from stage2_prior.studio.json_values import choice, number, text, whole_number

# The sounds that a page can name. Each is an option of --sound, or a program of the SoundFont that
# pretty_midi carries: a page must not be able to name a file of this machine.
SOUNDS: dict[str, str | int | None] = {
    "best": None,
    "codec": "paper",
    "upright": 32,
    "finger": 33,
    "pick": 34,
    "fretless": 35,
    "slap": 36,
    "synth": 38,
}
BOLDNESS = (0.0, 2.0)
# What a page can choose to happen to a song's own bass: whether it is taken out; None finds out
# whether there is one.
OWN_BASS: dict[str, bool | None] = {"auto": None, "remove": True, "leave": False}


@dataclass(frozen=True)
class TakeOptions:
    """How a take is composed and performed.

    Attributes:
        tone: one of TONES.
        sound: one of SOUNDS.
        boldness: a factor of the prior's temperature of notes; 1 is what was tuned, 0 takes the
            most probable notes.
        lowest: the lowest pitch, as a MIDI number.
        highest: the highest pitch.
        chords: a progression that the line plays; empty follows the chords that are heard.

    Raises:
        UserError: a value does not exist or is out of range.
    """

    tone: str = TONES[UNKNOWN_TONE]
    sound: str = "best"
    boldness: float = 1.0
    lowest: int = E1
    highest: int = G3
    chords: str = ""

    def __post_init__(self) -> None:
        """Check the range and the chords."""
        require_range(self.lowest, self.highest)
        self.harmony()

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "TakeOptions":
        """Read the options that a page sends. Those that it does not send have their defaults."""
        given = asdict(cls()) | dict(values)
        low, high = NoteVocabulary.LOW, NoteVocabulary.HIGH
        return cls(
            choice(given["tone"], "tone", TONES),
            choice(given["sound"], "sound", tuple(SOUNDS)),
            number(given["boldness"], "boldness", *BOLDNESS),
            whole_number(given["lowest"], "lowest pitch", low, high),
            whole_number(given["highest"], "highest pitch", low, high),
            text(given["chords"], "line of chords").strip(),
        )

    def harmony(self) -> Harmony:
        """Return where the chords come from.

        Raises:
            UserError: the chords cannot be read. The name of a file is no chord here, because a
                page must not read files of this machine.
        """
        if not self.chords:
            return Harmony()
        require(
            not names_file(self.chords),
            f"'{self.chords}' is not a line of chords: write one such as Am | F G | C",
        )
        harmony = Harmony.parse(self.chords)
        require(
            harmony.source is HarmonySource.GIVEN,
            f"'{self.chords}' is not a line of chords: write one such as Am | F G | C",
        )
        return harmony
