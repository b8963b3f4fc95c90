"""What `evaluate-prior` makes of its measurements: the figures of its steps and of the ladder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.bass_metrics import BassFigures
from stage2_prior.bootstrap import Estimate, bootstrap_mean
from stage2_prior.clips import summarise
from stage2_prior.frechet import frechet_distance
from stage2_prior.likelihood import Likelihood
from stage2_prior.prior_report import OURS, OURS_FROM_MIX, SHARES, ComparisonRow, Section

LOUDNESS_TOLERANCE_DB = 6.0
SILENT_DB = -60.0
CONDITIONS = ("conditional", "unconditional", "shuffled")
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


def encoder_section(bits: Sequence[Likelihood]) -> Section:
    """What the encoder alone hears."""
    return Section(
        "Listening",
        "Is the note right from the accompaniment alone, without any history?",
        {
            "pitch class, share of sounding frames": _mean(bits, lambda b: b.encoder.pitch_class),
            "root of the chord, share of frames": _mean(bits, lambda b: b.encoder.root),
            "onset F1, one frame allowed": _mean(bits, lambda b: b.encoder.onset_f1),
        },
    )


def next_code_section(bits: Sequence[Likelihood]) -> Section:
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


def likelihood_figures(bits: Sequence[Likelihood]) -> dict[str, Estimate]:
    """Return the bits under each condition, and those that the right accompaniment saves."""

    def mean(condition: str, figure: str) -> Estimate:
        return _mean(bits, lambda song: getattr(song.bits[condition], figure))

    def saved_against(condition: str) -> Estimate:
        return _mean(
            bits,
            lambda song: song.bits[condition].per_second - song.bits["conditional"].per_second,
        )

    return {
        **{f"bits/s {each}": mean(each, "per_second") for each in CONDITIONS},
        "bits/s saved against none": saved_against("unconditional"),
        "bits/s saved against shuffled": saved_against("shuffled"),
        **{f"bits/s of the note, {each}": mean(each, "note_per_second") for each in CONDITIONS},
        **{f"bits per code {each}": mean(each, "per_code") for each in CONDITIONS},
    }


def shares(figures: Sequence[BassFigures]) -> dict[str, Estimate]:
    """How lines fit their songs: the figures that lie in 0..1."""
    summary = summarise(figures)
    return {name.replace("_", " "): summary[name] for name in SHARES}


def _last(judged: Mapping[str, Sequence[Judged]]) -> str:
    """The reference: the truest bass there is."""
    return list(judged)[-1]


def _mean(bits: Sequence[Likelihood], of: Callable[[Likelihood], float]) -> Estimate:
    return bootstrap_mean(map(of, bits))
