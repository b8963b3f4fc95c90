"""Arrangements by MMA (Musical MIDI Accompaniment), a program with hundreds of grooves.

The chords and the lead are those of the composer. MMA plays bass, drums and accompaniment to them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from shared.band.midi_import import read_parts
from shared.band.score import Part, Score
from shared.errors import UserError

_GROOVES = Path("/usr/share/mma/lib/stdlib")
_TIMEOUT = 60.0  # s
_TRIES = 8
# Grooves of a few bars, which are meant for the beginning, a fill or the end of a song.
_PASSING = re.compile(r"(Intro|End|Fill|Sus|Fade|Break|Stop)\d*$", re.IGNORECASE)


@cache
def grooves(beats: int) -> tuple[str, ...]:
    """List the names of MMA's standard grooves with `beats` quarters in a bar, sorted.

    Raises:
        UserError: MMA is not installed.
    """
    if shutil.which("mma") is None or not _GROOVES.is_dir():
        raise UserError("mma is not installed; install Debian's package mma, or leave out --mma")
    names: set[str] = set()
    for path in _GROOVES.glob("*.mma"):
        text = path.read_text(encoding="latin-1")
        time = re.search(r"^\s*Time\s+(\d+)", text, re.MULTILINE | re.IGNORECASE)
        if (int(time.group(1)) if time else 4) == beats and re.search(
            r"^\s*(Bass|Walk)", text, re.M
        ):
            names |= set(re.findall(r"^\s*DefGroove\s+(\w+)", text, re.MULTILINE | re.IGNORECASE))
    return tuple(sorted(name for name in names if not _PASSING.search(name)))


def arrange(score: Score, rng: np.random.Generator) -> Score:
    """Replace all parts of a score except the vocals by those of a random groove.

    A score in x/8 is returned as it is, because MMA's grooves do not fit it.

    Raises:
        UserError: MMA is not installed, or cannot play the groove.
    """
    names = grooves(score.time_signature[0])
    if score.time_signature[1] != 4 or not names:
        return score
    vocals = [part for part in score.parts if part.source == "vocals"]
    # Some grooves have no drums or no bass, because they accompany a soloist.
    for groove in rng.permutation(names)[:_TRIES].tolist():
        parts = [part for part in _play(groove, score) if part.source != "vocals"]
        if {"bass", "drums"} <= {part.source for part in parts}:
            return replace(score, style=f"mma {groove}", parts=(*vocals, *parts))
    raise UserError(f"{_TRIES} of mma's grooves had no bass or no drums")


def _play(groove: str, score: Score) -> tuple[Part, ...]:
    with tempfile.TemporaryDirectory(prefix="mma-") as folder:
        chart, midi = Path(folder, "chart.mma"), Path(folder, "chart.mid")
        chart.write_text(_chart(groove, score))
        command = ["mma", "-f", str(midi), str(chart)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise UserError(f"mma's groove {groove} took more than {_TIMEOUT:.0f} s") from error
        if run.returncode or not midi.exists():
            last = (run.stdout + run.stderr).strip().splitlines()[-1:]
            raise UserError(f"mma cannot play the groove {groove} ({' '.join(last)})")
        return read_parts(midi, end=score.duration)


def _chart(groove: str, score: Score) -> str:
    """Write MMA's text for the song: a numbered line for each bar, with a chord for each beat."""
    per_bar = score.time_signature[0]
    symbols = []
    for beat in score.beats:
        chord = next((c for c in reversed(score.chords) if c.start <= beat + 0.01), score.chords[0])
        symbols.append(chord.symbol)
    # The seed is fixed, so that MMA plays the same in every run.
    lines = ["RndSeed 1", f"Tempo {score.tempo:.3f}", f"Time {per_bar}", f"Groove {groove}"]
    for bar, first in enumerate(range(0, len(symbols), per_bar), start=1):
        lines.append(f"{bar} " + " ".join(symbols[first : first + per_bar]))
    return "\n".join(lines) + "\n"
