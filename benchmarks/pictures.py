"""Take the pictures of the page in docs/pictures, while the shipped models write a bass on it.

    python -m benchmarks.pictures --song song.wav --out docs/pictures

It starts the command `studio`, opens the song in a headless Chromium (`apt-get install chromium`),
lets a first line be written, writes two bars anew, and edits a note.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

PATIENCE = 600_000  # ms
WIDE: ViewportSize = {"width": 1180, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
CLI = Path(__file__).parents[1] / "cli.py"


def take_pictures(page: Page, song: Path, out: Path) -> None:
    """Use the page, and take pictures of it on the way."""
    page.set_input_files("#file", song)
    wait_for_take(page, 1)
    page.get_by_role("button", name="To the start").click()
    page.screenshot(path=out / "page.png", clip={"x": 0, "y": 0, **WIDE})

    page.fill("#from-bar", "3")
    page.fill("#to-bar", "4")
    page.get_by_role("button", name="Mark", exact=True).click()
    page.get_by_role("button", name="Redo marked bars").click()
    wait_for_take(page, 2)
    page.locator(".panels").scroll_into_view_if_needed()
    page.get_by_role("region", name="Takes").screenshot(path=out / "takes.png")

    for _ in range(3):
        page.get_by_role("button", name="Show less of the song, larger").click()
    page.locator("#roll").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator("#draft-row")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=out / "notes.png", clip={"x": 0, "y": 0, "width": 1180, "height": 800})

    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)
    page.screenshot(path=out / "phone.png")


def wait_for_take(page: Page, number: int) -> None:
    """Wait until a take is there and its sound is loaded."""
    expect(page.get_by_role("button", name=f"Take {number}", exact=True)).to_be_visible()
    while not page.evaluate(f"studio.doc.state.current === {number} && studio.match !== null"):
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)


def main() -> None:
    """Serve the page, and take the pictures."""
    parser = argparse.ArgumentParser(description="Take pictures of the page.")
    parser.add_argument("--song", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(CLI), "studio", "--port", "0", "--out", folder]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served,
            sync_playwright() as playwright,
        ):
            assert served.stdout is not None
            try:
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox"], timeout=PATIENCE
                )
                expect.set_options(timeout=PATIENCE)
                page = browser.new_page(viewport=WIDE)
                page.set_default_timeout(PATIENCE)
                page.goto(served.stdout.readline().strip())
                expect(page.locator("#file")).to_be_enabled()
                take_pictures(page, given.song, given.out)
                browser.close()
            finally:
                served.terminate()


if __name__ == "__main__":
    main()
