"""MMA's grooves playing charts of real songs."""

import os
import subprocess
from bisect import bisect_right
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest

from shared.band.composing.arrangement import Chart, play_chart
from shared.band.composing.compose import compose_chart
from shared.band.composing.harmony import RelativeChord
from shared.band.mma import mma_charts, mma_library
from shared.band.mma.mma_charts import play_chart_with_mma, spell_chord, write_mma
from shared.band.mma.mma_library import Family, GrooveFile, family, files_for, library
from shared.band.scores.score import Score
from shared.band.songbook.progressions import ChordSpan, Progression
from shared.errors import UserError
from shared.music.chord import QUALITIES
from shared.music.chord_notation import ChordName
from tests.test_charts import BLUES, SONG, lay, progression

needs_mma = pytest.mark.skipif(not mma_library.installed(), reason="mma is not installed")


def share_of_chord_tones(score: Score, source: str) -> float:
    starts = [chord.start for chord in score.chords]
    fitting = [
        note.pitch % 12 in score.chords[bisect_right(starts, note.onset + 0.03) - 1].pitch_classes
        for part in score.parts
        if part.source == source and part.name != "solo"
        for note in part.notes
    ]
    return float(np.mean(fitting))


def test_without_mma_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mma_library, "installed", lambda: False)
    with pytest.raises(UserError, match="install Debian's package mma"):
        mma_library.require_mma()


def test_chords_are_spelled_from_their_bass() -> None:
    major = (0, 2, 4, 5, 7, 9, 11)
    assert spell_chord(RelativeChord(0, "maj", 0), major, 0) == "(0,4,7) (0,2,4,5,7,9,11)"
    assert spell_chord(RelativeChord(7, "dom9", 7), major, 0) == "(0,4,7,10,14) (0,2,4,5,7,9,10)"
    assert spell_chord(RelativeChord(0, "power", 0), major, 0).startswith("(0,7,12) ")
    # C/E: over the bass a chord tone for the third (G) and for the fifth (C).
    assert spell_chord(RelativeChord(0, "maj", 4), major, 0) == "(0,3,8) (0,1,3,5,8,8,10)"
    # C/Bb: a bass that is not in the chord.
    tones, degrees = spell_chord(RelativeChord(0, "maj", 10), major, 0).split()
    assert tones == "(2,6,9)"
    assert degrees.startswith("(0,")


def test_a_chart_in_mmas_language() -> None:
    file = GrooveFile("x/y", 6.0, {"6/8": 2}, (0.0, 999.0), "", {"A": "", "F": ""}, True)
    chart = lay(progression("C F/A G C C F G C", "6/8", tempo=60.0), transpose=0)
    grooves = Family(file, ("A",), ("F",), ())
    rng = np.random.default_rng(0)
    lines = write_mma(chart, grooves, 2, ["A", "A", "A"], rng).splitlines()
    assert lines[0].startswith("RndSeed ")
    assert "Tempo 180" in lines
    bars = [line for line in lines if line.startswith("1 ")]
    assert len(bars) == chart.bars + 1
    assert [bar[2] for bar in bars[:4]] == ["C", "A", "G", "C"]


def composed(meter: str) -> Chart:
    """A composed song of about 30 s in a meter, at a tempo that mma cannot play at."""
    charts = (compose_chart(np.random.default_rng(seed), seconds=30.0) for seed in range(100))
    chart = next(chart for chart in charts if chart.setting.meter == meter)
    return replace(chart, setting=replace(chart.setting, tempo=97.4))


def test_a_composed_song_does_not_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """MMA plays at whole tempi only, and what it plays must meet the song's beats all the same."""
    chart = composed("4/4")
    beats = (chart.bars + 1) * 4
    asked: list[str] = []

    def run(folder: Path, *arguments: str) -> str:
        asked.append(Path(arguments[-1]).read_text())
        beat = 60.0 / 97
        midi = pretty_midi.PrettyMIDI(initial_tempo=97.0)
        midi.instruments = [
            pretty_midi.Instrument(32, name="Bass"),
            pretty_midi.Instrument(0, is_drum=True, name="Drum"),
        ]
        for number in range(beats + 8):  # what comes after the song is left out
            bass = 36 + chart.timeline.at(float(number)).bass
            for track, pitch in zip(midi.instruments, (bass, 36), strict=True):
                start = number * beat
                track.notes.append(pretty_midi.Note(90, pitch, start, start + 0.9 * beat))
        midi.write(arguments[-2])
        return ""

    file = GrooveFile("x/y", 4.0, {"4/4": 4}, (0.0, 999.0), "", {"A": ""}, True)
    monkeypatch.setattr(mma_charts, "files_for", lambda *_: ((file, 4),))
    monkeypatch.setattr(mma_charts, "family", lambda _: Family(file, ("A",), (), ()))
    monkeypatch.setattr(mma_charts, "run_mma", run)
    score = play_chart_with_mma(np.random.default_rng(0), chart)
    assert "Tempo 97" in asked[0].splitlines()
    assert score.style == "mma x/y:A"
    assert score.tempo == 97.4
    assert score.chords == play_chart(np.random.default_rng(0), straight(chart)).chords
    assert {part.source for part in score.parts} >= {"vocals", "bass", "drums"}
    onsets = [note.onset for note in score.bass_notes][: 4 * chart.bars]
    assert np.abs(np.array(onsets) - score.beats[: len(onsets)]).max() < 0.025
    drums = [note.onset for part in score.parts if part.is_drum for note in part.notes]
    assert abs(drums[4 * chart.bars - 1] - score.beats[4 * chart.bars - 1]) < 0.02


def straight(chart: Chart) -> Chart:
    """The chart without swing: the bass of the test above plays on the beats only."""
    return replace(chart, setting=replace(chart.setting, swing=0.5))


def test_a_song_that_mma_cannot_play_is_told_with_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = GrooveFile("x/y", 4.0, {"4/4": 4}, (0.0, 999.0), "", {"A": ""}, True)

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "one\nunknown groove\n", "")

    monkeypatch.setattr(mma_library, "installed", lambda: True)
    monkeypatch.setattr(mma_library.subprocess, "run", run)
    monkeypatch.setattr(mma_charts, "files_for", lambda *_: ((file, 4),))
    monkeypatch.setattr(mma_charts, "family", lambda _: Family(file, ("A",), (), ()))
    with pytest.raises(UserError, match=r"the last: mma failed \(one unknown groove\)"):
        play_chart_with_mma(np.random.default_rng(0), composed("4/4"))
    monkeypatch.setattr(mma_charts, "files_for", lambda *_: ())
    with pytest.raises(UserError, match="mma has no groove in 4/4"):
        play_chart_with_mma(np.random.default_rng(0), composed("4/4"))


@needs_mma
@pytest.mark.parametrize("meter", ["4/4", "12/8"])
def test_a_composed_song(meter: str) -> None:
    chart = composed(meter)
    score = play_chart_with_mma(np.random.default_rng(1), chart)
    assert score.style.startswith("mma ")
    assert score.time_signature == tuple(map(int, meter.split("/")))
    assert {part.source for part in score.parts} >= {"vocals", "bass", "drums"}
    assert share_of_chord_tones(score, "bass") > 0.45
    assert max(note.end for part in score.parts for note in part.notes) <= score.duration


@needs_mma
def test_the_library() -> None:
    files = library()
    assert sum(len(file.grooves) for file in files) > 1500
    assert len({file.path.split("/")[0] for file in files}) > 3
    for meter in ("4/4", "3/4", "6/8", "12/8"):
        for tempo in (50.0, 90.0, 130.0):
            assert files_for(meter, tempo)
    by_path = {file.path: file for file in files}
    assert by_path["stdlib/68swing"].meters == {"6/8": 2, "12/8": 2}
    assert by_path["stdlib/waltz"].meters == {"3/4": 3}
    swing = family(by_path["stdlib/swing"])
    assert {"Swing", "SwingWalk", "Swing2"} <= set(swing.carrying)
    assert "SwingFill" in swing.fills
    assert "SwingIntro" in swing.intros
    assert not any("End" in name for name in swing.carrying)


@needs_mma
def test_every_quality_over_every_bass() -> None:
    """MMA plays the tones of the label, and its bass begins on the label's bass."""
    names = [
        ChordName((5 * number) % 12, quality, (5 * number + bass) % 12)
        for number, quality in enumerate(QUALITIES)
        for bass in (0, 2, 3, 5, 7, 10)
    ]
    chords = tuple(ChordSpan(4.0 * i, 4.0 * i + 4.0, name) for i, name in enumerate(names))
    song = Progression("all", "4/4", 120.0, 0, "major", chords)
    chart = lay(song, seconds=2.0 * len(names) + 4, transpose=0)
    assert chart.bars >= len(names)
    score = play_chart_with_mma(np.random.default_rng(0), chart, "casio/oldieballad")
    assert share_of_chord_tones(score, "other") > 0.99
    onsets = [note.onset for note in score.bass_notes]
    for number, name in enumerate(names):
        start = score.downbeats[number]
        note = score.bass_notes[bisect_right(onsets, start + 0.05) - 1]
        assert abs(note.onset - start) < 0.05
        assert note.pitch % 12 == name.bass, name


@needs_mma
@pytest.mark.parametrize(
    ("meter", "groove"),
    [("4/4", "stdlib/swing"), ("3/4", "stdlib/waltz"), ("6/8", "stdlib/68swing"),
     ("12/8", "stdlib/rock-128"), ("12/8", "stdlib/blues68"), ("4/4", "stdlib/ska")],
)  # fmt: skip
def test_a_song(meter: str, groove: str) -> None:
    chart = lay(progression(SONG, meter, tempo=85.3), seconds=30)
    score = play_chart_with_mma(np.random.default_rng(3), chart, groove)
    assert score.style.startswith(f"mma {groove}:")
    assert {part.source for part in score.parts} >= {"bass", "drums", "vocals"}
    assert share_of_chord_tones(score, "other") > 0.9
    assert share_of_chord_tones(score, "bass") > 0.5
    drums = np.array([n.onset for part in score.parts if part.is_drum for n in part.notes])
    # Strokes meet the score's beats up to the end: nothing drifts.
    late = drums[(drums > score.downbeats[-3]) & (drums < score.downbeats[-1] + 0.05)]
    beats = np.array(score.beats)
    off = np.abs(late[:, None] - beats[None, :]).min(axis=1)
    assert np.count_nonzero(off < 0.03) >= 4
    notes = [note for part in score.parts for note in part.notes]
    assert max(note.end for note in notes) <= score.duration
    bass = score.bass_notes
    assert all(26 <= note.pitch <= 60 for note in bass)
    assert all(n.end <= m.onset + 1e-6 for n, m in pairwise(bass))


@needs_mma
def test_the_generator_decides() -> None:
    chart = lay(progression(BLUES), seconds=20)
    first, again, other = (
        play_chart_with_mma(np.random.default_rng(seed), chart) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@needs_mma
def test_rests_are_silent() -> None:
    chart = next(
        chart
        for seed in range(20)
        if (chart := lay(progression("C F N N G C F G C"), seed=seed, seconds=40)).rests
    )
    score = play_chart_with_mma(np.random.default_rng(0), chart, "stdlib/basicrock")
    (start, end) = (beat * 60.0 / score.tempo for beat in chart.rests[0])
    for part in score.parts:
        inside = [note for note in part.notes if start + 0.05 < note.onset < end - 0.05]
        assert bool(inside) == part.is_drum


@needs_mma
def test_mistakes() -> None:
    chart = lay(progression(BLUES), seconds=20)
    with pytest.raises(UserError, match="has no stdlib/waltz"):
        play_chart_with_mma(np.random.default_rng(0), chart, "stdlib/waltz")
    with pytest.raises(UserError, match="has no nonsense"):
        play_chart_with_mma(np.random.default_rng(0), chart, "nonsense")


@needs_mma
def test_mma_leaves_nothing_behind(tmp_path_factory: pytest.TempPathFactory) -> None:
    here = tmp_path_factory.mktemp("run")
    before, home = set(Path.cwd().iterdir()), os.environ.get("HOME", "")
    printed = mma_library.run_mma(here, "-v")
    assert any(character.isdigit() for character in printed)
    assert set(Path.cwd().iterdir()) == before
    assert os.environ.get("HOME", "") == home
    with pytest.raises(UserError, match="mma failed"):
        mma_library.run_mma(here, "missing.mma")
