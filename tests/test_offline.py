"""No command uses the network, and none loads a pickle, which could run any code."""

import io
import json
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from benchmarks.tiny import write_songs
from shared.codes.song_codes import SongCodes
from shared.errors import UserError
from shared.training.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[1]

# Runs commands, each given as a line of arguments, and refuses what Python tells of sockets and
# pickles. numba reads its own cache of compiled functions, which is in a folder of the user.
GUARDED = """
import sys, traceback

def guard(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        raise SystemExit(f"{event} {arguments}")
    if event == "pickle.find_class":
        if not any("numba" in frame.filename for frame in traceback.extract_stack()):
            raise SystemExit(f"{event} {arguments}")

sys.addaudithook(guard)
import cli
for line in sys.stdin.read().splitlines():
    print(">", line, flush=True)
    try:
        cli.app(line.split("\\t"))
    except SystemExit as stop:
        if stop.code:
            raise
"""
COMMANDS = """
make-dataset --out band --songs 1 --seconds 8
check-data songs
train-vqvae --data songs --out vqvae --preset tiny
extract-codes --data songs --codec vqvae --out codes
train-bass-decoder --data songs --codes codes --codec vqvae --out decoder --preset tiny
train-prior --codes codes --out prior --preset tiny
generate-bass --song songs/test/four/bass.wav --codec vqvae --prior prior --candidates 1
separate --song songs/test/four/bass.wav --codec vqvae
codes show codes/test/four.codes.safetensors --picture codes.png
codes edit codes/test/four.codes.safetensors --mute bass --codec vqvae --out a.codes.safetensors
codes decode a.codes.safetensors --codec vqvae --out a.wav
config show tiny
config diff vqvae prior/listener
evaluate-vqvae --data songs --codec vqvae --codec vqvae --label a --label b --out report
evaluate-prior --codes codes --codec vqvae --prior prior --split all --songs 2 --seconds 5
compare report
train-naive-prior --codes codes --out naive --preset tiny
ablate-prior --codes codes --codec vqvae --prior prior --out parts --split all --songs 2 --seconds 5
ablate --data songs --preset tiny --out ablation --set train.steps=1 --songs 1
reproduce-paper --data songs --preset tiny --prior-preset tiny --set train.steps=1 --seconds 1
generate-bass --from new_bass/bass.json --codec vqvae --prior prior --out again
"""


@pytest.mark.slow
def test_every_command_works_without_a_network_and_without_pickles(tmp_path: Path) -> None:
    write_songs(tmp_path / "songs", 5.0)
    lines = COMMANDS.strip().splitlines()
    commands = {line.split()[0] for line in lines}
    listed = subprocess.run(
        [sys.executable, ROOT / "cli.py", "--help"], capture_output=True, text=True, check=True
    ).stdout.partition("Commands:")[2]
    named = {line.split()[0] for line in listed.splitlines() if line[:3].strip() and line.strip()}
    assert named - commands == {"studio"}  # which must serve its page: see below
    done = subprocess.run(
        [sys.executable, "-c", GUARDED],
        input="\n".join(line.replace(" ", "\t") for line in lines),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert done.stdout.count("\n> ") == len(lines) - 1


# Python runs this at its start where it is called sitecustomize, so that it guards all processes
# of a page. They may talk to each other and to the browser of this machine, but to nobody else.
GUARDED_PAGE = """
import os, sys

def guard(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.sendto"):
        place = arguments[1]
    elif event == "socket.getaddrinfo":
        place = arguments[:2]
    else:
        return
    if isinstance(place, tuple) and place[0] != "127.0.0.1":
        os.write(2, f"OUTSIDE {event} {place}".encode())
        os._exit(1)

sys.addaudithook(guard)
"""


@pytest.fixture
def guard_of_page(tmp_path: Path) -> dict[str, str]:
    """The environment in which Python runs GUARDED_PAGE at its start."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARDED_PAGE)
    return {
        "PYTHONPATH": f"{tmp_path / 'guard'}:{ROOT}",
        "OMP_NUM_THREADS": "1",
        "PATH": "/usr/bin:/bin",
    }


def write_a_line(address: str, song: bytes) -> list[Any]:
    """Open a song as the page does, and return its takes as soon as there is one."""
    browser = HTTPConnection(address.removeprefix("http://"), timeout=60)
    browser.request("POST", "/api/me", headers={"Origin": address})
    answer = browser.getresponse()
    known = {"Cookie": (answer.headers["Set-Cookie"] or "").partition(";")[0]}
    answer.read()

    def ask(method: str, path: str, content: bytes | None = None) -> Any:
        browser.request(method, path, content, {"Origin": address, **known})
        return json.loads(browser.getresponse().read())

    made = ask("POST", "/api/sessions?name=song.wav", song)
    until = time.monotonic() + 240
    while time.monotonic() < until:
        if takes := ask("GET", f"/api/sessions/{made['id']}").get("takes", []):
            return list(takes)
        time.sleep(0.2)
    return []


@pytest.mark.slow
def test_a_page_writes_a_line_without_a_network(
    guard_of_page: dict[str, str], tmp_path: Path
) -> None:
    song = io.BytesIO()
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(2 * 44100) / 44100)
    soundfile.write(song, tone, 44100, format="WAV")
    command = [sys.executable, str(ROOT / "cli.py"), "studio", "--port", "0"]
    command += ["--out", str(tmp_path / "page")]
    errors = tmp_path / "errors.txt"
    with (
        errors.open("w") as said,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, env=guard_of_page
        ) as served,
    ):
        try:
            assert served.stdout is not None
            takes = write_a_line(served.stdout.readline().strip().rstrip("/"), song.getvalue())
        finally:
            served.terminate()
    assert len(takes) == 1, errors.read_text()
    assert "OUTSIDE" not in errors.read_text()


@pytest.mark.parametrize(
    "program", ["s.socket().connect(('192.0.2.1', 9))", "s.getaddrinfo('a', 1)"]
)
def test_the_guard_of_the_page_notices(program: str, guard_of_page: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import socket as s; {program}"],
        capture_output=True,
        text=True,
        env=guard_of_page,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("OUTSIDE")


@pytest.mark.parametrize(
    ("event", "program"),
    [
        ("socket.connect", "import socket; socket.socket().connect(('127.0.0.1', 9))"),
        ("socket.getaddrinfo", "import socket; socket.getaddrinfo('localhost', 1)"),
        ("pickle.find_class", "import pickle, os; pickle.loads(pickle.dumps(os.getcwd))"),
    ],
)
def test_the_guard_notices(event: str, program: str) -> None:
    before = GUARDED.partition("import cli")[0]
    done = subprocess.run([sys.executable, "-c", before + program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(event)


def test_a_pickle_is_no_checkpoint_and_no_codes_file(tmp_path: Path) -> None:
    for suffix in (".safetensors", ".codes.safetensors"):
        torch.save({"weights": torch.ones(1)}, tmp_path / f"a{suffix}")
    with pytest.raises(UserError, match="is damaged"):
        load_checkpoint(tmp_path / "a.safetensors", "vqvae")
    with pytest.raises(UserError, match="as a codes file"):
        SongCodes.load(tmp_path / "a.codes.safetensors")


def test_arrays_of_the_page_hold_no_pickles(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", codes=np.array([{"any": "object"}]))
    with (
        np.load(tmp_path / "a.npz", allow_pickle=False) as stored,
        pytest.raises(ValueError, match="Object arrays cannot be loaded"),
    ):
        stored["codes"]
    for file in (ROOT / "stage2_prior").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert text.count("np.load(") == text.count("allow_pickle=False")


@pytest.mark.parametrize("folder", ["shared", "stage1_vqvae", "stage2_prior"])
def test_no_module_loads_pickles(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for word in ("import pickle", "torch.load(", "joblib", "allow_pickle=True", "marshal"):
            assert word not in text, (file, word)
