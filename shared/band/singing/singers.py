"""The vocals of a score, sung by a voice instead of played by a General MIDI program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from shared.band.recording.render import SAMPLE_RATE
from shared.band.scores.score import Score
from shared.band.singing.speakers import SPEAKERS, available_speakers
from shared.band.singing.voice import sing, singing_available
from shared.errors import require

# General MIDI's "voice oohs" stand for the voice in the song's MIDI file.
VOICE_PROGRAM = 53


@dataclass(frozen=True)
class SungScore:
    """A score some of whose parts are sung.

    Attributes:
        score: its sung parts have the notes that the singers sing, which are within their ranges.
        audio: for the index of each sung part, float32 `[2, N]` at SAMPLE_RATE.
        singers: for each sung part, the name of the speaker and the licence of that voice.
    """

    score: Score
    audio: Mapping[int, np.ndarray]
    singers: tuple[dict[str, str], ...]


def require_singing() -> None:
    """Check that a voice can sing.

    Raises:
        UserError: pyworld or all speech synthesisers are missing.
    """
    require(
        singing_available(),
        "a voice needs pyworld (from pip) and flite or espeak-ng (Debian's packages) to sing: "
        "install what is missing, or leave out --voice",
    )


def missing_speakers() -> tuple[str, ...]:
    """Say in a sentence for each speech synthesiser that lacks voices what is left out."""
    missing = [speaker for speaker in SPEAKERS if speaker not in available_speakers()]
    programs = dict.fromkeys(speaker.program for speaker in missing)
    return tuple(
        f"{sum(speaker.program == program for speaker in missing)} of {len(SPEAKERS)} singers are "
        f"left out, because {program} or its voices are not installed"
        for program in programs
    )


def sing_vocals(rng: np.random.Generator, score: Score) -> SungScore:
    """Let a singer sing each vocal part of a score; another singer for each part.

    Raises:
        UserError: pyworld or the speech synthesisers are missing, or a synthesiser fails.
    """
    num_samples = round(score.duration * SAMPLE_RATE)
    parts = list(score.parts)
    audio: dict[int, np.ndarray] = {}
    singers = []
    for index, part in enumerate(parts):
        if part.source != "vocals" or not part.notes:
            continue
        singing = sing(part.notes, num_samples, rng)
        # The voice glides by itself.
        parts[index] = replace(part, program=VOICE_PROGRAM, notes=singing.notes, bends=())
        audio[index] = singing.audio
        singers.append({name: str(singing.report[name]) for name in ("speaker", "licence")})
    return SungScore(replace(score, parts=tuple(parts)), audio, tuple(singers))
