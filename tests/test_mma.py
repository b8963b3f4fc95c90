"""Arrangements by MMA, with a stand-in for the program, which need not be installed."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest

from shared.band import mma
from shared.band.compose import compose
from shared.band.score import Part, Score
from shared.errors import UserError
from shared.music.notes import Note


def part(source: str) -> Part:
    return Part(source, source, 0, source == "drums", (Note(0.0, 1.0, 40),))


def song_in(unit: int) -> Score:
    """A short song in x/4 or x/8."""
    songs = (compose(seed, "ballad", seconds=12.0) for seed in range(50))
    return next(song for song in songs if song.time_signature[1] == unit)


def test_where_mma_is_missing_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mma.shutil, "which", lambda _: None)
    mma.grooves.cache_clear()
    with pytest.raises(UserError, match="mma is not installed; install Debian's package mma"):
        mma.grooves(4)


def test_grooves_have_a_bass_and_the_beats_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "rock": "Time 4\nBass Sequence B1\nDefGroove Rock8\nDefGroove RockIntro\n",
        "waltz": "Time 3\nWalk Sequence W1\nDefGroove Waltz\n",
        "solo": "Time 4\nChord Sequence C1\nDefGroove Solo\n",
        "plain": "Bass Sequence B1\nDefGroove Plain\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.mma").write_text(text)
    monkeypatch.setattr(mma, "_GROOVES", tmp_path)
    monkeypatch.setattr(mma.shutil, "which", lambda _: "/usr/bin/mma")
    mma.grooves.cache_clear()
    assert mma.grooves(4) == ("Plain", "Rock8")
    assert mma.grooves(3) == ("Waltz",)
    mma.grooves.cache_clear()


def test_all_parts_but_the_vocals_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    score = song_in(4)
    monkeypatch.setattr(mma, "grooves", lambda beats: ("Bare", "Full"))
    tried: list[str] = []

    def play(groove: str, _: Any) -> tuple[Part, ...]:
        tried.append(groove)
        sources = ("other",) if groove == "Bare" else ("bass", "drums", "other", "vocals")
        return tuple(map(part, sources))

    monkeypatch.setattr(mma, "_play", play)
    for seed in range(4):
        arranged = mma.arrange(score, np.random.default_rng(seed))
        assert arranged.style == "mma Full"
        vocals = [each for each in score.parts if each.source == "vocals"]
        assert arranged.parts == (*vocals, part("bass"), part("drums"), part("other"))
        assert arranged.chords == score.chords
    assert "Bare" in tried


def test_a_song_in_eighths_keeps_the_built_in_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mma, "grooves", lambda beats: ("Full",))
    score = song_in(8)
    assert mma.arrange(score, np.random.default_rng(0)) is score


def test_mma_is_given_a_chord_for_each_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    score = song_in(4)
    charts: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[:2] == ["mma", "-f"]
        charts.append(Path(command[3]).read_text())
        song = pretty_midi.PrettyMIDI()
        song.instruments.append(pretty_midi.Instrument(0, name="Walk"))
        song.instruments[0].notes = [
            pretty_midi.Note(90, 40, start, start + 0.5) for start in (0.0, score.duration + 1)
        ]
        song.write(command[2])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(mma.subprocess, "run", run)
    (bass,) = mma._play("Rock8", score)
    assert (bass.source, len(bass.notes)) == ("bass", 1)  # the note after the song is left out
    lines, beats = charts[0].splitlines(), score.time_signature[0]
    assert lines[:4] == ["RndSeed 1", f"Tempo {score.tempo:.3f}", f"Time {beats}", "Groove Rock8"]
    assert len(lines) - 4 == len(score.downbeats)
    assert all(len(line.split()) == 1 + beats for line in lines[4:])
    assert lines[4].split()[:2] == ["1", score.chords[0].symbol]


def test_what_mma_cannot_play_is_told_with_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    score = song_in(4)

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "one\nunknown groove", "")

    monkeypatch.setattr(mma.subprocess, "run", run)
    with pytest.raises(UserError, match=r"cannot play the groove X \(unknown groove\)"):
        mma._play("X", score)
