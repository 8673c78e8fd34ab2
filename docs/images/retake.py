"""Take the screenshots of the page again: the built-in model answers about its own examples.

    .venv/bin/python docs/images/retake.py              # starts a service for it
    .venv/bin/python docs/images/retake.py URL          # asks one that runs

Needs Debian's `chromium`. What the model answers is printed and shown as it is, right or wrong.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from server.demo import FOLDER, served

IMAGES = Path(__file__).parent
DESKTOP = (1040, 680)
FLAT = (1040, 580)
PHONE = (390, 780)
# Previews are drawn after their media are decoded, and answers scroll into sight.
SETTLED_MS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A screenshot.

    Attributes:
        name: Of the file, page-NAME.png.
        kinds: Examples that are attached, one after the other.
        theme: light or dark.
        size: Of the window, in CSS pixels.
        is_sent: Each example is asked about, in one conversation; else all wait to be sent.
    """

    name: str
    kinds: tuple[str, ...] = ()
    theme: str = "light"
    size: tuple[int, int] = DESKTOP
    is_sent: bool = True


SHOTS = (
    Shot(name="welcome"),
    Shot(name="welcome-dark", theme="dark"),
    Shot(name="attached", kinds=("image", "audio", "video", "imu"), is_sent=False),
    Shot(name="image", kinds=("image",), size=FLAT),
    Shot(name="clip", kinds=("video",), size=FLAT, theme="dark"),
    Shot(name="sound", kinds=("audio",), size=FLAT),
    Shot(name="motion", kinds=("imu",), size=FLAT, theme="dark"),
    Shot(name="phone", kinds=("imu", "audio"), size=PHONE),
    Shot(name="phone-dark", size=PHONE, theme="dark"),
)


def main(arguments: list[str]) -> None:
    """Take every shot."""
    with service(arguments) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for shot in SHOTS:
            width, height = shot.size
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=shot.theme
            )
            page.goto(url)
            page.locator(".example").first.wait_for()
            take(shot, page)
            page.close()
        browser.close()


@contextmanager
def service(arguments: list[str]) -> Iterator[str]:
    """The service that was named, or one of our own until the block ends."""
    if arguments:
        yield arguments[0]
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    with served() as url:
        yield url


def take(shot: Shot, page: Any) -> None:
    """Attach, ask, and take the picture."""
    for number, kind in enumerate(shot.kinds, start=1):
        menu = page.locator(f"#tools [data-kind={kind}]")
        menu.locator("summary").click()
        menu.get_by_text("Make an example").click()
        page.locator(f"#tray [data-kind={kind}]").locator("canvas, img").first.wait_for()
        page.wait_for_timeout(SETTLED_MS)
        if shot.is_sent:
            page.click("#send")
            page.locator(".figures").nth(number - 1).wait_for(timeout=120_000)
            sys.stdout.write(f"{shot.name}: {page.locator('.answered .words').last.inner_text()}\n")
    page.locator("#question").blur()
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=IMAGES / f"page-{shot.name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
