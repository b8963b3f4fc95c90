"""Vocals that are sung, with a stand-in for the voice, so that no package is needed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest
import soundfile

from shared.band.dataset import MANIFEST, make_dataset
from shared.band.recording.render import SAMPLE_RATE
from shared.band.singing import singers
from shared.band.singing.speakers import SPEAKERS, Speaker
from shared.band.singing.voice import Singing
from shared.errors import UserError
from shared.music.notes import Note
from tests.test_band_dataset import content_of

ARGUMENTS: dict[str, Any] = {"songs": 2, "seed": 9, "seconds": 8.0, "splits": (1.0, 0.0, 0.0)}
SONGS = ("train/band-00000", "train/band-00001")
HERTZ = 3000


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set without voices. Do not write into it."""
    out = tmp_path_factory.mktemp("played")
    make_dataset(out, **ARGUMENTS)
    return out


def fake_sing(notes: Sequence[Note], num_samples: int, rng: np.random.Generator) -> Singing:
    """A tone of HERTZ with some noise, an octave below what is written."""
    tone = np.sin(2 * np.pi * HERTZ / SAMPLE_RATE * np.arange(num_samples))
    audio = (0.1 * tone + 0.001 * rng.standard_normal((2, num_samples))).astype(np.float32)
    sung = tuple(replace(note, pitch=note.pitch - 12) for note in notes)
    return Singing(audio, sung, (), {"speaker": "a tone", "licence": "CC0-1.0", "manner": {}})


def install(monkeypatch: pytest.MonkeyPatch, speakers: Sequence[Speaker] = SPEAKERS) -> None:
    """Let these speakers be installed."""
    monkeypatch.setattr(singers, "sing", fake_sing)
    monkeypatch.setattr(singers, "singing_available", lambda: bool(speakers))
    for module in ("singing.singers", "dataset"):
        monkeypatch.setattr(f"shared.band.{module}.available_speakers", lambda: tuple(speakers))


def stem(out: Path, song: str, source: str) -> np.ndarray:
    return soundfile.read(out / song / f"{source}.wav")[0]


def lead_of(out: Path, song: str) -> pretty_midi.Instrument:
    midi = pretty_midi.PrettyMIDI(str(out / song / "song.mid"))
    return next(track for track in midi.instruments if track.name.startswith("vocals"))


def test_a_voice_sings_in_all_songs(
    played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    report = make_dataset(tmp_path, **ARGUMENTS, voice=1.0)
    assert report.left_out == ()
    for song in SONGS:
        content = json.loads((tmp_path / song / "song.json").read_text())
        assert content["sung_vocals"] is True
        assert content["singers"] == [{"speaker": "a tone", "licence": "CC0-1.0"}]
        spectrum = np.abs(np.fft.rfft(stem(tmp_path, song, "vocals").mean(axis=1)))
        loudest = np.argmax(spectrum) * SAMPLE_RATE / (2 * len(spectrum) - 1)
        assert loudest == pytest.approx(HERTZ, abs=2)
        # Of the other stems only the gain differs, because one gain keeps all from clipping.
        for source in ("bass", "drums", "other"):
            before, after = (stem(out, song, source).ravel() for out in (played, tmp_path))
            assert np.corrcoef(before, after)[0, 1] > 0.9999
        before, after = lead_of(played, song), lead_of(tmp_path, song)
        assert [n.pitch - 12 for n in before.notes] == [n.pitch for n in after.notes]
        assert after.program == singers.VOICE_PROGRAM
        assert not after.pitch_bends
    assert json.loads((tmp_path / MANIFEST).read_text())["singers"] == [s.name for s in SPEAKERS]


def test_without_a_share_no_voice_is_needed(
    played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, ())
    make_dataset(tmp_path, **ARGUMENTS, voice=0.0)
    assert content_of(tmp_path) == content_of(played)
    for song in SONGS:
        assert json.loads((tmp_path / song / "song.json").read_text())["sung_vocals"] is False


def test_a_song_that_is_not_sung_is_as_it_is_without_voices(
    played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    shares = [np.random.default_rng([9, index, 1]).random() for index in range(2)]
    make_dataset(tmp_path, **ARGUMENTS, voice=float(np.mean(shares)))
    sung, not_sung = (SONGS[int(index)] for index in np.argsort(shares))
    assert content_of(tmp_path / not_sung) == content_of(played / not_sung)
    assert json.loads((tmp_path / sung / "song.json").read_text())["sung_vocals"] is True


def test_what_is_missing_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    install(monkeypatch, ())
    with pytest.raises(UserError, match=r"pyworld .* flite or espeak-ng .* leave out --voice"):
        make_dataset(out, **ARGUMENTS, voice=0.5)
    assert not out.exists()


def test_singers_that_are_left_out_are_told_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flite = [speaker for speaker in SPEAKERS if speaker.program == "flite"]
    install(monkeypatch, flite)
    one_song = {**ARGUMENTS, "songs": 1}
    report = make_dataset(tmp_path, **one_song, voice=1.0)
    missing = len(SPEAKERS) - len(flite)
    sentence = (
        f"{missing} of {len(SPEAKERS)} singers are left out, because espeak-ng or its voices are "
        "not installed"
    )
    assert report.left_out == (sentence,)
    assert f"warning: {sentence}\n" in capsys.readouterr().err
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert manifest["left_out"] == [sentence]
    install(monkeypatch)  # with other singers, other songs would follow
    with pytest.raises(UserError, match="another value of singers: give"):
        make_dataset(tmp_path, **one_song, voice=1.0)


def test_a_singer_who_fails_drops_the_song(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Singing:
        raise UserError("flite could not say 'la'")

    install(monkeypatch)
    monkeypatch.setattr(singers, "sing", fail)
    report = make_dataset(tmp_path, **{**ARGUMENTS, "songs": 1}, voice=1.0)
    assert report.songs == ()
    assert [drop.reason for drop in report.dropped] == ["flite could not say 'la'"]
