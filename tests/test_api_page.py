"""Every sample of docs/api.md runs, one after another, and does what the page says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from shared.codes.manifest import read_manifest
from shared.sources import BASS
from tests.conftest import WriteSong

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
SECONDS = 4.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, write_song: WriteSong) -> dict[str, Any]:
    """What the samples leave, with the models that ship."""
    folder = tmp_path_factory.mktemp("api")
    for name in ("train/one", "valid/two", "test/three"):
        song = write_song(folder / "songs" / name)
    stems = [soundfile.read(path)[0] for path in sorted(song.glob("*.wav"))]
    repeats = round(2 * SECONDS)
    soundfile.write(folder / "song.wav", np.tile(sum(stems), (repeats, 1)), 44100)
    made: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for sample in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
            exec(compile(sample, str(PAGE), "exec"), made)
        made["folder"] = folder
        made["files"] = {path.name for path in folder.glob("*.wav")}
    return made


def test_codes_are_decoded_at_the_level_of_the_song(names: dict[str, Any]) -> None:
    samples = round(SECONDS * 44100)
    assert names["song"].shape == names["rhythm"].shape == (2, samples)
    assert names["codes"].dtype == np.uint16
    assert names["codes"].shape[0] == 4
    assert names["files"] == {"song.wav", "rhythm.wav", "new_bass.wav"}
    whole = names["codec"].decode(names["codes"], samples) / np.float32(names["coded"].gain)
    np.testing.assert_allclose(
        names["coded"].decode(names["codec"].sources), whole, rtol=0, atol=1e-3
    )


def test_only_the_bass_is_moved(names: dict[str, Any]) -> None:
    changed = (names["edited"] != names["codes"]).any((1, 2))
    assert changed.tolist() == [index == BASS for index in range(4)]
    assert names["later"].shape == names["song"].shape


def test_a_line_is_written_and_heard(names: dict[str, Any]) -> None:
    assert names["line"].codes.shape == names["codes"].shape[1:]
    assert names["sound"].shape == names["song"].shape
    assert np.isfinite(names["sound"]).all()
    assert 0 <= names["figures"].voiced_share <= 1


def test_the_line_is_as_it_is_wished(names: dict[str, Any]) -> None:
    played = names["on_chords"].played
    assert played
    assert {note.pitch for note in played} <= set(range(28, 41))
    begun = names["on_chords"].chords[0].start  # no chord is given before the first bar
    pitch_classes = {note.pitch % 12 for note in played if note.onset >= begun - 1e-6}
    assert pitch_classes
    assert pitch_classes <= {9, 0, 4, 5, 7, 11, 2}  # of Am, F and G
    given = names["fixed"][0] != names["FREE"]
    assert given.sum() == round(names["codec"].frame_rate)
    assert np.array_equal(names["continued"].notes[given], names["fixed"][0][given])


def test_songs_are_encoded(names: dict[str, Any]) -> None:
    files = read_manifest(names["folder"] / "codes").files
    assert [path.name.partition(".")[0] for path in files] == ["three", "one", "two"]
    assert names["each"].track == "two"
