"""Songs that sound like records, with a stand-in for the sampled kits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from shared.band.dataset import MANIFEST, make_dataset
from shared.band.drums.drum_kits import DrumKit, KitPlay
from shared.band.recording import mastering, records
from shared.band.recording.mastering import MasteringChances
from shared.band.scores.score import Part
from shared.errors import UserError
from shared.music.song_facts import SongFacts, read_song_facts
from shared.sources import SOURCES
from tests.test_band_dataset import content_of

ARGUMENTS: dict[str, Any] = {"songs": 2, "seed": 4, "seconds": 8.0, "splits": (1.0, 0.0, 0.0)}
SONG = "train/band-00000"
KIT = DrumKit("a stand-in", "CC0-1.0", {})


def play_clicks(kit: DrumKit, part: Part, num_samples: int, rng: np.random.Generator) -> KitPlay:
    """A click for every stroke; `left` has none."""
    audio = np.zeros((2, num_samples), np.float32)
    for note in part.notes:
        audio[:, min(round(note.onset * 44100), num_samples - 1)] = 0.5
    return KitPlay(audio, Part(part.source, part.name, part.program, True, ()))


def install(monkeypatch: pytest.MonkeyPatch, *kits: DrumKit) -> None:
    """Let these kits be installed."""
    for module in ("recording.records", "dataset"):
        monkeypatch.setattr(f"shared.band.{module}.installed_kits", lambda: kits)
    monkeypatch.setattr(records, "play_kit", play_clicks)
    monkeypatch.setattr(records, "SAMPLED_KITS", 1.0)
    monkeypatch.setattr(records, "ELECTRONIC_KICKS", 0.0)


def facts_of(out: Path) -> SongFacts:
    return read_song_facts(out / SONG / "song.json")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The songs without `records`. Do not write into it."""
    out = tmp_path_factory.mktemp("plain")
    make_dataset(out, **ARGUMENTS)
    return out


def test_a_record_has_a_kit_amplifiers_and_a_master(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, KIT)
    make_dataset(tmp_path, **ARGUMENTS, records=1.0)
    content = json.loads((tmp_path / SONG / "song.json").read_text())
    parts = content["record"]["parts"]
    assert parts["drums"] == {"kit": "a stand-in", "licence": "CC0-1.0"}
    assert "amplifier" in parts["bass"]
    assert "record" not in json.loads((plain / SONG / "song.json").read_text())
    stems = [soundfile.read(tmp_path / SONG / f"{s}.wav", dtype="int16")[0] for s in SOURCES]
    mixture = soundfile.read(tmp_path / SONG / "mixture.wav", dtype="int16")[0]
    assert (np.sum(stems, axis=0) == mixture).all()
    assert all(stem.any() for stem in stems[1:])


def test_a_detuned_record_has_its_own_times(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, KIT)
    detuned = MasteringChances(0, 0, 0, 0, 0, 0, detuning=1.0, coding=0)
    monkeypatch.setattr(mastering, "MasteringChances", lambda: detuned)
    make_dataset(tmp_path, **ARGUMENTS, records=1.0)
    facts, before = facts_of(tmp_path), facts_of(plain)
    done = facts.content["record"]["mastering"]["detuning"]
    assert 0 < abs(done["cents"]) <= 40
    scale = done["time_scale"]
    assert scale == pytest.approx(2 ** (-done["cents"] / 1200), abs=1e-5)
    assert np.allclose(facts.beats, np.array(before.beats) * scale, atol=1e-5)
    assert facts.bass_notes is not None
    assert before.bass_notes is not None
    for field in ("pitch", "velocity"):
        assert [getattr(n, field) for n in facts.bass_notes] == [
            getattr(n, field) for n in before.bass_notes
        ]
    assert facts.bass_program == before.bass_program is not None
    assert np.allclose(
        [n.onset for n in facts.bass_notes],
        [n.onset * scale for n in before.bass_notes],
        atol=1e-5,
    )
    samples = [soundfile.info(out / SONG / "bass.wav").frames for out in (tmp_path, plain)]
    assert samples[0] == pytest.approx(samples[1] * scale, abs=1)


def test_songs_that_are_no_records_are_as_without_the_option(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, KIT)
    make_dataset(tmp_path, **ARGUMENTS, records=1e-9)
    assert content_of(tmp_path / SONG) == content_of(plain / SONG)


def test_without_kits_soundfonts_play_and_this_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch)
    report = make_dataset(tmp_path, **{**ARGUMENTS, "songs": 1}, records=1.0)
    assert "warning: no sampled drum kit is installed" in capsys.readouterr().err
    content = json.loads((tmp_path / SONG / "song.json").read_text())
    assert content["record"]["parts"]["drums"] == {}
    assert json.loads((tmp_path / MANIFEST).read_text())["left_out"] == list(report.left_out)
    install(monkeypatch, KIT)
    with pytest.raises(UserError, match="another value of kits"):
        make_dataset(tmp_path, **{**ARGUMENTS, "songs": 1}, records=1.0)


def test_a_share_is_from_0_to_1(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"records is 1\.5: give a share of the songs"):
        make_dataset(tmp_path / "out", **ARGUMENTS, records=1.5)
    assert not (tmp_path / "out").exists()
