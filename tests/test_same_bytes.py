"""The same bytes from two runs, from a wheel and from the sources; one and two threads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kills import compare
from shared.sound.files import read_audio

ROOT = Path(__file__).parents[1]

PROGRAM = """
import sys, torch
from pathlib import Path
import cli
from benchmarks.tiny import build
folder, sources, threads = sys.argv[1:4]
torch.set_num_threads(int(threads))
assert Path(cli.__file__).parent == Path(sources), cli.__file__
if folder == "made":
    build(Path(folder))
models = ["--codec", f"{folder}/vqvae", "--device", "cpu"]
song = ["--song", f"{folder}/mix.wav", "--out", "made/out"]
for arguments in (
    ["extract-codes", "--data", f"{folder}/songs", *models, "--out", "made/again"],
    ["generate-bass", *song, *models, "--prior", f"{folder}/prior", "--candidates", "2",
     "--bass-decoder", f"{folder}/bass-decoder"],
    ["separate", *song, *models, "--force"],
):
    try:
        cli.app(arguments)
    except SystemExit as stop:
        if stop.code:
            raise
"""


def run(folder: Path, sources: Path, models: Path | None = None, threads: int = 1) -> Path:
    """Train all models in a folder, or take other ones, and use them; return where the files are.

    `sources` is where the code is.
    """
    folder.mkdir()
    # The benchmarks are not in a wheel.
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, models or "made", sources, str(threads)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": f"{sources}{os.pathsep}{folder}",
            "OMP_NUM_THREADS": str(threads),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "made"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("same") / "reference", ROOT)


@pytest.mark.slow
def test_a_second_run_from_a_wheel_gives_the_same_bytes(tmp_path: Path, reference: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True)
    made = run(tmp_path / "wheel", installed)
    assert list(compare(made, reference)) == []


@pytest.mark.slow
def test_two_threads_use_models_with_the_same_result(tmp_path: Path, reference: Path) -> None:
    made = run(tmp_path / "two", ROOT, reference, threads=2)
    assert list(compare(made / "again", reference / "again")) == []
    for name in sorted(path.name for path in (reference / "out").glob("*.wav")):
        one, other = (read_audio(folder / "out" / name).samples for folder in (made, reference))
        np.testing.assert_allclose(one, other, rtol=0, atol=2**-22, err_msg=name)
    assert (made / "out/mix.mid").read_bytes() == (reference / "out/mix.mid").read_bytes()


def test_a_difference_is_found(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.txt").write_bytes(b"0")
        (tmp_path / name / "x.wav").write_bytes(content)
        (tmp_path / name / name).touch()
    assert list(compare(tmp_path / "a", tmp_path / "b")) == [
        "a stays",
        "b is missing",
        "x.wav differs",
    ]
