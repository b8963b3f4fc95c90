"""The same bytes from two runs, one and two threads, a wheel and the sources."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.kills import compare

ROOT = Path(__file__).parents[1]

# Trains every model on small songs, extracts codes, and generates, separates and decodes.
PIPELINE = """
import sys, torch
from pathlib import Path
import cli
from benchmarks.tiny import build
torch.set_num_threads(int(sys.argv[1]))
assert Path(cli.__file__).parent == Path(sys.argv[2]), cli.__file__
build(Path("made"))
models = ["--codec", "made/vqvae", "--device", "cpu"]
song = ["--song", "made/mix.wav", "--out", "made/out"]
for arguments in (
    ["generate-bass", *song, *models, "--prior", "made/prior", "--candidates", "2",
     "--bass-decoder", "made/bass-decoder"],
    ["separate", *song, *models, "--force"],
    ["codes", "decode", "made/codes/test/four.codes.safetensors", "--out", "made/a.wav", *models],
):
    try:
        cli.app(arguments)
    except SystemExit as stop:
        if stop.code:
            raise
"""


def run(folder: Path, threads: int, sources: Path) -> Path:
    """Run the pipeline in a folder, with the code in `sources`; return the folder of its files."""
    folder.mkdir()
    # The benchmarks are not in a wheel.
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE, str(threads), sources],
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
    return run(tmp_path_factory.mktemp("same") / "reference", 1, ROOT)


@pytest.mark.slow
def test_two_threads_give_the_same_bytes_as_one(tmp_path: Path, reference: Path) -> None:
    made = run(tmp_path / "two", 2, ROOT)
    assert list(compare(made, reference)) == []
    names = ("out/mix.mix.wav", "out/mix.json", "prior/model.safetensors", "a.wav")
    assert all((made / name).read_bytes() == (reference / name).read_bytes() for name in names)


@pytest.mark.slow
def test_a_wheel_gives_the_same_bytes_as_the_sources(tmp_path: Path, reference: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built: list[str | Path] = [
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        tmp_path,
        ROOT,
    ]
    subprocess.run(built, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True)
    made = run(tmp_path / "wheel", 1, installed)
    assert list(compare(made, reference)) == []


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
