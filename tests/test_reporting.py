"""What a command that works on songs says, and where."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from shared import reporting as module
from shared.errors import UserError
from shared.estimate import Estimate, Step
from shared.reporting import BarReporter, LineReporter, Reporter, Result, reporting

ROOT = Path(__file__).parents[1]
ONCE, EACH = [Step("load", 0.1)], [Step("read", 0.1), Step("write", 0.1)]
RESULT = Result(Path("a.wav"), {"bass": Path("a.bass.wav")}, {"key": "A minor"}, {"notes": 8})


def job(reporter: Reporter) -> None:
    reporter.step("load")
    reporter.begin_song(Path("a.wav"))
    reporter.step("read")
    reporter.step("write", 30.0)
    reporter.result(RESULT)
    reporter.table(["song", "result"], [["a.wav", "written"]])


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr(module, "err_console", console)
    return console


def test_without_a_terminal_every_step_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(ONCE, EACH) as reporter:
        assert type(reporter) is LineReporter
        job(reporter)
    out, err = capsys.readouterr()
    assert out == "a.bass.wav\n"
    assert err.splitlines()[:4] == ["load", "read", "write", "key  A minor"]


def test_lines_name_the_song_where_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(ONCE, EACH) as reporter:
        reporter.expect([Path("a.wav"), Path("b[1].wav")])
        job(reporter)
        reporter.failed(Path("b[1].wav"), "it is empty")
    err = capsys.readouterr().err
    assert err.splitlines()[:3] == ["load", "a.wav: read", "a.wav: write"]
    assert err.endswith("error: b[1].wav: it is empty\n")


def test_quiet_prints_the_files_only(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(ONCE, EACH, quiet=True) as reporter:
        job(reporter)
    assert capsys.readouterr() == ("a.bass.wav\n", "")


def test_json_has_an_object_for_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(ONCE, EACH, as_json=True) as reporter:
        job(reporter)
        reporter.failed(Path("b.wav"), "it is empty")
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["step", "step", "step", "result", "failed"]
    assert [event.get("step") for event in events[:3]] == ["load", "read", "write"]
    assert events[0]["song"] is None
    assert events[1]["song"] == "a.wav"
    assert 0 < events[2]["done"] < 1
    assert events[2]["seconds_left"] >= 0
    result = {"event": "result", "song": "a.wav", "files": {"bass": "a.bass.wav"}, "notes": 8}
    assert events[3] == result
    assert events[4] == {"event": "failed", "song": "b.wav", "error": "it is empty"}
    assert err == ""


def test_json_tells_of_a_mistake_that_ends_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="it is empty"), reporting(ONCE, EACH, as_json=True):
        raise UserError("it is empty")
    (event,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert event == {"event": "failed", "song": None, "error": "it is empty"}


def test_both_are_refused() -> None:
    with (
        pytest.raises(UserError, match="--quiet and --json exclude each other"),
        reporting(ONCE, EACH, quiet=True, as_json=True),
    ):
        pass


def test_a_terminal_has_a_bar_that_moves_within_a_step(terminal: Console) -> None:
    now = [0.0]
    reporter = BarReporter(Estimate([Step("load", 10.0)], EACH, lambda: now[0]))
    reporter.step("load")
    shown = []
    for now[0] in (1.0, 75.0):
        with terminal.capture() as capture:
            terminal.print(reporter._render())
        shown.append(Text.from_ansi(capture.get()).plain)
    assert "load" in shown[0]
    assert "0:01, about 0:0" in shown[0]
    assert "1:15, about 0:0" in shown[1]
    percents = [int(re.findall(r"(\d+)%", text)[0]) for text in shown]
    assert 5 < percents[0] < percents[1] < 100
    reporter.expect([Path("one/a [1].wav"), Path("two/a [1].wav")])
    reporter.begin_song(Path("one/a [1].wav"))
    with terminal.capture() as capture:
        terminal.print(reporter._render())
    assert "one/a [1].wav" in capture.get()


def test_the_results_come_out_beside_the_bar(
    terminal: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = BarReporter(Estimate(ONCE, EACH))
    with reporter.running():
        job(reporter)
    assert capsys.readouterr().out == "a.bass.wav\n"
    written = terminal.file
    assert isinstance(written, io.StringIO)
    assert "A minor" in written.getvalue()


def test_the_bar_closes_when_something_fails(terminal: Console) -> None:
    reporter = BarReporter(Estimate(ONCE, EACH))
    with pytest.raises(ZeroDivisionError), reporter.running():
        1 / 0  # noqa: B018
    assert not reporter._live.is_started


def test_reporting_loads_nothing_heavy() -> None:
    """Something is seen before torch and numpy are loaded."""
    code = "import sys, shared.reporting, stage2_prior.steps; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(run.stdout.split()) & {"torch", "numpy", "scipy", "soundfile", "av"}
