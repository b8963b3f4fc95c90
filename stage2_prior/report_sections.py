"""Turn the measurements of `evaluate-prior` into the parts of its report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from shared.bootstrap import Estimate, bootstrap_mean
from shared.music.bass_metrics import BassFigures
from shared.song_figures import SongFigures
from stage2_prior.clip_measurements import PROMPT_SECONDS, JudgedLine
from stage2_prior.frechet import frechet_distance
from stage2_prior.likelihood import Likelihood
from stage2_prior.prior_report import (
    FORM,
    GENERATED,
    GENERATED_FROM_MIXTURE,
    REMOVED,
    SHARES,
    ComparisonRow,
    Difference,
    Section,
)

LOUDNESS_TOLERANCE_DB = 6.0
SILENT_DB = -60.0
CONDITIONS = {"song": "the song", "none": "its bars alone", "shuffled": "another song"}
PAIRED = SHARES

Judged = Mapping[str, Sequence[JudgedLine]]  # the clips of each kind of bass line


@dataclass(frozen=True)
class GeneratedRow:
    """Which lines a row of the comparison holds.

    Attributes:
        name: the name of the row.
        prior: the prior that generated the lines.
        from_mixture: whether the bass was removed from the mixture for them.
    """

    name: str
    prior: str
    from_mixture: bool


def comparison(judged: Judged, generated: Sequence[GeneratedRow]) -> tuple[ComparisonRow, ...]:
    """Compare the kinds of bass lines; the last one is the reference of the Frechet distance.

    Args:
        judged: all bass lines.
        generated: those of them that priors generated.
    """
    reference = [each.embedding for each in judged[_last(judged)]]
    by_name = {row.name: row for row in generated}
    return tuple(
        ComparisonRow(
            name,
            _summary([each.values for each in clips]),
            frechet_distance([each.embedding for each in clips], reference),
            prior=by_name[name].prior if name in by_name else None,
            from_mixture=name in by_name and by_name[name].from_mixture,
        )
        for name, clips in judged.items()
    )


def differences(
    judged: Judged, generated: Sequence[GeneratedRow], baselines: Sequence[str] = ()
) -> tuple[Difference, ...]:
    """Compare every two priors song by song, and each prior with simple lines.

    Of two priors the later one has the earlier one subtracted.

    Args:
        judged: all bass lines.
        generated: those of them that priors generated.
        baselines: the names of the simple lines.
    """
    pairs = [
        (first, second)
        for first, second in combinations(generated, 2)
        if first.prior != second.prior and first.from_mixture == second.from_mixture
    ]
    between_priors = [
        Difference(
            f"{second.prior} minus {first.prior}{REMOVED if first.from_mixture else ''}",
            mean_difference(judged[first.name], judged[second.name]),
        )
        for first, second in pairs
    ]
    from_baselines = [
        Difference(
            f"{row.prior} minus '{baseline}'", mean_difference(judged[baseline], judged[row.name])
        )
        for row in generated
        if not row.from_mixture
        for baseline in baselines
    ]
    return (*between_priors, *from_baselines)


def mean_difference(
    before: Sequence[JudgedLine], after: Sequence[JudgedLine]
) -> dict[str, Estimate]:
    """Average how much the figures of later lines differ from those of earlier ones."""
    return _summary(list(map(_difference, before, after)))


def _difference(before: JudgedLine, after: JudgedLine) -> dict[str, float]:
    return {name: value - before.values[name] for name, value in after.values.items()}


def song_figures(
    judged: Judged, generated: Sequence[GeneratedRow], part: str, songs: Sequence[str]
) -> dict[str, SongFigures]:
    """Return what the differences are taken of, by the names of the priors.

    Args:
        judged: all bass lines.
        generated: those of them that priors generated.
        part: which part of the songs was measured.
        songs: the names of the songs.
    """
    values: dict[str, dict[str, tuple[float, ...]]] = {}
    for row in generated:
        for name in (*SHARES, "voiced_share", *FORM):
            figure = f"{name.replace('_', ' ')}{REMOVED if row.from_mixture else ''}"
            column = tuple(float(each.values[name]) for each in judged[row.name])
            values.setdefault(row.prior, {})[figure] = column
    return {prior: SongFigures(part, tuple(songs), each) for prior, each in values.items()}


def likelihood_figures(songs: Sequence[Likelihood]) -> dict[str, Estimate]:
    """Return what the notes cost under each condition, what the song saves, and the codes."""
    priced = [song.notes for song in songs if song.notes is not None]

    def saved_against(condition: str) -> Estimate:
        return bootstrap_mean(getattr(notes, condition) - notes.song for notes in priced)

    return {
        **{
            f"bits/s of the notes, given {text}": bootstrap_mean(
                getattr(notes, condition) for notes in priced
            )
            for condition, text in CONDITIONS.items()
        },
        "bits/s saved against none": saved_against("none"),
        "bits/s saved against shuffled": saved_against("shuffled"),
        "bits per code, given the notes": _mean(songs, lambda song: song.codes),
        "bits per code without them": _mean(songs, lambda song: song.codes_alone),
    }


def codec_section(pitch_match: Sequence[float]) -> Section:
    """Report how often the decoded true bass has the right pitches."""
    return Section(
        "Codec",
        "Does the true bass, decoded from its codes, have the pitches of its notes?",
        {"right pitch class, share of sounding frames": bootstrap_mean(pitch_match)},
    )


def listener_section(songs: Sequence[Likelihood]) -> Section:
    """Report what the listener names from the accompaniment alone."""
    texts = {
        "pitch_class": "pitch class of the bass, share of sounding frames",
        "root": "root of the chord, share of frames",
        "tones": "tones of the chord, share of pitch classes",
        "onset_f1": "onsets of the bass, F1, one frame allowed",
    }
    return Section(
        "Listener",
        "Are the bass's notes and the chords right, from the accompaniment alone?",
        {
            text: _known_mean(getattr(s.listening, name) for s in songs)
            for name, text in texts.items()
        },
    )


def bars_section(beats: Sequence[float], downbeats: Sequence[float]) -> Section:
    """Report how well the beats and the beginnings of bars are found (beat_metrics.py)."""
    return Section(
        "Bars",
        "Are the beats and the first beats of the bars found? (F1 at 70 ms.)",
        {"beats": _known_mean(beats), "downbeats": _known_mean(downbeats)},
    )


def next_code_section(songs: Sequence[Likelihood]) -> Section:
    """Report what the performer predicts after the true history."""
    codebooks = range(len(songs[0].code_accuracy))
    return Section(
        "Next code",
        "Given the notes and the true history, how often is the most probable next code the true "
        "one?",
        {
            f"codebook {h}": bootstrap_mean(song.code_accuracy[h] for song in songs)
            for h in codebooks
        },
    )


def given_notes_section(pitch_match: Mapping[float, Sequence[float]]) -> Section:
    """Report how often codes that are sampled for given notes have the pitches of the notes.

    Args:
        pitch_match: the shares of sounding frames, by note guidance.
    """
    return Section(
        "Given notes",
        "The true notes are given, and only the codes are sampled. Does their sound have the "
        "pitches of the notes? (Right pitch class, share of sounding frames.)",
        {f"note guidance {scale:g}": bootstrap_mean(each) for scale, each in pitch_match.items()},
    )


def continuation_section(figures: Sequence[BassFigures]) -> Section:
    """Report what is sampled after a true beginning."""
    return Section(
        "Continuation", f"What follows {PROMPT_SECONDS:g} s of the true bass?", shares(figures)
    )


def generation_section(judged: Judged, equal: Sequence[float]) -> Section:
    """Report what is generated for the accompaniment alone.

    Args:
        judged: all bass lines.
        equal: for each clip the share of codes that two seeds have in common.
    """
    generated = [each.figures for each in judged[GENERATED]]
    reference = _last(judged)
    repeated_more = [
        ours.form.repetition - true.form.repetition
        for ours, true in zip(judged[GENERATED], judged[reference], strict=True)
    ]
    # Where the true bass is silent, there is no level to compare with.
    differences = [
        abs(ours.rms_db - true.figures.rms_db)
        for ours, true in zip(generated, judged[reference], strict=True)
        if true.figures.rms_db > SILENT_DB
    ]
    return Section(
        "Generation",
        "What is generated for the accompaniment alone? (The comparison has all figures.)",
        {
            **shares(generated),
            f"clips within {LOUDNESS_TOLERANCE_DB:g} dB of '{reference}'": bootstrap_mean(
                float(each <= LOUDNESS_TOLERANCE_DB) for each in differences
            ),
            "silent clips": bootstrap_mean(float(each.rms_db < SILENT_DB) for each in generated),
            f"repetition, difference from '{reference}'": bootstrap_mean(repeated_more),
            "codes that two seeds have in common": bootstrap_mean(equal),
        },
    )


def bass_removal_section(judged: Judged, found: Sequence[bool]) -> Section:
    """Report how much it costs that the bass must be removed from the mixture.

    Args:
        judged: all bass lines.
        found: for each clip whether a bass was found in its mixture and removed.
    """
    pairs = [
        (clean.figures, mixed.figures)
        for clean, mixed in zip(judged[GENERATED], judged[GENERATED_FROM_MIXTURE], strict=True)
    ]
    return Section(
        "Bass removal",
        "What does it change that the bass must be removed from the mixture? "
        f"'{GENERATED_FROM_MIXTURE}' minus '{GENERATED}', song by song.",
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


def guidance_section(figures: Mapping[float, Sequence[BassFigures]]) -> Section:
    """Report lines that are generated with more or less guidance.

    Args:
        figures: the figures of the clips, by guidance.
    """
    return Section(
        "Guidance",
        "Does stronger guidance by the song help?",
        {
            f"guidance {scale:g}: {name}": value
            for scale, clips in figures.items()
            for name, value in shares(clips).items()
        },
    )


def shares(figures: Sequence[BassFigures]) -> dict[str, Estimate]:
    """Summarise how lines fit their songs: the figures that lie in 0..1."""
    summary = _summary([vars(each) for each in figures])
    return {name.replace("_", " "): summary[name] for name in SHARES}


def _summary(figures: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    """Average each figure over the clips."""
    return {name: bootstrap_mean(float(each[name]) for each in figures) for name in figures[0]}


def _last(judged: Judged) -> str:
    """Return the name of the reference: the line that is closest to the true bass."""
    return list(judged)[-1]


def _known_mean(values: Iterable[float]) -> Estimate:
    """Average the values that are not nan."""
    return bootstrap_mean(value for value in values if value == value)


def _mean(songs: Sequence[Likelihood], of: Callable[[Likelihood], float]) -> Estimate:
    return bootstrap_mean(map(of, songs))
