"""From measurements to the figures of the report."""

import math
from typing import Any

import numpy as np
import pytest

from shared.music.bass_metrics import BassFigures
from stage2_prior.clip_measurements import JudgedSound
from stage2_prior.frechet import BANDS, frechet_distance
from stage2_prior.likelihood import Bits, EncoderAccuracy, Likelihood
from stage2_prior.prior_report import (
    GENERATED,
    GENERATED_FROM_MIXTURE,
    ComparisonRow,
    PriorReport,
    Section,
    report_markdown,
)
from stage2_prior.report_sections import (
    bass_removal_section,
    codec_section,
    comparison,
    continuation_section,
    encoder_section,
    generation_section,
    given_notes_section,
    guidance_section,
    likelihood_figures,
    next_code_section,
)
from stage2_prior.sampling import SamplingSettings


def figures(**values: float) -> BassFigures:
    defaults: dict[str, Any] = dict.fromkeys(BassFigures.__dataclass_fields__, 0.5)
    return BassFigures(**(defaults | values))


def judged(*each: BassFigures, shift: float = 0.0) -> list[JudgedSound]:
    rng = np.random.default_rng(0)
    return [JudgedSound(one, rng.normal(shift, 1, (20, BANDS))) for one in each]


def likelihood(own: float, none: float, other: float, root: float = math.nan) -> Likelihood:
    """Figures of a song whose bits per second are given."""
    conditions = {
        name: Bits(bits, bits / 10, bits / 100)
        for name, bits in (("conditional", own), ("unconditional", none), ("shuffled", other))
    }
    encoder = EncoderAccuracy(10, 0, pitch_class=own / 20, root=root, onset_f1=own / 40)
    return Likelihood(10, conditions, (own / 100, none / 100), own / 50, encoder)


SONGS = [likelihood(10.0, 14.0, 19.0, root=0.8), likelihood(20.0, 22.0, 35.0)]


def test_what_the_accompaniment_saves_is_positive_where_it_helps() -> None:
    means = {name: value.mean for name, value in likelihood_figures(SONGS).items()}
    assert means == pytest.approx(
        {
            "bits/s conditional": 15,
            "bits/s unconditional": 18,
            "bits/s shuffled": 27,
            "bits/s saved against none": 3,
            "bits/s saved against shuffled": 12,
            "bits/s of the note, conditional": 1.5,
            "bits/s of the note, unconditional": 1.8,
            "bits/s of the note, shuffled": 2.7,
            "bits per code conditional": 0.15,
            "bits per code unconditional": 0.18,
            "bits per code shuffled": 0.27,
        }
    )
    saved = likelihood_figures(SONGS)["bits/s saved against none"]
    assert (saved.low, saved.high, saved.songs) == (2, 4, 2)


def means(section: Section) -> dict[str, float]:
    return {name: value.mean for name, value in section.figures.items()}


def test_what_encoder_and_decoder_predict() -> None:
    assert means(encoder_section(SONGS)) == pytest.approx(
        {
            "pitch class, share of sounding frames": 0.75,
            "root of the chord, share of frames": 0.8,
            "onset F1, one frame allowed": 0.375,
        }
    )
    assert means(next_code_section(SONGS)) == pytest.approx(
        {"note, where it sounds": 0.3, "codebook 0": 0.15, "codebook 1": 0.18}
    )


def test_sections_of_shares() -> None:
    assert list(means(codec_section([0.5, 1.0])).values()) == [0.75]
    given = given_notes_section({1.0: [0.2, 0.4], 2.5: [0.6]})
    assert means(given) == pytest.approx({"note guidance 1": 0.3, "note guidance 2.5": 0.6})
    fit = {"root on downbeats": 0.1, "chord tones": 0.2, "grid f1": 0.3, "onset f1": 0.4}
    clip = figures(root_on_downbeats=0.1, chord_tones=0.2, grid_f1=0.3, onset_f1=0.4)
    assert means(continuation_section([clip, clip])) == pytest.approx(fit)
    guided = guidance_section({1.0: [clip], 5.0: [figures(chord_tones=0.9)]})
    assert means(guided)["guidance 1: chord tones"] == pytest.approx(0.2)
    assert means(guided)["guidance 5: chord tones"] == pytest.approx(0.9)
    assert len(guided.figures) == 8


def test_generated_lines_are_compared_with_the_true_bass() -> None:
    lines = {
        GENERATED: judged(
            figures(rms_db=-20), figures(rms_db=-27), figures(rms_db=-90), figures(rms_db=-22)
        ),
        "truth": judged(
            figures(rms_db=-14), figures(rms_db=-20), figures(rms_db=-15), figures(rms_db=-100)
        ),
    }
    found = means(generation_section(lines, [0.1, 0.3]))
    assert found["clips within 6 dB of 'truth'"] == pytest.approx(1 / 3)
    assert found["silent clips"] == 0.25
    assert found["codes that two seeds have in common"] == pytest.approx(0.2)
    assert found["chord tones"] == 0.5


def test_the_cost_of_removing_the_bass_is_a_difference_song_by_song() -> None:
    def lines(*roots: float) -> list[JudgedSound]:
        return judged(*(figures(root_on_downbeats=root, grid_f1=math.nan) for root in roots))

    both = {GENERATED: lines(0.2, 0.9, 0.5), GENERATED_FROM_MIXTURE: lines(0.1, 0.8, 0.4)}
    found = bass_removal_section(both, [True, False, True]).figures
    root = found["root on downbeats, difference"]
    assert (root.low, root.mean, root.high) == pytest.approx((-0.1, -0.1, -0.1))
    assert found["chord tones, difference"].mean == 0
    assert found["grid f1, difference"].songs == 0
    assert found["songs in which a bass was found"].mean == pytest.approx(2 / 3)


def test_the_last_row_of_the_comparison_is_the_reference() -> None:
    lines = {
        "far": judged(figures(chord_tones=0.1), figures(chord_tones=0.3), shift=5.0),
        "reference": judged(figures(), figures()),
    }
    far, reference = comparison(lines)
    assert (far.name, reference.name) == ("far", "reference")
    assert far.figures["chord_tones"].mean == pytest.approx(0.2)
    embeddings = {name: [each.embedding for each in clips] for name, clips in lines.items()}
    expected = frechet_distance(embeddings["far"], embeddings["reference"])
    assert far.frechet == pytest.approx(expected)
    assert far.frechet > 100
    assert reference.frechet == pytest.approx(0, abs=1e-6)


def test_the_page() -> None:
    row = ComparisonRow("silence", comparison({"silence": judged(figures())})[0].figures, 12.34)
    report = PriorReport(
        split="test",
        songs=("a", "b"),
        seconds=20.0,
        settings=SamplingSettings(seed=3),
        codec="abc",
        window_seconds=12.0,
        likelihood=likelihood_figures(SONGS),
        comparison=(row,),
        sections=(codec_section([0.25]), continuation_section([figures()])),
    )
    page = report_markdown(report)
    for part in (
        "2 songs of the split `test`, 20 s from the middle of each; codec `abc`",
        "seed 3",
        "at most 4 windows of 12 s a song",
        "| bits/s saved against none | 3.00 [2.00, 4.00] |",
        "### 1. Codec\n",
        "| right pitch class, share of sounding frames | 0.25 [0.25, 0.25] |",
        "### 2. Continuation\n",
        "| bass | root on downbeats | chord tones |",
        "| 12.3 |",
        "Frechet is the distance from 'silence'",
        "log-mel",
    ):
        assert part in page
