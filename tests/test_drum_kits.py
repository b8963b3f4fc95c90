"""Sampled kits and electronic kicks: what a stroke is played by, when it sounds, how low it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shared.band.drums.drum_kits import (
    debian_licence,
    drum_role,
    installed_kits,
    play_kit,
)
from shared.band.drums.drum_samples import Drum, Layer, Sample
from shared.band.drums.electronic_kicks import (
    ElectronicKick,
    draw_kick,
    four_on_the_floor,
    kick_sound,
    play_kicks,
)
from shared.band.recording.render import SAMPLE_RATE
from shared.band.scores.score import Part
from shared.errors import UserError
from shared.music.notes import Note

needs_kits = pytest.mark.skipif(
    not installed_kits(), reason="needs Debian's hydrogen-drumkits or avldrums.lv2-soundfont"
)


def drum_part(*keys: int, step: float = 0.25, velocity: int = 100) -> Part:
    notes = tuple(Note(0.1 + i * step, 0.1, key, velocity) for i, key in enumerate(keys))
    return Part("drums", "drums", 0, True, notes)


def onset(audio: np.ndarray, start: float, end: float) -> float:
    """When the loudness between two times (s) first exceeds a fifth of its maximum."""
    level = np.abs(audio).max(axis=0)[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
    return start + float(np.argmax(level > 0.2 * level.max())) / SAMPLE_RATE


def write_kit(folder: Path, licence: str = "CC0") -> Path:
    """A kit of decaying tones: a kick in two layers, a snare and an open and a closed hat."""
    drums = {"Kick": (60, 70), "Snare Rock": (200,), "Closed HH": (6000,), "Open HH": (7000,)}
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    xml = [f"<drumkit_info><name>Test</name><license>{licence}</license><instrumentList>"]
    kit = folder / "Test"
    kit.mkdir(parents=True)
    for name, pitches in drums.items():
        xml.append(f"<instrument><name>{name}</name><volume>1</volume><pan_L>1</pan_L>")
        for number, hertz in enumerate(pitches):
            file = f"{name} {number}.wav"
            tone = 0.8 * np.sin(2 * np.pi * hertz * seconds) * np.exp(-seconds / 0.5)
            soundfile.write(kit / file, np.pad(tone, (2000, 0)), SAMPLE_RATE)
            bounds = f"<min>{number / len(pitches)}</min><max>{(number + 1) / len(pitches)}</max>"
            xml.append(f"<layer><filename>{file}</filename>{bounds}</layer>")
        xml.append("</instrument>")
    (kit / "drumkit.xml").write_text("".join([*xml, "</instrumentList></drumkit_info>"]))
    return folder


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Pearl Kick", "kick"),
        ("BassDrum", "kick"),
        ("Snare (Pearl Free Floating Maple 14x3.5)", "snare"),
        ("Pearl Snare Rimshot", "snare2"),
        ("VariBreaks Hat 1 Cl", "hat"),
        ("Hat Op Dirty", "open"),
        ("Side OHH", "open"),
        ("VariBreaks Hat 1 Pd", "pedal"),
        ("Hi-Hat Pedal (Paiste)", "pedal"),
        ("Floor Tom", "tom_low"),
        ("c4 - middle tom", "tom_mid"),
        ("Paiste Bell", "bell"),
        ("Cowbell", "cowbell"),
        ("Crash Left", "crash"),
        ("Zildjian Splash Choke", ""),
        ("17", ""),
    ],
)
def test_drums_are_known_by_their_names(name: str, role: str) -> None:
    assert drum_role(name) == role


def test_a_kit_is_read_and_played_on_time_with_the_layer_for_the_velocity(tmp_path: Path) -> None:
    (kit,) = installed_kits(write_kit(tmp_path), tmp_path)
    assert (kit.name, kit.licence) == ("Test", "CC0")
    part = drum_part(36, 51, 42, step=0.8)
    played = play_kit(kit, part, 3 * SAMPLE_RATE, np.random.default_rng(0))
    assert [note.pitch for note in played.left.notes] == [51]
    assert onset(played.audio, 0.05, 0.3) == pytest.approx(0.1, abs=0.005)
    assert onset(played.audio, 1.6, 1.8) == pytest.approx(1.7, abs=0.005)
    peaks = []
    for velocity in (40, 120):
        quiet = play_kit(
            kit, drum_part(36, velocity=velocity), SAMPLE_RATE, np.random.default_rng(0)
        )
        peaks.append(float(np.argmax(np.abs(np.fft.rfft(quiet.audio[0])))))
    assert peaks == pytest.approx([60, 70], abs=1.5)


def test_the_next_stroke_closes_an_open_hat(tmp_path: Path) -> None:
    (kit,) = installed_kits(write_kit(tmp_path), tmp_path)
    open_hat = play_kit(kit, drum_part(46), SAMPLE_RATE, np.random.default_rng(0)).audio
    closed = play_kit(kit, drum_part(46, 44), SAMPLE_RATE, np.random.default_rng(0)).audio
    spectra = [np.abs(np.fft.rfft(a[0, int(0.4 * SAMPLE_RATE) :])) for a in (open_hat, closed)]
    ring = round(7000 * len(open_hat[0, int(0.4 * SAMPLE_RATE) :]) / SAMPLE_RATE)
    assert spectra[1][ring] < 0.1 * spectra[0][ring]


def test_a_stroke_is_the_same_on_both_sides_only_if_the_kit_says_so(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(1000, 0.5), SAMPLE_RATE)
    drum = Drum("a", (1.0, 0.25), (Layer(Sample(tmp_path / "a.wav"), 0.0, 1.0),), curve=1.0)
    left, right = drum.stroke(0.5)
    assert left[0] == pytest.approx(0.25, abs=1e-3)
    assert np.allclose(right, left / 4)
    with pytest.raises(UserError, match="cannot read the drum sample"):
        replace(drum, layers=(Layer(Sample(tmp_path / "no.wav"), 0.0, 1.0),)).stroke(1.0)


def test_the_licence_is_the_last_that_the_copyright_file_states(tmp_path: Path) -> None:
    file = tmp_path / "copyright"
    file.write_text(
        "Format: x\n\nFiles: *\nCopyright: A\nLicense: GPL-2+\n\n"
        "Files:\n drumkits/My?Kit.h2drumkit\n drumkits/b\nCopyright: B\nLicense: CC-BY-3.0\n text\n"
    )
    assert debian_licence(file, "drumkits/My Kit.h2drumkit") == "CC-BY-3.0"
    assert debian_licence(file, "drumkits/c") == "GPL-2+"
    assert debian_licence(tmp_path / "no", "drumkits/c") == ""


@pytest.mark.slow
@needs_kits
def test_installed_kits_state_their_licence_and_play_a_beat() -> None:
    assert all(kit.licence != "unknown" for kit in installed_kits())
    part = drum_part(36, 42, 38, 42)
    for kit in installed_kits()[::5]:
        played = play_kit(kit, part, round(1.5 * SAMPLE_RATE), np.random.default_rng(1))
        assert not played.left.notes
        assert 0.1 < np.abs(played.audio).max() < 1.0
        assert onset(played.audio, 0.05, 0.3) == pytest.approx(0.1, abs=0.01)
        assert onset(played.audio, 0.55, 0.8) == pytest.approx(0.6, abs=0.01)
    again = play_kit(kit, part, round(1.5 * SAMPLE_RATE), np.random.default_rng(1))
    assert np.array_equal(again.audio, played.audio)


def test_no_kits_are_no_error(tmp_path: Path) -> None:
    assert installed_kits(tmp_path / "a", tmp_path / "b") == ()


def test_a_kick_is_as_low_as_it_says_and_starts_at_once() -> None:
    kicks = [draw_kick(np.random.default_rng(seed)) for seed in range(12)]
    assert {kick.kind for kick in kicks} == {"808", "house"}
    for kick in kicks:
        assert 35 <= kick.hertz <= 60
        sound = kick_sound(kick)
        tail = sound[int(4 * kick.sweep_seconds * SAMPLE_RATE) :]
        tail = tail[: int(3 * kick.decay_seconds * SAMPLE_RATE)]
        spectrum = np.abs(np.fft.rfft(tail * np.hanning(len(tail)), 1 << 19))
        peak = np.argmax(spectrum) * SAMPLE_RATE / (1 << 19)
        assert peak == pytest.approx(kick.hertz, rel=0.12)
        assert np.argmax(np.abs(sound) > 0.1) < 0.005 * SAMPLE_RATE
        energy = np.cumsum(sound**2)
        rings = np.argmax(energy > 0.95 * energy[-1]) / SAMPLE_RATE
        assert (rings > 0.3) == (kick.kind == "808")


def test_an_808_is_stopped_by_the_next() -> None:
    long = ElectronicKick("808", 50.0, 2.0, 0.02, 1.0, 1.0, 0.0)
    notes = [Note(0.1, 0.1, 36, 127), Note(0.6, 0.1, 36, 30)]
    audio = play_kicks(long, notes, SAMPLE_RATE)
    before, after = (np.abs(audio[:, int(t * SAMPLE_RATE) :][:, :2000]).max() for t in (0.5, 0.65))
    assert after < 0.5 * before


def test_four_on_the_floor_has_a_kick_on_each_beat_that_the_drums_play() -> None:
    beats = [0.5 * beat for beat in range(16)]
    notes = tuple(Note(0.25 * i, 0.1, 42, 80) for i in range(16))
    part = Part("drums", "drums", 0, True, (*notes, Note(0.75, 0.1, 36, 90)))
    floor = four_on_the_floor(part, beats)
    kicks = [note.onset for note in floor.notes if note.pitch == 36]
    assert kicks == [beat for beat in beats if beat < 4.3]
    assert len([note for note in floor.notes if note.pitch == 42]) == 16
