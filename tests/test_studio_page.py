"""The page in a headless Chromium, from the song that is dropped to the files that are taken away.

Set STUDIO_SCREENSHOTS to a folder to keep pictures of the page.
"""

import io
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import soundfile

pytest.importorskip("playwright", reason="pip install playwright")
pytest.importorskip("starlette", reason="the page's packages are missing: pip install '.[studio]'")

import uvicorn
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.toy_studio import ENDLESS, toy_studio

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
]

RATE, SECONDS = 22050, 16.0
PATIENCE = 1000 * float(os.environ.get("STUDIO_PATIENCE", "20"))  # ms
WIDE: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 375, "height": 740}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page of a studio without models is served."""
    studio, _ = toy_studio(tmp_path_factory.mktemp("data"))
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(studio.application(), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join(5)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=6 * PATIENCE
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "Blue song.wav"
    axis = np.arange(round(SECONDS * RATE)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 330 * axis) * np.exp(-3 * (axis % 0.5))
    soundfile.write(path, np.stack([sound, sound], 1), RATE)
    return path


def until(page: Page, expression: str) -> None:
    """Wait until an expression of the page is true.

    Playwright's own way needs `eval` within the page, which the page forbids.
    """
    started = time.monotonic()
    while not page.evaluate(expression):
        assert time.monotonic() - started < PATIENCE / 1000, expression
        page.wait_for_timeout(20)


class User:
    """Somebody with a browser of their own, and what their browser did wrong."""

    def __init__(self, browser: Browser, address: str, **settings: Any) -> None:
        self.address = address
        self.context = browser.new_context(viewport=WIDE, **settings)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.mistakes: list[str] = []
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.mistakes.append(str(error)))
        self.page.on("console", self._listen)
        self.page.goto(address)

    def _listen(self, message: Any) -> None:
        if (
            message.type == "error"
            and "the server responded with a status of 4" not in message.text
        ):
            self.mistakes.append(message.text)

    def choose(self, song: Path) -> None:
        expect(self.page.locator("#file")).to_be_enabled()
        self.page.set_input_files("#file", song)

    def open(self, song: Path) -> Page:
        self.choose(song)
        expect(self.page.get_by_role("button", name="Take 1", exact=True)).to_be_visible()
        until(self.page, "studio.player.buffers.bass !== undefined")
        return self.page

    def leave(self) -> None:
        self.context.close()
        assert self.mistakes == []
        assert [url for url in self.asked if not url.startswith(self.address)] == []


@pytest.fixture
def user(browser: Browser, address: str) -> Iterator[User]:
    user = User(browser, address)
    yield user
    user.leave()


@pytest.fixture
def page(user: User, song: Path) -> Page:
    """The page with an opened song and a first take."""
    return user.open(song)


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("STUDIO_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def address_of(page: Page) -> str:
    """The address of the session that the page shows."""
    root, _, session = page.url.partition("#")
    return f"{root}api/sessions/{session}"


def bass(page: Page, take: int) -> np.ndarray:
    """The sound of a take, sample by sample."""
    got = page.request.get(f"{address_of(page)}/takes/{take}/bass").body()
    return soundfile.read(io.BytesIO(got), dtype="int32")[0]


def notes(page: Page, take: int) -> Any:
    return page.evaluate(f"studio.doc.takes.find((take) => take.number === {take}).notes")


def state(page: Page) -> Any:
    return page.evaluate("studio.doc.state")


def take_button(page: Page, number: int) -> Any:
    return page.get_by_role("button", name=f"Take {number}", exact=True)


def test_the_song_is_shown_and_played_from_one_clock(page: Page) -> None:
    expect(page.locator("#facts")).to_contain_text("120 beats per minute, 4/4, A minor")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    until(page, "studio.player.position > 0.3")
    clock = page.evaluate(
        "(({ position, context, started, offset, sources }) => "
        "[position - offset, context.currentTime - started, sources.length])(studio.player)"
    )
    assert clock[0] == pytest.approx(clock[1], abs=0.001)
    assert clock[2] == 3
    page.keyboard.press("Space")
    stopped = page.evaluate("studio.player.position")
    assert page.evaluate("studio.player.position") == stopped
    page.keyboard.press("Home")
    expect(page.locator("#position")).to_have_text("0:00.0 · bar 1")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#position")).to_have_text("0:02.0 · bar 2")
    picture(page, "wide-light")


def heard(page: Page, track: str) -> float:
    """How loud a track is made, after the change has had its time."""
    page.wait_for_timeout(150)
    return float(page.evaluate(f"studio.player.gains.{track}.gain.value"))


def test_tracks_are_muted_soloed_and_compared_with_the_original(page: Page) -> None:
    page.get_by_role("button", name="Play").click()
    assert heard(page, "bass") > 0.5
    page.get_by_role("button", name="Mute the bass").click()
    assert heard(page, "bass") < 0.01
    page.keyboard.press("m")
    page.get_by_role("button", name="Solo the bass").click()
    assert (heard(page, "backing") < 0.01, heard(page, "bass") > 0.5) == (True, True)
    page.keyboard.press("s")
    until(page, "studio.match !== null")
    said = page.request.get(f"{address_of(page)}/takes/1/loudness").json()
    mix = heard(page, "backing")
    page.keyboard.press("b")
    assert heard(page, "backing") < 0.01
    difference = 20 * np.log10(heard(page, "original") / mix)
    assert difference == pytest.approx(said["mix"] - said["original"], abs=0.1)
    page.keyboard.press("b")
    assert heard(page, "backing") == pytest.approx(mix, abs=1e-3)


def test_a_loop_repeats_the_marked_bars(page: Page) -> None:
    page.fill("#from-bar", "2")
    page.fill("#to-bar", "2")
    page.get_by_role("button", name="Mark", exact=True).click()
    page.get_by_role("button", name="Loop").click()
    page.evaluate("studio.player.seek(3.8)")
    page.get_by_role("button", name="Play").click()
    until(page, "studio.player.position > 2 && studio.player.position < 2.5")
    assert page.evaluate("studio.player.sources.every((s) => s.loop && s.loopStart === 2)")


def test_two_bars_are_redone_and_all_else_stays_bit_by_bit(page: Page) -> None:
    box = page.locator("#ruler").bounding_box()
    assert box is not None
    bar = box["width"] / (SECONDS / 2)
    page.mouse.move(box["x"] + 2.3 * bar, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 3.5 * bar, box["y"] + 10, steps=4)
    page.mouse.up()
    expect(page.locator("#from-bar")).to_have_value("3")
    expect(page.locator("#to-bar")).to_have_value("4")
    page.get_by_role("button", name="Redo marked bars").click()
    expect(take_button(page, 2)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#takes")).to_contain_text("bars 3-4 of take 1 written anew")
    picture(page, "two-takes")
    before, after = bass(page, 1), bass(page, 2)
    inside = slice(round(4 * RATE), round(8 * RATE))
    assert (before[inside] != after[inside]).any()
    before[inside] = after[inside] = 0
    np.testing.assert_array_equal(before, after)
    page.keyboard.press("1")
    expect(take_button(page, 1)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Control+z")
    expect(take_button(page, 2)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Control+z")
    expect(take_button(page, 2)).to_have_count(0)
    page.keyboard.press("Control+Shift+z")
    expect(take_button(page, 2)).to_have_attribute("aria-pressed", "true")


def test_notes_are_edited_by_keyboard_and_performed(page: Page) -> None:
    written = notes(page, 1)
    page.locator("#roll").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#spoken")).to_contain_text("Note 1 of")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#draft-row")).to_be_visible()
    picture(page, "draft")
    page.get_by_role("button", name="Perform them").click()
    expect(take_button(page, 2)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#draft-row")).to_be_hidden()
    edited = notes(page, 2)
    assert edited[0] == [*written[0][:2], written[0][2] + 2, written[0][3]]
    assert edited[1:] == written[1:]
    assert page.evaluate("studio.doc.takes[1].ranges") == [[0, 2]]
    np.testing.assert_array_equal(bass(page, 1)[2 * RATE :], bass(page, 2)[2 * RATE :])


def test_notes_are_drawn_moved_and_deleted_by_pointer_and_undone(page: Page) -> None:
    count = len(notes(page, 1))
    box = page.locator("#roll").bounding_box()
    assert box is not None

    def at(seconds: float, share: float) -> tuple[float, float]:
        return box["x"] + box["width"] * seconds / SECONDS, box["y"] + box["height"] * share

    page.get_by_role("button", name="Draw", exact=True).click()
    page.mouse.click(*at(1.27, 0.1))
    page.get_by_role("button", name="Draw", exact=True).click()
    until(page, f"studio.doc.state.draft?.length === {count + 1}")
    drawn = next(n for n in state(page)["draft"] if n[0] == pytest.approx(1.25))
    page.mouse.move(*at(1.3, 0.1))
    page.mouse.down()
    page.mouse.move(*at(1.42, 0.3), steps=3)
    page.mouse.up()
    until(page, "studio.doc.undo === 'move a note'")
    moved = next(n for n in state(page)["draft"] if n[0] == pytest.approx(1.375))
    assert moved[2] < drawn[2]
    page.get_by_role("button", name="Delete", exact=True).click()
    until(page, "studio.doc.undo === 'delete a note'")
    assert len(state(page)["draft"]) == count
    for _ in range(3):
        page.get_by_role("button", name="Undo").click()
        page.wait_for_timeout(50)
    until(page, "studio.doc.state.draft === null")


def test_a_zip_can_be_taken_away(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as started:
        page.get_by_role("link", name="Everything (ZIP)").click()
    assert started.value.suggested_filename == "Blue song - take 1.zip"
    started.value.save_as(tmp_path / "all.zip")
    with ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        names = sorted(archive.namelist())
    ends = ["backing.wav", "bass.wav", "json", "mid", "mix.wav"]
    assert names == [f"Blue song - take 1.{end}" for end in ends]


def test_a_bad_file_is_one_sentence(user: User, tmp_path: Path) -> None:
    bad = tmp_path / "letter.wav"
    bad.write_bytes(b"Dear all,")
    user.choose(bad)
    alert = user.page.get_by_role("alert")
    expect(alert).to_contain_text("letter.wav is not an audio file")
    assert "/" not in alert.inner_text()
    expect(user.page.locator("#drop")).to_be_visible()


def test_a_job_can_be_cancelled(page: Page) -> None:
    page.select_option("#tone", ENDLESS)
    until(page, f"studio.doc.state.options.tone === '{ENDLESS}'")
    page.get_by_role("button", name="Write a new line").click()
    expect(page.locator("#jobs")).to_contain_text("new line: thinking")
    picture(page, "job")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#jobs")).to_be_hidden()
    page.select_option("#tone", "picked")
    page.get_by_role("button", name="Write a new line").click()
    expect(page.locator("#takes li")).to_have_count(2)
    expect(page.locator("#takes")).to_contain_text("picked")


def test_the_session_survives_a_reload(page: Page) -> None:
    page.locator("#level").fill("-4")
    page.locator("#level").dispatch_event("change")
    until(page, "studio.doc.undo === 'change the level'")
    before = state(page)
    page.reload()
    expect(take_button(page, 1)).to_be_visible()
    assert state(page) == before
    expect(page.locator("#level-value")).to_have_text("-4.0 dB")
    page.get_by_role("button", name="Undo: change the level").click()
    expect(page.locator("#level-value")).to_have_text("0.0 dB")
    page.get_by_role("button", name="Other song").click()
    page.get_by_role("button", name="Blue song").click()
    expect(take_button(page, 1)).to_be_visible()


def test_chords_that_cannot_be_read_are_refused_and_not_kept(page: Page) -> None:
    page.fill("#chord-line", "Am | Hx")
    page.locator("#chord-line").blur()
    expect(page.get_by_role("alert")).to_contain_text("'Hx' is not a chord")
    until(page, "studio.doc.state.options.chords === ''")
    expect(page.locator("#chord-line")).to_have_value("Am | Hx")
    page.fill("#chord-line", "Am | F")
    page.locator("#chord-line").blur()
    until(page, "studio.doc.undo === 'change the options'")
    expect(page.get_by_role("alert")).to_be_empty()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_no_button_is_smaller_than_its_text(page: Page, size: ViewportSize) -> None:
    page.set_viewport_size(size)
    page.evaluate("studio.player.seek(0)")
    assert (
        page.evaluate(
            "[...document.querySelectorAll('button, .files a')]"
            ".filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.textContent)"
        )
        == []
    )


def test_a_program_that_does_not_answer_any_more_is_said(browser: Browser, address: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/api/jobs", lambda route: route.abort())
    page.goto(address)
    expect(page.locator("#gone")).to_contain_text("The program does not answer")
    page.unroute_all()
    expect(page.locator("#gone")).to_be_hidden()
    context.close()


def test_two_users_work_at_once_and_see_their_own(
    browser: Browser, address: str, song: Path, tmp_path: Path
) -> None:
    other_song = shutil.copy(song, tmp_path / "Red song.wav")
    users = [User(browser, address) for _ in range(2)]
    for user, path in zip(users, (song, Path(other_song)), strict=True):
        user.choose(path)
    for user, name in zip(users, ("Blue song", "Red song"), strict=True):
        expect(take_button(user.page, 1)).to_be_visible()
        expect(user.page.locator("#title")).to_have_text(name)
    hash = users[0].page.url.partition("#")[2]
    users[1].page.goto(f"{address}#{hash}")
    users[1].page.reload()
    expect(users[1].page.get_by_role("alert")).to_contain_text("there is no such song")
    for user in users:
        user.leave()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(
    scheme: Any, browser: Browser, address: str, song: Path
) -> None:
    user = User(browser, address, color_scheme=scheme)
    user.page.set_viewport_size(PHONE)
    picture(user.page, f"phone-start-{scheme}")
    page = user.open(song)
    too_wide = page.evaluate(
        """() => [...document.querySelectorAll("body *")]
        .filter((each) => each.getBoundingClientRect().right > innerWidth + 0.5)
        .map((each) => each.id || each.className || each.tagName)"""
    )
    assert too_wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.wait_for_timeout(200)
    picture(page, f"phone-{scheme}")
    page.set_viewport_size(WIDE)
    page.wait_for_timeout(200)
    picture(page, f"wide-{scheme}")
    weak = page.evaluate(CONTRAST)
    least = {name: 3.0 if name.startswith("bar") else 4.5 for name in weak}  # lines, and text
    assert {name: ratio for name, ratio in weak.items() if ratio < least[name]} == {}
    user.leave()


CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = style.getPropertyValue(`--${name}`).trim().slice(1);
    const parts = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
    const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pairs = [["ink", "page"], ["ink", "panel"], ["soft", "page"], ["soft", "panel"],
    ["main-ink", "main"], ["danger", "panel"], ["bar", "panel"]];
  return Object.fromEntries(pairs.map(([one, other]) => {
    const [a, b] = [light(one), light(other)];
    return [`${one} on ${other}`, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  }));
}"""


def test_everything_that_is_used_has_a_name_and_can_be_reached(page: Page) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select, textarea, canvas")]
        .filter((each) => !each.getAttribute("aria-label") && !each.textContent.trim()
          && !each.closest("label") && !each.getAttribute("aria-labelledby"))
        .map((each) => each.outerHTML)"""
    )
    assert nameless == []
    page.locator("#play").focus()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "roll":
            return
    raise AssertionError("the roll cannot be reached by Tab")


def test_the_first_screen_is_there_soon(browser: Browser, address: str) -> None:
    started = time.monotonic()
    user = User(browser, address)
    expect(user.page.locator("#drop")).to_be_visible()
    expect(user.page.locator("#limits")).to_contain_text("2 MB")
    assert time.monotonic() - started < PATIENCE / 1000
    user.leave()
