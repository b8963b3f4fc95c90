"""Play and mix a score so that it sounds like a record.

Sampled kits or an electronic kick play the drums, guitars and basses go through amplifiers, and the
whole is mastered. A kit is used only where one is installed (see drum_kits.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shared.band.drums.drum_kits import installed_kits, play_kit
from shared.band.drums.electronic_kicks import draw_kick, four_on_the_floor, play_kicks, split_kicks
from shared.band.recording.amplifiers import amplify, has_amplifier, program_to_play
from shared.band.recording.mastering import kick_onsets, master, retimed
from shared.band.recording.production import Stems, mix, quantize
from shared.band.recording.render import SAMPLE_RATE, Orchestra
from shared.band.scores.score import Part, Score

ELECTRONIC_KICKS = 0.25  # share of the records whose kick is an electronic one
SAMPLED_KITS = 0.75  # share of the records whose drums are a sampled kit, where there is one


@dataclass(frozen=True)
class Record:
    """A score that was played, mixed and mastered.

    Attributes:
        score: the score as it sounds: with the times of the record, and the kicks that were played.
        stems: the stems.
        report: what was done, in JSON's types.
    """

    score: Score
    stems: Stems
    report: dict[str, Any]


@dataclass(frozen=True)
class _PlayedPart:
    part: Part
    audio: np.ndarray
    report: dict[str, Any]


def make_record(
    score: Score,
    orchestra: Orchestra,
    rng: np.random.Generator,
    recorded: Mapping[int, np.ndarray],
) -> Record:
    """Play, mix and master a score.

    Args:
        score: what to play.
        orchestra: the instruments that neither a kit nor an amplifier replaces.
        rng: the source of all chance.
        recorded: see `shared.band.recording.production.produce`.

    Raises:
        UserError: a part stays silent (see Orchestra.play), or a sample of a kit cannot be read.
    """
    playing, mixing, mastering = rng.spawn(3)
    num_samples = round(score.duration * SAMPLE_RATE)
    parts, audio, report = list(score.parts), dict(recorded), {}
    for index, part in enumerate(score.parts):
        played = None
        if index not in recorded and part.is_drum:
            played = _play_drums(part, score, orchestra, playing, num_samples)
        elif index not in recorded and has_amplifier(part.program):
            played = _play_amplified(part, orchestra, playing, num_samples)
        if played is not None:
            parts[index], audio[index] = played.part, played.audio
            report[part.name] = played.report
    mixed = mix(score, orchestra, mixing, audio)
    mastered = master(mixed, kick_onsets(parts), mastering)
    return Record(
        retimed(replace(score, parts=tuple(parts)), mastered.time_scale),
        quantize(mastered.stems, mixing),
        {"parts": report, "mastering": mastered.report},
    )


def _play_drums(
    part: Part, score: Score, orchestra: Orchestra, rng: np.random.Generator, num_samples: int
) -> _PlayedPart:
    """Play drums by an electronic kick and a sampled kit, each by chance, and soundfonts."""
    report: dict[str, Any] = {}
    audio = np.zeros((2, num_samples), np.float32)
    rest = part
    if rng.random() < ELECTRONIC_KICKS:
        kick = draw_kick(rng)
        part = four_on_the_floor(part, score.beats) if kick.kind == "house" else part
        kicks, rest = split_kicks(part)
        audio += play_kicks(kick, kicks, num_samples)
        report |= kick.report
    kits = installed_kits()
    if kits and rng.random() < SAMPLED_KITS:
        kit = kits[int(rng.integers(len(kits)))]
        played = play_kit(kit, rest, num_samples, rng)
        audio += played.audio
        rest = played.left
        report |= {"kit": kit.name, "licence": kit.licence}
    if rest.notes:
        audio += orchestra.play(rest, int(rng.integers(len(orchestra))), num_samples)
    return _PlayedPart(part, audio, report)


def _play_amplified(
    part: Part, orchestra: Orchestra, rng: np.random.Generator, num_samples: int
) -> _PlayedPart:
    """Play a guitar or a bass through an amplifier."""
    dry = replace(part, program=program_to_play(part.program))
    audio = orchestra.play(dry, int(rng.integers(len(orchestra))), num_samples)
    amplified = amplify(audio, part.program, rng)
    return _PlayedPart(part, amplified.audio, amplified.report)
