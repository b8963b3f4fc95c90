"""MMA's library of grooves: which there are, in which meter and tempo, and what they play.

MMA (Musical MIDI Accompaniment) has a file of grooves for each style. The grooves of a file are
variations of one another, with introductions, fills and endings. What a file says of itself is read
from its text. Only MMA can tell which tracks a groove has, which takes about 0.1 s for a file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shared.errors import UserError
from shared.scratch import ScratchFolder

LIBRARY = Path("/usr/share/mma/lib")
_TIMEOUT = 60.0
# Grooves of a few bars that begin, fill and end a song: by their names, or what is said of them.
_INTRO, _FILL, _END = (
    (re.compile(rf"({name})([A-D]{{0,2}}|\d*)$", re.IGNORECASE), re.compile(said, re.IGNORECASE))
    for name, said in (
        ("Intro", r"\bintro(duction)?\b"),
        ("Fill|Break", r"\bfill(-in)?\b"),
        ("End|Ending|Fade|Stop|Metronome", r"\bending\b"),
    )
)
_METER = re.compile(r"\b\d+/[48]\b")
# Beats a minute at which grooves are at home, by words of their files; the first match holds.
_TEMPO_WORDS: tuple[tuple[str, tuple[float, float]], ...] = (
    (r"\b(bpm|tempos?)\b", (0.0, 0.0)),  # numbers, if there are any
    (r"double\b.*\btempo|2/4", (150.0, 280.0)),
    (r"slow|ballad|serenade|spiritual|lullaby|hymn|mellow|nite", (54.0, 104.0)),
    (r"fast|quick|bebop|charleston|dixie|polka|jive|viennese|vienese", (150.0, 260.0)),
    (r"swing|bop|jazz|big ?band|foxtrot|boogie|boggie|twist|rock.?n.?roll|punk", (92.0, 210.0)),
)
_NEEDED = ("Bass|Walk", "Drum")
_ANY_TEMPO = (72.0, 176.0)
# From here on a groove in 4/4 may be meant for songs at half the tempo.
_FAST = 140.0
# Felt beats a minute of 6/8 and 12/8, and of their ballads.
_COMPOUND, _COMPOUND_BALLAD = (48.0, 140.0), (36.0, 84.0)


@dataclass(frozen=True, eq=False)
class GrooveFile:
    """A file of the library. `path` is what MMA calls it, such as `stdlib/swing`.

    Its bars have `beats` of MMA's beats. `meters` it can play -> how many felt beats such a bar is
    there: 6/8 has two, which may be written as 2, 3, 4 or 6. `tempo`: the range of MMA's beats a
    minute at which it is at home. `grooves`: names -> descriptions. `complete`: whether its text
    speaks of a bass and of drums.
    """

    path: str
    beats: float
    meters: dict[str, int]
    tempo: tuple[float, float]
    about: str
    grooves: dict[str, str]
    complete: bool


@dataclass(frozen=True)
class Family:
    """The grooves of a file that have a bass and drums: those that carry a song, and the others."""

    file: GrooveFile
    carrying: tuple[str, ...]
    fills: tuple[str, ...]
    intros: tuple[str, ...]


def installed() -> bool:
    """Whether MMA and its library are there."""
    return shutil.which("mma") is not None and LIBRARY.is_dir()


def require_mma() -> None:
    """Raise UserError, with what to install, where MMA is missing."""
    if not installed():
        raise UserError("mma is not installed; install Debian's package mma, or leave out --mma")


@cache
def library() -> tuple[GrooveFile, ...]:
    """List the files of the library that define grooves, sorted.

    Raises:
        UserError: MMA is missing.
    """
    require_mma()
    found = (_read_file(path) for path in sorted(LIBRARY.glob("*/*.mma")))
    return tuple(file for file in found if file.grooves)


def files_for(meter: str, tempo: float | None = None) -> tuple[tuple[GrooveFile, int], ...]:
    """List the files that play `meter` at `tempo` (felt beats a minute).

    Each comes with the number of felt beats in one of its bars. Of a groove that is written at
    twice the tempo, two bars are one bar of the song. If no tempo is given, or no file suits it,
    all files that play the meter are returned.
    """
    playing = [file for file in library() if file.complete and meter in file.meters]
    found = []
    for file in playing:
        felt = file.meters[meter]
        halved = felt // 2 if meter == "4/4" and file.tempo[0] >= _FAST else felt
        for beats in (felt, halved):
            if tempo is not None and file.tempo[0] <= tempo * file.beats / beats <= file.tempo[1]:
                found.append((file, beats))
                break
    return tuple(found or ((file, file.meters[meter]) for file in playing))


@cache
def family(file: GrooveFile) -> Family:
    """Tell what the grooves of a file are for, and which of them have a bass and drums.

    Raises UserError where MMA cannot read the file.
    """
    with ScratchFolder("mma") as folder:
        run = run_mma(Path(folder), "-Djs", str(LIBRARY / f"{file.path}.mma"))
    try:
        listed = json.loads(run[run.index("[") :])
    except ValueError as error:
        raise UserError(f"mma cannot list the grooves of {file.path}") from error
    tracks = {
        str(groove["groove"]).lower(): {
            str(track["track"]).split("-")[0]
            for track in groove["tracks"]
            if any(str(bar).strip().lower() != "z" for bar in track["sequence"])
        }
        for groove in listed
    }

    def complete(name: str) -> bool:
        # MMA does not list grooves without a description; what they play shows when they play it.
        kinds = tracks.get(name.lower(), {"BASS", "DRUM"})
        return "DRUM" in kinds and bool(kinds & {"BASS", "WALK"})

    def of(kind: tuple[re.Pattern[str], re.Pattern[str]]) -> tuple[str, ...]:
        name, said = kind
        return tuple(n for n in names if name.search(n) or said.search(file.grooves[n]))

    # A fill in another meter would shift the bars.
    names = [
        name for name in file.grooves if complete(name) and not _METER.search(file.grooves[name])
    ]
    intros, fills, ends = of(_INTRO), of(_FILL), of(_END)
    carrying = tuple(name for name in names if name not in (*intros, *fills, *ends))
    return Family(file, carrying, fills, intros)


def run_mma(folder: Path, *arguments: str) -> str:
    """Run MMA in a temporary `folder` and return what it prints.

    No settings of the user's are read, and nothing is written elsewhere. Raises UserError where MMA
    is missing, fails, or takes more than a minute.
    """
    require_mma()
    settings = folder / "settings"
    settings.write_text("// none\n")
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
    }
    try:
        run = subprocess.run(
            ["mma", "-i", str(settings), *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"mma took more than {_TIMEOUT:.0f} s") from error
    printed = run.stdout + run.stderr
    if run.returncode:
        raise UserError(f"mma failed ({' '.join(printed.split()[-20:])})")
    return printed


def _read_file(path: Path) -> GrooveFile:
    text = path.read_text(encoding="latin-1").replace("\\\n", " ")
    doc = re.search(r"^\s*Begin Doc\s*$(.*?)^\s*End\b", text, re.MULTILINE | re.DOTALL | re.I)
    about = " ".join(doc[1].split()) if doc else ""
    plain = text.replace(doc[0], "") if doc else text
    plain = re.sub(r"//.*", "", plain)
    grooves = {
        name: " ".join(words.split())
        for name, words in re.findall(r"^\s*DefGroove\s+(\S+)([^\n]*)$", plain, re.M | re.I)
    }
    beats, meters = _meters(path.stem, plain)
    tempo = _tempo(path.stem, about)
    if "6/8" in meters:
        low, high = _COMPOUND_BALLAD if "ballad" in path.stem else _COMPOUND
        tempo = (low * beats / meters["6/8"], high * beats / meters["6/8"])
    tracks = [re.search(rf"^\s*(Begin\s+)?({kind})\b", plain, re.M | re.I) for kind in _NEEDED]
    name = f"{path.parent.name}/{path.stem}"
    return GrooveFile(name, beats, meters, tempo, about, grooves, all(tracks))


def _meters(stem: str, text: str) -> tuple[float, dict[str, int]]:
    time = re.search(r"^\s*Time\s+([\d./]+)", text, re.M | re.I)
    signature = re.search(r"^\s*TimeSig\s+(\d+)[ /]+(\d+)", text, re.M | re.I)
    written = time[1] if time else "4"
    six_eight = "6/8" in (written, "/".join(signature.groups()) if signature else "")
    # MMA takes 6/8 for six beats, and n/4 for n.
    count = 6.0 if written == "6/8" else float(written.split("/")[0])
    if six_eight or count == 6:
        return count, {"6/8": 2, "12/8": 2}
    if "128" in stem:
        return count, {"12/8": 4, "4/4": 4}
    return count, {4.0: {"4/4": 4}, 3.0: {"3/4": 3}, 5.0: {"5/4": 5}}.get(count, {})


def _tempo(stem: str, about: str) -> tuple[float, float]:
    """Return the range of tempi that the name and the description of a file suggest."""
    words = f"{stem} {about}".lower()
    for pattern, bounds in _TEMPO_WORDS:
        if not re.search(pattern, words):
            continue
        if bounds[1]:
            return bounds
        between = re.search(r"\b(\d{2,3})\s*(?:-|to|and|=)\s*(\d{2,3})\b", words)
        around = re.search(r"(?:around|tempo of)\s+(\d{2,3})\b|\b(\d{2,3})\s*bpm", words)
        if between:
            return 0.9 * float(between[1]), 1.1 * float(between[2])
        if around:
            tempo = float(around[1] or around[2])
            return 0.8 * tempo, 1.25 * tempo
    return _ANY_TEMPO
