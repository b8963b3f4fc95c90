"""Compose a song: choose style, form and key, and write the music of each section."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shared.band.composing.arrangement import TAIL, Chart, play_chart
from shared.band.composing.form import Section, plan_form
from shared.band.composing.material import (
    Material,
    Setting,
    choose_compers,
    choose_setting,
    write_materials,
)
from shared.band.composing.style import find_style, styles
from shared.band.composing.timeline import Span, Timeline
from shared.band.scores.score import Score
from shared.errors import UserError


def compose(seed: int, style: str | None = None, seconds: float | None = None) -> Score:
    """Compose a song for the built-in band. The same arguments always give the same score.

    Args:
        seed: which song.
        style: a style's name; None lets the seed choose.
        seconds: as in compose_chart.

    Raises:
        UserError: there is no such style, or the length is not positive.
    """
    rng = np.random.default_rng(seed)
    return play_chart(rng, compose_chart(rng, style, seconds))


def compose_chart(
    rng: np.random.Generator, style: str | None = None, seconds: float | None = None
) -> Chart:
    """Compose a song up to the point where it can be played.

    Args:
        rng: the source of all chance.
        style: a style's name; None lets chance decide.
        seconds: the wanted length, which is kept to within a bar (two bars at least); None lets the
            form decide, within 35 to 180 s.

    Raises:
        UserError: there is no such style, or the length is not positive.
    """
    if seconds is not None and not seconds > 0:
        raise UserError(f"a song cannot last {seconds} s; ask for a positive number of seconds")
    drawn = list(styles())[int(rng.integers(len(styles())))]
    kind = find_style(style or drawn)
    setting = choose_setting(rng, kind)
    bar_seconds = setting.beats_per_bar * 60.0 / setting.tempo
    # The form does not include the closing bar and the tail.
    asked = None if seconds is None else seconds - TAIL - bar_seconds
    sections = plan_form(rng, kind.forms, bar_seconds, asked, kind.modulation)
    compers = choose_compers(rng, kind)
    materials = write_materials(rng, setting, sections, compers)
    timeline = _lay_chords(setting, sections, materials)
    return Chart(setting, sections, timeline, compers, materials)


def _lay_chords(
    setting: Setting,
    sections: tuple[Section, ...],
    materials: Mapping[str, Material],
) -> Timeline:
    """Lay out the chords of the song, with the tonic in the closing bar."""
    beats = setting.beats_per_bar
    spans: list[Span] = []
    tonic = setting.tonic
    for section in sections:
        chords = materials[section.name].chords
        tonic = (setting.tonic + section.transpose) % 12
        for number in range(section.bars):
            bar = chords[number % len(chords)][:beats]
            first = (section.first_bar + number) * beats
            # Chords change on whole beats; of two unequal halves the longer comes first.
            cuts = [first + -(-i * beats // len(bar)) for i in range(len(bar) + 1)]
            spans += [
                Span(float(a), float(b), chord, tonic)
                for a, b, chord in zip(cuts, cuts[1:], bar, strict=False)
            ]
    start = float((sections[-1].first_bar + sections[-1].bars) * beats)
    spans.append(Span(start, start + beats, setting.home, tonic))
    return Timeline(tuple(spans), setting.mode)
