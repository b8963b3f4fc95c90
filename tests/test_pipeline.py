"""The four commands of the README one after the other, with `tiny` presets and a real song."""

import json
import shutil
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile
from typer.testing import CliRunner

from cli import app
from tests.conftest import WriteSong

pytestmark = pytest.mark.slow

SONGS = ("train/one", "train/two", "valid/three", "test/excerpt")
RUN_FILES = {
    "metrics.csv",
    "metrics.jsonl",
    "model.json",
    "model.safetensors",
    "run.json",
    "state.safetensors",
}
PARTS = ("listener", "composer", "performer")
TRAIN = ("--preset", "tiny", "--device", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_song: WriteSong, stem_mp4: Path) -> Path:
    """Two songs to train on, one to validate on, and the real excerpt to test on."""
    root = tmp_path_factory.mktemp("pipeline") / "songs"
    for name in ("train/one", "train/two", "valid/three"):
        write_song(root / name, seconds=3.0)
    (root / "test").mkdir()
    shutil.copy(stem_mp4, root / "test" / "excerpt.stem.mp4")
    return root


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_from_stems_to_a_new_bass(data: Path, tmp_path: Path) -> None:
    vqvae, codes, prior, bass = (tmp_path / name for name in ("vqvae", "codes", "prior", "bass"))

    run("train-vqvae", "--data", data, "--out", vqvae, *TRAIN)
    assert files(vqvae) == RUN_FILES
    cached = {f".cache/stems_44100/{song}.{end}" for song in SONGS for end in ("i16", "json")}
    cached.add(".cache/stems_44100/.lock")
    assert {name for name in files(data) if name.startswith(".cache")} == cached

    run("extract-codes", "--data", data, "--codec", vqvae, "--out", codes, "--device", "cpu")
    assert files(codes) == {
        ".lock",
        "manifest.json",
        *(f"{song}.codes.safetensors" for song in SONGS),
    }
    again = run("extract-codes", "--data", data, "--codec", vqvae, "--out", codes)
    assert "0 written, 4 already there" in again

    edit_and_decode(codes / "test/excerpt.codes.safetensors", vqvae, tmp_path / "edited")

    run("train-prior", "--codes", codes, "--out", prior, *TRAIN)
    parts = {f"{part}/{name}" for part in PARTS for name in RUN_FILES}
    assert files(prior) == {"model.json", "model.safetensors", *parts}
    fingerprints = [
        json.loads(path.read_text())["fingerprint"]
        for path in (vqvae / "model.json", codes / "manifest.json")
    ]
    assert fingerprints[0] == fingerprints[1]

    made = run(
        *("generate-bass", "--song", data / "test/excerpt.stem.mp4", "--device", "cpu"),
        *("--codec", vqvae, "--prior", prior, "--out", bass),
    )
    sounds = ("bass.wav", "backing.wav", "mix.wav")
    endings = (*sounds, "mid", "codes.safetensors", "png", "json")
    expected = {f"excerpt.{end}" for end in endings}
    assert files(bass) == expected
    assert set(made.split()) == {str(bass / name) for name in expected}
    for name in ("excerpt.bass.wav", "excerpt.mix.wav"):
        info = soundfile.info(bass / name)
        assert (info.frames, info.samplerate, info.channels) == (268288, 44100, 2)
    described = json.loads((bass / "excerpt.json").read_text())
    assert described["seed"] == 0
    assert len(described["candidates"]) == 16
    grid = pretty_midi.PrettyMIDI(str(bass / "excerpt.mid"))
    first = next(time for time in described["downbeats"] if time > 0.1)
    assert np.abs(grid.get_downbeats() - first).min() < 0.01
    made_by = json.loads((prior / "model.json").read_text())["fingerprint"]
    assert described["checkpoints"] == {"codec": fingerprints[0], "prior": made_by}


def edit_and_decode(song: Path, codec: Path, out: Path) -> None:
    """Run each of the codes commands once."""
    edited = out / "edited.codes.safetensors"
    shown = run("codes", "show", song, "--view", "alone", "--picture", out / "codes.png")
    assert "268288 samples" in shown
    edits = ("--mute", "vocals", "--replace", f"bass={song}", "--splice", "0-1", "--at", "2")
    run("codes", "edit", song, *edits, "--shift", "0.5", "--codec", codec, "--out", edited)
    decode = ("--sources", "bass,drums", "--codec", codec, "--out", out / "decoded.wav")
    run("codes", "decode", edited, *decode)
    assert files(out) == {"codes.png", "edited.codes.safetensors", "decoded.wav"}
    assert soundfile.info(out / "decoded.wav").frames == 268288
