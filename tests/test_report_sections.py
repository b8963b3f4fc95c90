"""From measurements to the figures of the report."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.json_files import write_json
from shared.music.bass_metrics import BassFigures
from shared.music.line_form import UNKNOWN_FORM, LineForm
from stage2_prior.clip_measurements import JudgedLine
from stage2_prior.frechet import BANDS, frechet_distance
from stage2_prior.likelihood import Likelihood, NoteBits
from stage2_prior.listener.accuracy import ListeningAccuracy
from stage2_prior.prior_report import (
    FORM,
    GENERATED,
    GENERATED_FROM_MIXTURE,
    TRUE,
    PriorFigures,
    PriorReport,
    Section,
    draw_report,
    generated_row,
    report_markdown,
)
from stage2_prior.report_sections import (
    GeneratedRow,
    bars_section,
    bass_removal_section,
    codec_section,
    comparison,
    continuation_section,
    differences,
    generation_section,
    given_notes_section,
    guidance_section,
    likelihood_figures,
    listener_section,
    next_code_section,
    song_figures,
)
from stage2_prior.sampling import SamplingSettings


def figures(**values: float) -> BassFigures:
    defaults: dict[str, Any] = dict.fromkeys(BassFigures.__dataclass_fields__, 0.5)
    return BassFigures(**(defaults | values))


def form(value: float) -> LineForm:
    return LineForm(**dict.fromkeys(FORM, value))


def judged(
    *each: BassFigures, shift: float = 0.0, form: LineForm = UNKNOWN_FORM
) -> list[JudgedLine]:
    rng = np.random.default_rng(0)
    return [JudgedLine(one, form, rng.normal(shift, 1, (20, BANDS))) for one in each]


def likelihood(own: float, none: float, other: float, root: float = math.nan) -> Likelihood:
    """Figures of a song that all follow from what its notes cost."""
    listening = ListeningAccuracy(
        pitch_class=own / 20,
        root=root,
        tones=own / 25,
        onset_f1=own / 40,
        beat_f1=math.nan,
        downbeat_f1=math.nan,
    )
    return Likelihood(
        seconds=10,
        notes=NoteBits(song=own, none=none, shuffled=other),
        codes=own / 10,
        codes_alone=none / 10,
        code_accuracy=(own / 100, none / 100),
        listening=listening,
    )


SONGS = [likelihood(10.0, 14.0, 19.0, root=0.8), likelihood(20.0, 22.0, 35.0)]


def test_what_the_accompaniment_saves_is_positive_where_it_helps() -> None:
    means = {name: value.mean for name, value in likelihood_figures(SONGS).items()}
    assert means == pytest.approx(
        {
            "bits/s of the notes, given the song": 15,
            "bits/s of the notes, given its bars alone": 18,
            "bits/s of the notes, given another song": 27,
            "bits/s saved against none": 3,
            "bits/s saved against shuffled": 12,
            "bits per code, given the notes": 1.5,
            "bits per code without them": 1.8,
        }
    )
    saved = likelihood_figures(SONGS)["bits/s saved against none"]
    assert (saved.low, saved.high, saved.songs) == (2, 4, 2)


def test_songs_whose_notes_nobody_knows_cost_nothing() -> None:
    figures = likelihood_figures([SONGS[0], replace(SONGS[1], notes=None)])
    assert figures["bits/s saved against none"].mean == 4
    assert figures["bits/s saved against none"].songs == 1
    assert figures["bits per code, given the notes"].songs == 2


def means(section: Section) -> dict[str, float]:
    return {name: value.mean for name, value in section.figures.items()}


def test_what_listener_and_performer_predict() -> None:
    assert means(listener_section(SONGS)) == pytest.approx(
        {
            "pitch class of the bass, share of sounding frames": 0.75,
            "root of the chord, share of frames": 0.8,
            "tones of the chord, share of pitch classes": 0.6,
            "onsets of the bass, F1, one frame allowed": 0.375,
        }
    )
    assert means(next_code_section(SONGS)) == pytest.approx(
        {"codebook 0": 0.15, "codebook 1": 0.18}
    )


def test_bars_are_averaged_over_the_songs_that_know_them() -> None:
    found = bars_section([0.5, math.nan, 1.0], [math.nan, math.nan, 0.25])
    assert means(found) == pytest.approx({"beats": 0.75, "downbeats": 0.25})
    assert (found.figures["beats"].songs, found.figures["downbeats"].songs) == (2, 1)


def test_sections_of_shares() -> None:
    assert list(means(codec_section([0.5, 1.0])).values()) == [0.75]
    given = given_notes_section({1.0: [0.2, 0.4], 2.5: [0.6]})
    assert means(given) == pytest.approx({"note guidance 1": 0.3, "note guidance 2.5": 0.6})
    fit = {
        "root on downbeats": 0.1,
        "chord tones": 0.2,
        "grid f1": 0.3,
        "onset f1": 0.4,
        "pitch class": 0.5,
    }
    clip = figures(root_on_downbeats=0.1, chord_tones=0.2, grid_f1=0.3, onset_f1=0.4)
    assert means(continuation_section([clip, clip])) == pytest.approx(fit)
    guided = guidance_section({1.0: [clip], 5.0: [figures(chord_tones=0.9)]})
    assert means(guided)["guidance 1: chord tones"] == pytest.approx(0.2)
    assert means(guided)["guidance 5: chord tones"] == pytest.approx(0.9)
    assert len(guided.figures) == 10


def test_generated_lines_are_compared_with_the_true_bass() -> None:
    lines = {
        GENERATED: judged(
            figures(rms_db=-20),
            figures(rms_db=-27),
            figures(rms_db=-90),
            figures(rms_db=-22),
            form=form(0.5),
        ),
        "truth": judged(
            figures(rms_db=-14),
            figures(rms_db=-20),
            figures(rms_db=-15),
            figures(rms_db=-100),
            form=form(0.7),
        ),
    }
    found = means(generation_section(lines, [0.1, 0.3]))
    assert found["clips within 6 dB of 'truth'"] == pytest.approx(1 / 3)
    assert found["silent clips"] == 0.25
    assert found["repetition, difference from 'truth'"] == pytest.approx(-0.2)
    assert found["codes that two seeds have in common"] == pytest.approx(0.2)
    assert found["chord tones"] == 0.5


def test_the_cost_of_removing_the_bass_is_a_difference_song_by_song() -> None:
    def lines(*roots: float) -> list[JudgedLine]:
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
    far, reference = comparison(lines, [GeneratedRow("far", "a prior", from_mixture=True)])
    assert (far.name, reference.name) == ("far", "reference")
    assert (far.prior, far.from_mixture) == ("a prior", True)
    assert (reference.prior, reference.from_mixture) == (None, False)
    assert far.figures["chord_tones"].mean == pytest.approx(0.2)
    assert far.figures["repetition"].songs == 0
    embeddings = {name: [each.embedding for each in clips] for name, clips in lines.items()}
    expected = frechet_distance(embeddings["far"], embeddings["reference"])
    assert far.frechet == pytest.approx(expected)
    assert far.frechet > 100
    assert reference.frechet == pytest.approx(0, abs=1e-6)


ROWS = [
    GeneratedRow(generated_row(prior, mixed), prior, mixed)
    for prior in ("A", "B")
    for mixed in (False, True)
]


def test_priors_are_compared_song_by_song() -> None:
    """B has more chord tones than A in every song, although the songs differ by more than that."""

    def lines(more: float, removed: float) -> list[JudgedLine]:
        tones = (0.1, 0.5, 0.8)
        return judged(*(figures(chord_tones=tone + more + removed) for tone in tones))

    by_row = {
        row.name: lines(0.1 * (row.prior == "B"), 0.05 * row.from_mixture * (row.prior == "B"))
        for row in ROWS
    }
    plain, from_mixture = differences(by_row, ROWS)
    assert plain.name == "B minus A"
    assert from_mixture.name == "B minus A, bass removed from the mixture"
    tones = plain.figures["chord_tones"]
    assert (tones.low, tones.mean, tones.high) == pytest.approx((0.1, 0.1, 0.1))
    assert from_mixture.figures["chord_tones"].mean == pytest.approx(0.15)
    assert plain.figures["grid_f1"].mean == 0
    assert plain.figures["disagreement"].songs == 0
    assert differences(by_row, ROWS[:2]) == ()


def prior_figures(name: str, match: float) -> PriorFigures:
    return PriorFigures(
        name=name,
        fingerprint=f"print-{name}",
        settings=SamplingSettings(seed=3),
        seeds=(3, 4),
        window_seconds=12.0,
        likelihood=likelihood_figures(SONGS),
        sections=(codec_section([match]), continuation_section([figures(grid_f1=math.nan)])),
    )


def report_of(*priors: PriorFigures, **lines: list[JudgedLine]) -> PriorReport:
    rows = [GeneratedRow(name, name.rpartition(" ")[2], False) for name in lines if "by" in name]
    return PriorReport(
        split="test",
        songs=("a", "b"),
        seconds=20.0,
        codec="abc",
        sound={"name": "paper", "more": 1},
        priors=priors,
        comparison=comparison(lines, rows),
        differences=differences(lines, rows),
        by_song=song_figures(lines, rows, "here", ("a", "b")),
    )


def test_the_page() -> None:
    silence = judged(figures(grid_f1=math.nan), shift=3.0)
    report = report_of(
        prior_figures("mine", 0.25),
        silence=silence,
        truth=judged(figures(grid_f1=math.nan), form=form(0.125)),
    )
    page = report_markdown(report)
    for part in (
        "# The prior on songs it was not trained on",
        "2 songs of the split `test`, 20 s from the middle of each; codec `abc`; sound `paper`",
        "Prior `mine` (fingerprint `print-mine`). Sampling: ",
        "seed 3",
        "at most 4 windows of 12 s a song",
        "| bits/s saved against none | 3.00 [2.00, 4.00] |",
        "### 1. Codec\n",
        "| right pitch class, share of sounding frames | 0.25 [0.25, 0.25] |",
        "### 2. Continuation\n",
        "| bass | root on downbeats | chord tones | onset f1 | pitch class |",
        "| bass | short notes | wide leaps |",
        "| truth | 0.12 [0.12, 0.12] |",
        "Frechet is the distance from 'truth'",
        "log-mel",
    ):
        assert part in page
    assert "grid f1" not in page  # nobody knows it
    assert "| silence | - |" not in page  # silence has no notes, so it has no form
    assert "Differences" not in page


def test_the_page_and_the_picture_of_several_priors(tmp_path: Path) -> None:
    lines = {
        "generated by A": judged(figures(chord_tones=0.25), form=form(0.5)),
        "generated by B": judged(figures(chord_tones=0.75), form=form(0.25)),
        TRUE: judged(figures(), form=form(0.5)),
    }
    report = report_of(prior_figures("A", 0.25), prior_figures("B", 0.75), **lines)
    page = report_markdown(report)
    for part in (
        "# Priors on songs they were not trained on",
        "Prior `A` (fingerprint `print-A`)",
        "Prior `B` (fingerprint `print-B`)",
        "| mean [95 %] | A | B |",
        "| right pitch class, share of sounding frames | 0.25 [0.25, 0.25] | 0.75 [0.75, 0.75] |",
        "| B minus A | 0.00 [0.00, 0.00] | 0.50 [0.50, 0.50] |",
        "| B minus A | -0.25 [-0.25, -0.25] |",
    ):
        assert part in page
    draw_report(report, tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_priors_may_have_any_name(tmp_path: Path) -> None:
    """Also formulas that matplotlib cannot read, bytes that are no text, and letters of no font."""
    names = ("$x^$", "a$b", "\udcff.safetensors", "曲$\\frac$")
    lines = {f"generated by {name}": judged(figures(), form=form(0.5)) for name in names}
    report = report_of(*(prior_figures(name, 0.5) for name in names), **lines)
    page = report_markdown(report)
    for name in names:
        assert f"Prior `{name}`" in page
    page.encode("utf-8", errors="replace")  # as evaluate.py writes it
    write_json(tmp_path / "report.json", asdict(report))
    kept = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [prior["name"] for prior in kept["priors"]] == list(names)
    draw_report(report, tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
