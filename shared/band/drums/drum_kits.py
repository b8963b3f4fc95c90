"""Drum parts played by sampled kits: Hydrogen's and the AVL soundfonts, where they are installed.

A kit's drums are found by their names and given General MIDI keys. Strokes for which a kit has no
drum are handed back, to be played by a soundfont.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from shared.band.drums.drum_samples import Drum
from shared.band.drums.drum_soundfont import read_drum_soundfont
from shared.band.drums.hydrogen import read_hydrogen_kit
from shared.band.recording.render import SAMPLE_RATE
from shared.band.scores.score import Part
from shared.music.notes import Note

_HYDROGEN = Path("/usr/share/hydrogen/data/drumkits")
_SOUNDFONTS = Path("/usr/share/sounds/sf2")
_HYDROGEN_COPYRIGHT = Path("/usr/share/doc/hydrogen-drumkits/copyright")
_AVL_COPYRIGHT = Path("/usr/share/doc/avldrums.lv2-soundfont/copyright")
_AVL = ("Black_Pearl_4_LV2.sf2", "Red_Zeppelin_4_LV2.sf2")
_LOUDEST = 0.5  # peak of the louder of kick and snare
# The highest peak of a drum as a share of that. Some kits have all samples at full scale.
_SHARES = {
    "rim": 0.6, "clap": 0.8, "tom_low": 1.0, "tom_mid": 0.9, "tom_high": 0.9, "hat": 0.35,
    "pedal": 0.3, "open": 0.4, "crash": 0.6, "crash2": 0.6, "ride": 0.4, "bell": 0.45,
    "splash": 0.5, "china": 0.5, "tambourine": 0.35, "cowbell": 0.4, "shaker": 0.3, "agogo": 0.4,
}  # fmt: skip

# What a drum's name says it is; the first pattern found in it decides. "" leaves a drum out.
_ROLES = (
    (r"choke|roll|flink|zap|fx|^click|semi|swish|^sample|hat free|tambourine pedal|^\d*$", ""),
    (r"crash/ride (bell|bow)", ""),
    (r"cowbell", "cowbell"),
    (r"(hat|hh).*\b(op|open|opened)\b|open.*(hat|hh)|\bohh\b", "open"),
    (r"(hat|hh).*\b(pd|pedal|foot)\b|pedal.*(hat|hh)", "pedal"),
    (r"hat|\bhh\b", "hat"),
    (r"crash/ride", "crash"),
    (r"bell$|ride.*(bell|cup)|bell \(", "bell"),
    (r"ride", "ride"),
    (r"splash", "splash"),
    (r"china", "china"),
    (r"crash|cymbal", "crash"),
    (r"kick|bass ?drum", "kick"),
    (r"stick|rim click", "rim"),
    (r"snare.*(rim|rock|edge)", "snare2"),
    (r"snare", "snare"),
    (r"clap", "clap"),
    (r"tom.*(low|floor)|(low|floor).*tom", "tom_low"),
    (r"tom.*(mid|2)|mid.*tom", "tom_mid"),
    (r"tom", "tom_high"),
    (r"tambourine", "tambourine"),
    (r"maraca|shaker", "shaker"),
    (r"agogo", "agogo"),
)
# For each General MIDI key the roles that may play it, the best first.
_KEYS = {
    35: "kick", 36: "kick", 37: "rim", 38: "snare snare2", 39: "clap", 40: "snare2 snare",
    41: "tom_low tom_mid tom_high", 43: "tom_low tom_mid tom_high", 45: "tom_mid tom_low tom_high",
    47: "tom_mid tom_high tom_low", 48: "tom_high tom_mid tom_low",
    50: "tom_high tom_mid tom_low", 42: "hat", 44: "pedal hat", 46: "open", 49: "crash",
    57: "crash2 crash", 51: "ride", 59: "ride", 53: "bell ride", 52: "china crash",
    55: "splash crash", 54: "tambourine", 56: "cowbell", 69: "shaker", 70: "shaker", 82: "shaker",
    67: "agogo", 68: "agogo",
}  # fmt: skip
# The key of an AVL kit for each role.
_AVL_ROLES = {
    "kick": 36, "rim": 37, "snare": 38, "clap": 39, "snare2": 40, "tom_low": 41, "hat": 42,
    "pedal": 44, "tom_mid": 45, "open": 46, "tom_high": 47, "crash": 49, "ride": 51, "bell": 53,
    "tambourine": 54, "splash": 55, "cowbell": 56, "crash2": 57, "china": 60, "shaker": 61,
}  # fmt: skip
_OPEN, _HATS = 46, (42, 44, 46)
_DAMPING = 0.015  # seconds that it takes to close the hi-hat


@dataclass(frozen=True)
class DrumKit:
    """An installed kit.

    Attributes:
        name: of its folder or file.
        licence: Debian's short name of it (such as GPL-2), or else what the kit says of itself.
        roles: what a drum is ("kick", "snare", ...) and the kit's drums of that sort.
    """

    name: str
    licence: str
    roles: Mapping[str, tuple[Drum, ...]]


@dataclass(frozen=True)
class KitPlay:
    """A drum part as played.

    Attributes:
        audio: float32 `[2, N]`.
        left: the part with the strokes that the kit has no drum for.
    """

    audio: np.ndarray
    left: Part


@cache
def installed_kits(
    hydrogen: Path = _HYDROGEN, soundfonts: Path = _SOUNDFONTS
) -> tuple[DrumKit, ...]:
    """Find the kits in two folders that have kick, snare and hi-hat.

    Args:
        hydrogen: a folder of Hydrogen's drum kits.
        soundfonts: a folder where the AVL kits may be.

    Returns:
        The kits by name. There may be none.
    """
    kits = []
    for file in hydrogen.glob("*/drumkit.xml"):
        kit = read_hydrogen_kit(file.parent)
        roles: dict[str, tuple[Drum, ...]] = {}
        for drum in kit.drums:
            if role := drum_role(drum.name):
                roles[role] = (*roles.get(role, ()), drum)
        if "kick" in roles and "hat" in roles and roles.keys() & {"snare", "snare2"}:
            name = file.parent.name
            licence = debian_licence(_HYDROGEN_COPYRIGHT, f"drumkits/{name}.h2drumkit")
            kits.append(DrumKit(name, licence or kit.licence or "unknown", roles))
    for path in (soundfonts / name for name in _AVL):
        if path.is_file():
            keys = read_drum_soundfont(path)
            roles = {role: (keys[key],) for role, key in _AVL_ROLES.items() if key in keys}
            licence = debian_licence(_AVL_COPYRIGHT, f"sf2/{path.name}")
            kits.append(DrumKit(path.stem, licence or "unknown", roles))
    return tuple(sorted(kits, key=lambda kit: kit.name.lower()))


def drum_role(name: str) -> str:
    """Tell from a drum's name what it is: "kick", "snare", "hat" and so on; empty if unknown."""
    lowered = name.lower()
    return next((role for pattern, role in _ROLES if re.search(pattern, lowered)), "")


def debian_licence(copyright_file: Path, packaged: str) -> str:
    """Look up the licence of a file of a Debian package.

    Args:
        copyright_file: the package's machine-readable copyright file. Of the paragraphs that name
            the file, the last one counts.
        packaged: the path of the file in the package's source.

    Returns:
        The short name of the licence, empty where none is stated.
    """
    try:
        text = copyright_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = ""
    for paragraph in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([\w-]+):((?:.|\n[ \t])*)", paragraph, re.MULTILINE))
        patterns = fields.get("Files", "").split()
        if any(fnmatch.fnmatchcase(packaged, pattern) for pattern in patterns):
            found = fields.get("License", "").strip().partition("\n")[0]
    return found


def play_kit(kit: DrumKit, part: Part, num_samples: int, rng: np.random.Generator) -> KitPlay:
    """Play a drum part by a kit.

    Args:
        kit: one of `installed_kits`.
        part: strokes on General MIDI keys.
        num_samples: the length of the result at 44.1 kHz; what sounds later is cut off.
        rng: chooses among a kit's drums of one sort, and makes no two strokes quite alike.

    Raises:
        UserError: a sample cannot be read.
    """
    chosen = _choose(kit, rng)
    gains = _balance(chosen, rng)
    audio = np.zeros((2, num_samples), np.float32)
    left: list[Note] = []
    hats = sorted(note.onset for note in part.notes if note.pitch in _HATS)
    for note in sorted(part.notes, key=lambda note: (note.onset, note.pitch)):
        role = next((role for role in _KEYS.get(note.pitch, "").split() if role in chosen), None)
        if role is None:
            left.append(note)
            continue
        loudness = note.velocity / 127 * 10 ** (rng.normal(0.0, 0.6) / 20)
        sound = chosen[role].stroke(float(np.clip(loudness, 0.0, 1.0))) * gains[role]
        start = max(round(note.onset * SAMPLE_RATE), 0)
        following = int(np.searchsorted(hats, note.onset, side="right"))
        if note.pitch == _OPEN and following < len(hats):
            sound = _damp(sound, round((hats[following] - note.onset) * SAMPLE_RATE))
        length = min(sound.shape[1], num_samples - start)
        if length > 0:
            audio[:, start : start + length] += sound[:, :length]
    return KitPlay(audio, replace(part, notes=tuple(left)))


def _choose(kit: DrumKit, rng: np.random.Generator) -> dict[str, Drum]:
    """Choose the drum that plays each role in this song."""
    chosen = {
        role: drums[int(rng.integers(len(drums)))] for role, drums in sorted(kit.roles.items())
    }
    others = [drum for drum in kit.roles.get("crash", ()) if drum != chosen["crash"]]
    if others:
        chosen.setdefault("crash2", others[0])
    return chosen


def _balance(chosen: Mapping[str, Drum], rng: np.random.Generator) -> dict[str, np.float32]:
    """Choose the gain of each drum, so that kick or snare is the loudest."""
    peaks = {role: float(np.abs(drum.stroke(1.0)).max()) or 1.0 for role, drum in chosen.items()}
    loudest = max(peaks.get(role, 0.0) for role in ("kick", "snare", "snare2"))
    return {
        role: np.float32(
            _LOUDEST / max(loudest, peak / _SHARES.get(role, 1.0)) * 10 ** (rng.normal(0, 1.0) / 20)
        )
        for role, peak in peaks.items()
    }


def _damp(sound: np.ndarray, samples: int) -> np.ndarray:
    """Stop a sound after so many samples."""
    fade = round(_DAMPING * SAMPLE_RATE)
    sound = sound[:, : samples + fade].copy()
    ending = np.linspace(1.0, 0.0, fade, dtype=np.float32)[: max(sound.shape[1] - samples, 0)]
    sound[:, samples:] *= ending
    return sound
