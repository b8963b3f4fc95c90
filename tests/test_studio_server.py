"""The server of the page: sessions, takes, history, downloads, and whom it refuses."""

import io
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason="the page's packages are missing: pip install '.[studio]'")

from mido import MidiFile
from starlette.testclient import TestClient
from typer.testing import CliRunner

from stage2_prior.studio.orders import OpenSong
from stage2_prior.studio.server import COOKIE, Limits
from tests.toy_studio import BEAT, ENDLESS, ToyWorker, toy_studio

ROOT = Path(__file__).parents[1]
URL = "http://127.0.0.1:8765"
RATE, SECONDS = 22050, 8.0
PAGE = {"Origin": URL}


def song_bytes(seconds: float = SECONDS) -> bytes:
    time_axis = np.arange(round(seconds * RATE)) / RATE
    file = io.BytesIO()
    soundfile.write(file, 0.25 * np.sin(2 * np.pi * 440 * time_axis), RATE, format="WAV")
    return file.getvalue()


@pytest.fixture
def worker() -> list[ToyWorker]:
    return []


@pytest.fixture
def client(tmp_path: Path, worker: list[ToyWorker]) -> Iterator[TestClient]:
    studio, toy = toy_studio(tmp_path / "data")
    worker.append(toy)
    with TestClient(studio.application(), base_url=URL, headers=PAGE) as client:
        client.post("/api/me")
        yield client


def eventually(look: Callable[[], Any]) -> Any:
    """What `look` returns as soon as that is true."""
    for _ in range(400):
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError("it never came")


def session_with(client: TestClient, path: str, takes: int) -> Any:
    """The session, as soon as it has so many takes."""

    def look() -> Any:
        answer = client.get(path)
        return answer.json() if len(answer.json().get("takes", ())) == takes else None

    return eventually(look)


@pytest.fixture
def path(client: TestClient) -> str:
    """The address of a session with one take."""
    made = client.post("/api/sessions", params={"name": "My song.v2.wav"}, content=song_bytes())
    assert made.status_code == 200, made.text
    path = f"/api/sessions/{made.json()['id']}"
    session_with(client, path, 1)
    return path


def problem(answer: Any) -> str:
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"])


def act(client: TestClient, path: str, action: str, **changes: Any) -> Any:
    return client.put(f"{path}/state", json={"action": action, "changes": changes})


def bass(client: TestClient, path: str, take: int) -> np.ndarray:
    sound = client.get(f"{path}/takes/{take}/bass").content
    return soundfile.read(io.BytesIO(sound), dtype="int32")[0]


def test_a_song_becomes_a_session_with_a_take(client: TestClient, path: str) -> None:
    found = client.get(path).json()
    assert found["name"] == "My song.v2"
    assert found["song"]["seconds"] == SECONDS
    assert found["song"]["bars"] == [[0, 2], [2, 4], [4, 6], [6, 8]]
    assert found["song"]["firstBar"] == 1
    assert found["song"]["tempo"] == 120
    assert found["state"]["current"] == 1
    assert found["undo"] == "new line"
    assert [note[0] for note in found["takes"][0]["notes"]][:3] == [0, BEAT, 2 * BEAT]
    assert client.post("/api/me").json()["sessions"] == [
        {"id": path.rpartition("/")[2], "name": "My song.v2"}
    ]


def test_the_sound_is_what_was_sent(client: TestClient, path: str) -> None:
    sent, _ = soundfile.read(io.BytesIO(song_bytes()))
    for name in ("original", "backing"):
        got, rate = soundfile.read(io.BytesIO(client.get(f"{path}/{name}").content))
        assert rate == RATE
        np.testing.assert_allclose(got[:, 0], sent, atol=1e-6)


def test_bars_are_redone_and_the_rest_stays_bit_by_bit(client: TestClient, path: str) -> None:
    made = client.post(f"{path}/takes", json={"parent": 1, "ranges": [[2, 4], [4, 6]]})
    assert made.json() == {"take": 2}
    found = session_with(client, path, 2)
    assert found["state"]["current"] == 2
    assert found["takes"][1]["ranges"] == [[2, 6]]
    before, after = bass(client, path, 1), bass(client, path, 2)
    inside = slice(round(2 * RATE), round(6 * RATE))
    assert (before[inside] != after[inside]).any()
    before[inside] = after[inside] = 0
    np.testing.assert_array_equal(before, after)


def test_edited_notes_are_performed_and_the_draft_is_gone(client: TestClient, path: str) -> None:
    notes = client.get(path).json()["takes"][0]["notes"]
    notes[9][2] += 5
    assert act(client, path, "move a note", draft=notes).json()["state"]["draft"] == notes
    client.post(f"{path}/takes", json={"parent": 1, "notes": notes})
    found = session_with(client, path, 2)
    assert found["takes"][1]["notes"] == notes
    assert found["takes"][1]["ranges"] == [[4, 6]]
    assert found["state"]["draft"] is None
    assert found["undo"] == "edited notes"


def test_every_action_can_be_undone_and_done_again(client: TestClient, path: str) -> None:
    states = [client.get(path).json()["state"]]
    actions: list[tuple[str, dict[str, Any]]] = [
        ("change the level", {"level": -3.5}),
        ("mark bars", {"marked": [[0, 2]]}),
        ("change the options", {"options": {"tone": "picked", "boldness": 1.5}}),
        ("hide take 1", {"takes": [], "current": None}),
    ]
    for action, changes in actions:
        done = act(client, path, action, **changes).json()
        assert done["undo"] == action
        states.append(done["state"])
    assert states[-1]["options"]["tone"] == "picked"
    for state in states[-2::-1]:
        assert client.post(f"{path}/undo").json()["state"] == state
    assert client.post(f"{path}/redo").json()["state"] == states[1]
    while client.get(path).json()["undo"]:
        client.post(f"{path}/undo")
    assert problem(client.post(f"{path}/undo")) == "there is nothing to undo"
    act(client, path, "change the level", level=1)
    assert problem(client.post(f"{path}/redo")) == "there is nothing to do again"


def test_a_session_survives_the_server(client: TestClient, path: str, tmp_path: Path) -> None:
    act(client, path, "change the level", level=2)
    before = client.get(path).json()
    studio, _ = toy_studio(tmp_path / "data")
    with TestClient(studio.application(), base_url=URL, cookies=client.cookies) as again:
        assert again.get(path).json() == before


def test_a_take_does_not_take_over_while_notes_are_edited(client: TestClient, path: str) -> None:
    act(client, path, "move a note", draft=[[0, 1, 40, 90]])
    client.post(f"{path}/takes", json={"parent": None})
    found = session_with(client, path, 2)
    assert (found["state"]["current"], found["state"]["draft"]) == (1, [[0, 1, 40, 90]])


def test_the_downloads_agree_with_each_other(client: TestClient, path: str) -> None:
    answer = client.get(f"{path}/takes/1/download/zip", params={"level": -6})
    assert "My%20song.v2%20-%20take%201.zip" in answer.headers["content-disposition"]
    with ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name.partition("take 1.")[2]: archive.read(name) for name in archive.namelist()}
    assert set(files) == {"bass.wav", "backing.wav", "mix.wav", "mid", "json"}
    sound = {
        name: soundfile.read(io.BytesIO(files[f"{name}.wav"]))[0]
        for name in ("bass", "backing", "mix")
    }
    assert all(len(each) == SECONDS * RATE for each in sound.values())
    np.testing.assert_allclose(sound["mix"], sound["bass"] + sound["backing"], atol=1e-6)
    raw = bass(client, path, 1) / 2**31
    np.testing.assert_allclose(sound["bass"], raw * 10 ** (-6 / 20), atol=1e-6)
    assert [m.text for m in MidiFile(file=io.BytesIO(files["mid"])).tracks[0] if m.type == "marker"]
    said = json.loads(files["json"])
    assert (said["song"], said["take"], said["tempo"]) == ("My song.v2", 1, 120)
    assert len(said["notes"]) == 15
    single = client.get(f"{path}/takes/1/download/bass.wav", params={"level": -6})
    assert single.content == files["bass.wav"]


def test_downloads_that_would_clip_are_all_made_softer_by_the_same_amount(
    client: TestClient, path: str
) -> None:
    answer = client.get(f"{path}/takes/1/download/zip", params={"level": 12})
    with ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name.partition("take 1.")[2]: archive.read(name) for name in archive.namelist()}
    mix, bass_, backing = (
        soundfile.read(io.BytesIO(files[f"{name}.wav"]))[0] for name in ("mix", "bass", "backing")
    )
    assert np.abs(mix).max() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(mix, bass_ + backing, atol=1e-6)
    scale = json.loads(files["json"])["peaks"]["scale"]
    raw = bass(client, path, 1) / 2**31
    np.testing.assert_allclose(bass_, scale * raw * 10 ** (12 / 20), atol=1e-6)
    single = client.get(f"{path}/takes/1/download/backing.wav", params={"level": 12})
    assert single.content == files["backing.wav"]


def test_the_loudness_of_original_and_mix_is_told(client: TestClient, path: str) -> None:
    soft = client.get(f"{path}/takes/1/loudness", params={"level": -24}).json()
    loud = client.get(f"{path}/takes/1/loudness", params={"level": 6}).json()
    assert soft["original"] == loud["original"] == pytest.approx(soft["mix"], abs=0.3)
    assert loud["mix"] > soft["mix"] + 1


@pytest.mark.parametrize(("bass", "remove"), [(None, None), ("remove", True), ("leave", False)])
def test_what_happens_to_the_songs_own_bass_can_be_chosen(
    client: TestClient, worker: list[ToyWorker], bass: str | None, remove: bool | None
) -> None:
    params = {"name": "a.wav"} | ({} if bass is None else {"bass": bass})
    client.post("/api/sessions", params=params, content=song_bytes())
    (order,) = eventually(lambda: worker[0].orders[:1])
    assert isinstance(order, OpenSong)
    assert order.remove_bass is remove


def test_a_choice_that_does_not_exist_leaves_no_folder(client: TestClient) -> None:
    params = {"name": "a.wav", "bass": "louder"}
    answer = client.post("/api/sessions", params=params, content=song_bytes())
    assert answer.status_code == 400
    assert "choose one of auto, remove, leave" in answer.json()["error"]
    assert client.post("/api/me").json()["sessions"] == []


def test_a_file_that_is_no_song_leaves_one_sentence_and_no_folder(
    client: TestClient, tmp_path: Path
) -> None:
    made = client.post("/api/sessions", params={"name": "../x/notes.txt"}, content=b"no sound")
    folder = made.json()["id"]

    def gone() -> bool:
        return not list((tmp_path / "data").glob(f"*/{folder}"))

    assert eventually(gone)
    assert "removed" in problem(client.get(f"/api/sessions/{folder}"))


@pytest.mark.parametrize(
    ("limits", "content", "sentence"),
    [
        (Limits(0.1, 1), song_bytes(), "larger than 0.1 MB"),
        (Limits(1, 1), b"", "the file is empty"),
    ],
)
def test_files_that_are_refused(
    limits: Limits, content: bytes, sentence: str, tmp_path: Path
) -> None:
    studio, worker = toy_studio(tmp_path / "data", limits)
    with TestClient(studio.application(), base_url=URL, headers=PAGE) as client:
        client.post("/api/me")
        sent = client.post("/api/sessions", params={"name": "a.wav"}, content=content)
        assert sentence in problem(sent)
        parts = (content[at : at + 1000] for at in range(0, len(content), 1000))
        assert sentence in problem(client.post("/api/sessions?name=a.wav", content=parts))
    assert not worker.orders
    assert not list((tmp_path / "data").glob("*/*"))


def test_a_job_can_be_cancelled_and_the_next_one_is_done(
    client: TestClient, path: str, worker: list[ToyWorker]
) -> None:
    before = client.get(path).json()
    act(client, path, "change the options", options={"tone": ENDLESS})
    client.post(f"{path}/takes", json={"parent": None})
    act(client, path, "change the options", options={"tone": "fingered"})
    client.post(f"{path}/takes", json={"parent": None})
    eventually(lambda: [each for each in worker[0].orders if getattr(each, "number", 0) == 2])
    jobs = jobs_of(client)
    assert [(job["label"], job["state"], job["before"]) for job in jobs[-2:]] == [
        ("new line", "running", 0),
        ("new line", "waiting", 1),
    ]
    assert client.delete(f"/api/jobs/{jobs[-2]['id']}").status_code == 200
    found = session_with(client, path, 2)
    assert [take["number"] for take in found["takes"]] == [1, 3]
    assert found["takes"][0] == before["takes"][0]
    assert "no such job" in problem(client.delete(f"/api/jobs/{jobs[-2]['id']}"))


def jobs_of(client: TestClient) -> Any:
    """The jobs of the user, as the page is told of them first."""
    app: Any = client.app
    studio = next(route.endpoint.__self__ for route in app.routes if route.path == "/api/me")
    return studio._jobs.of(client.cookies[COOKIE])


def test_users_do_not_see_each_other(client: TestClient, path: str) -> None:
    other = TestClient(client.app, base_url=URL, headers=PAGE)
    assert "does not know you" in problem(other.get(path))
    assert other.post("/api/me").json()["sessions"] == []
    assert other.cookies[COOKIE] != client.cookies[COOKIE]
    assert len(other.cookies[COOKIE]) >= 40
    for answer in (
        other.get(path),
        other.get(f"{path}/original"),
        other.get(f"{path}/takes/1/bass"),
        other.get(f"{path}/takes/1/download/zip"),
        other.delete(path),
        other.post(f"{path}/undo"),
    ):
        assert "there is no such song" in problem(answer)
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {"Host": "evil.example"}),
        ("GET", "/api/jobs", {"Host": "127.0.0.1.evil.example:8765"}),
        ("POST", "/api/me", {"Origin": "http://evil.example"}),
        ("POST", "/api/me", {"Origin": "http://127.0.0.1:9999"}),
        ("POST", "/api/me", {"Origin": "null"}),
        ("DELETE", "/api/sessions/x", {"Origin": "https://127.0.0.1:8765"}),
        ("GET", "/api/sessions/x/original", {"Sec-Fetch-Site": "cross-site"}),
        ("GET", "/api/sessions/x", {"Sec-Fetch-Site": "same-site"}),
    ],
)
def test_requests_of_others_are_refused(
    client: TestClient, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_change_without_an_origin_is_refused(client: TestClient) -> None:
    del client.headers["Origin"]
    assert client.post("/api/me").status_code == 403
    assert client.get("/").status_code == 200


def test_answers_forbid_everything_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    cookie = client.post("/api/me").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"level": 99}, "the level must be a number from -24 to 12"),
        ({"volume": 1}, "fields that do not exist"),
        ({"level": True}, "the level must be a number"),
        ({"current": 7}, "not among those shown"),
        ({"takes": [1, 9]}, "take must be a number"),
        ({"draft": [[0, 1, 200, 90]]}, "the pitch must be a number from 23 to 70"),
        ({"draft": [[99, 1, 40, 90]]}, "the onset of a note must be a number from 0 to 8"),
        ({"marked": [[0, 99]]}, "the edge of a bar"),
        ({"options": {"tone": "kazoo"}}, "there is no such tone"),
        ({"options": {"sound": "/etc/passwd"}}, "there is no such sound"),
        ({"options": {"chords": "/etc/passwd.txt"}}, "is not a line of chords"),
        ({"options": {"chords": "off"}}, "is not a line of chords"),
        ({"options": {"chords": "Am | Hx"}}, "'Hx' is not a chord"),
        ({"options": {"lowest": 50, "highest": 40}}, "must rise"),
    ],
)
def test_a_state_that_cannot_be_is_refused(
    client: TestClient, path: str, changes: dict[str, Any], sentence: str
) -> None:
    before = client.get(path).json()
    assert sentence in problem(act(client, path, "try", **changes))
    assert client.get(path).json() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"{}" + b" " * 5_000_000])
def test_a_body_that_is_no_order_is_refused(client: TestClient, path: str, body: bytes) -> None:
    problem(client.put(f"{path}/state", content=body))


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a/../b", "x" * 30])
def test_no_path_leads_out_of_the_folder(client: TestClient, name: str) -> None:
    answer = client.get(f"/api/sessions/{name}")
    assert answer.status_code in (400, 404)
    assert "/tmp" not in answer.text


def test_the_server_starts_without_the_packages_that_take_seconds_to_import() -> None:
    """Which takes seconds to import; the page is to be there at once."""
    code = (
        "import sys, stage2_prior.studio.server as server; "
        "sys.exit(bool({'torch', 'scipy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "99999"], "there is no port 99999"),
        (["--most-minutes", "0"], "must be above 0"),
        (["--codec", "nothing"], "there is no checkpoint at nothing"),
    ],
)
def test_a_page_that_cannot_be_served_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    import cli

    result = CliRunner().invoke(cli.app, ["studio", "--out", str(tmp_path / "new"), *arguments])
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    import cli

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(
            cli.app, ["studio", "--out", str(tmp_path), "--port", str(port)]
        )
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert f"port {port} cannot be used" in result.stderr


def test_ctrl_c_ends_the_page_without_complaint(tmp_path: Path) -> None:
    """Also while a browser listens for news of its jobs, whose answer ends as it should."""
    command = [sys.executable, "cli.py", "studio", "--port", "0", "--out", str(tmp_path / "out")]
    command += ["--prior", str(tmp_path)]  # which holds none: no models are needed
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # Ctrl-C may be ignored where the tests run in the background.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as served:
        assert served.stdout is not None
        address = served.stdout.readline().strip()
        browser = HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=30)
        browser.request("POST", "/api/me", headers={"Origin": address.rstrip("/")})
        known = browser.getresponse()
        cookie = (known.headers["Set-Cookie"] or "").partition(";")[0]
        known.read()
        browser.request("GET", "/api/jobs", headers={"Cookie": cookie})
        news = browser.getresponse()
        assert news.readline() == b"data: []\r\n"
        served.send_signal(signal.SIGINT)
        assert news.read().strip() == b""  # IncompleteRead where it was cut off
        _, said = served.communicate(timeout=30)
    assert "ERROR" not in said
    assert "Traceback" not in said
    assert served.returncode == 130


def test_what_is_not_the_pages_own_stays_in_its_folder(tmp_path: Path) -> None:
    """Only songs that were not opened are removed when a page starts."""
    mine = tmp_path / "albums" / "first" / "song.wav"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"sound")
    half = tmp_path / ("u" * 43) / ("s" * 22)
    half.mkdir(parents=True)
    (half / "session.json").write_text("{}")
    toy_studio(tmp_path)
    assert mine.exists()
    assert not half.exists()


def test_a_song_can_be_removed(client: TestClient, path: str, tmp_path: Path) -> None:
    assert client.delete(path).status_code == 200
    assert "there is no such song" in problem(client.get(path))
    assert not list((tmp_path / "data").glob("*/*"))
