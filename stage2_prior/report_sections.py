"""What `evaluate-prior` makes of its measurements: the figures of its steps and of the ladder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.bass_metrics import BassFigures
from stage2_prior.bootstrap import Estimate, bootstrap_mean
from stage2_prior.clips import summarise
from stage2_prior.frechet import frechet_distance
from stage2_prior.likelihood import SongLikelihood
from stage2_prior.prior_report import OURS, OURS_FROM_MIX, SHARES, ComparisonRow, Section

LOUDNESS_TOLERANCE_DB = 6.0
SILENT_DB = -60.0
PAIRED = ("root_on_downbeats", "chord_tones", "grid_f1")


@dataclass(frozen=True, eq=False)
class Judged:
    """A bass's figures, and its embedding (frechet.py)."""

    figures: BassFigures
    embedded: npt.NDArray[np.float64]


def comparison(judged: Mapping[str, Sequence[Judged]]) -> tuple[ComparisonRow, ...]:
    """The rungs in the order of `judged`, whose last is the reference."""
    reference = [each.embedded for each in judged[_last(judged)]]
    return tuple(
        ComparisonRow(
            name,
            summarise([each.figures for each in clips]),
            frechet_distance([each.embedded for each in clips], reference),
        )
        for name, clips in judged.items()
    )


def encoder_section(bits: Sequence[SongLikelihood]) -> Section:
    """What the encoder alone hears."""
    return Section(
        "Listening",
        "Is the note right from the accompaniment alone, without any history?",
        {
            "pitch class, share of sounding frames": _mean(bits, lambda b: b.encoder_pitch_class),
            "root of the chord, share of frames": _mean(bits, lambda b: b.encoder_root),
            "onset F1, one frame allowed": _mean(bits, lambda b: b.encoder_onset_f1),
        },
    )


def next_code_section(bits: Sequence[SongLikelihood]) -> Section:
    """What the decoder predicts of the true line."""
    books = len(bits[0].code_accuracy)
    return Section(
        "Next code",
        "Given the true history, how often is the likeliest next token the true one?",
        {
            "note, where it sounds": _mean(bits, lambda b: b.note_accuracy),
            **{
                f"codebook {h}": bootstrap_mean(each.code_accuracy[h] for each in bits)
                for h in range(books)
            },
        },
    )


def generation_section(judged: Mapping[str, Sequence[Judged]], equal: Sequence[float]) -> Section:
    """What is written from nothing; `equal`: shares of codes that two seeds have in common."""
    ours = [each.figures for each in judged[OURS]]
    reference = _last(judged)
    apart = [
        abs(a.rms_db - b.figures.rms_db)
        for a, b in zip(ours, judged[reference], strict=True)
        if b.figures.rms_db > SILENT_DB  # where the true bass rests, there is nothing to compare
    ]
    return Section(
        "Writing",
        "What is written from nothing? (The ladder has the whole row.)",
        {
            **shares(ours),
            f"clips within {LOUDNESS_TOLERANCE_DB:g} dB of '{reference}'": bootstrap_mean(
                float(each <= LOUDNESS_TOLERANCE_DB) for each in apart
            ),
            "silent clips": bootstrap_mean(float(each.rms_db < SILENT_DB) for each in ours),
            "codes that two seeds have in common": bootstrap_mean(equal),
        },
    )


def bass_removal_section(judged: Mapping[str, Sequence[Judged]], found: Sequence[bool]) -> Section:
    """Song by song, what is written for a mixture against what is written for the true accompaniment.

    found: of each song, whether a bass was heard in its mixture and taken out.
    """
    pairs = [
        (clean.figures, mixed.figures)
        for clean, mixed in zip(judged[OURS], judged[OURS_FROM_MIX], strict=True)
    ]
    return Section(
        "Bass taken out",
        f"What does it change that the bass must be taken out of the mix? '{OURS_FROM_MIX}' less "
        f"'{OURS}', song by song.",
        {
            **{
                f"{name.replace('_', ' ')}, difference": bootstrap_mean(
                    getattr(mixed, name) - getattr(clean, name) for clean, mixed in pairs
                )
                for name in PAIRED
            },
            "songs in which a bass was found": bootstrap_mean(map(float, found)),
        },
    )


def likelihood_figures(bits: Sequence[SongLikelihood]) -> dict[str, Estimate]:
    """Bits under each condition, and what the right accompaniment saves."""
    return {
        "bits/s conditional": _mean(bits, lambda b: b.conditional.per_second),
        "bits/s unconditional": _mean(bits, lambda b: b.unconditional.per_second),
        "bits/s shuffled": _mean(bits, lambda b: b.shuffled.per_second),
        "bits/s saved against none": _mean(
            bits, lambda b: b.unconditional.per_second - b.conditional.per_second
        ),
        "bits/s saved against shuffled": _mean(
            bits, lambda b: b.shuffled.per_second - b.conditional.per_second
        ),
        "bits/s of the note, conditional": _mean(bits, lambda b: b.conditional.note),
        "bits/s of the note, unconditional": _mean(bits, lambda b: b.unconditional.note),
        "bits/s of the note, shuffled": _mean(bits, lambda b: b.shuffled.note),
        "bits per code conditional": _mean(bits, lambda b: b.conditional.per_code),
        "bits per code unconditional": _mean(bits, lambda b: b.unconditional.per_code),
        "bits per code shuffled": _mean(bits, lambda b: b.shuffled.per_code),
    }


def shares(figures: Sequence[BassFigures]) -> dict[str, Estimate]:
    """How lines fit their songs: the figures that lie in 0..1."""
    summary = summarise(figures)
    return {name.replace("_", " "): summary[name] for name in SHARES}


def _last(judged: Mapping[str, Sequence[Judged]]) -> str:
    """The reference: the truest bass there is."""
    return list(judged)[-1]


def _mean(bits: Sequence[SongLikelihood], of: Callable[[SongLikelihood], float]) -> Estimate:
    return bootstrap_mean(map(of, bits))
