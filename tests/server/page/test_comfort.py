"""The page without a mouse, without sight, in the dark and on a phone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI

GROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(250, 249, 247)", "rgb(21, 23, 27)"


def test_keyboard_alone(here: Any, files: dict[str, Path]) -> None:
    page = here.page
    # From the start: listening is switched on in the browser in its own time, and a file chooser
    # that opens before it is, is never told of.
    page.on("filechooser", lambda chooser: chooser.set_files(files["image"]))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # from the question to the first menu
    assert page.evaluate("document.activeElement.title") == "Image"
    page.keyboard.press("Enter")
    page.locator("#tools [data-kind=image][open]").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Choose a file"
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove scene.png").focus()
    page.keyboard.press("Tab")
    page.keyboard.type("What is it?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Say.")
    page.keyboard.press("Enter")
    page.locator(".answered .figures").wait_for()
    assert page.locator(".answered .words").inner_text() == "What is it?\nSay. +1"


def test_escape_closes_a_menu_and_stops_an_answer(here: Any) -> None:
    here.page.click("#tools [data-kind=audio] summary")
    here.page.keyboard.press("Escape")
    assert here.page.locator("#tools details[open]").count() == 0
    assert here.page.evaluate("document.activeElement.title") == "Sound"
    here.page.fill("#question", "forever")
    here.page.keyboard.press("Enter")
    here.page.locator(".answered .words").get_by_text("forever").wait_for()
    here.page.locator("#question").press("Escape")
    here.page.get_by_text("You stopped the answer.").wait_for()


def test_an_answer_is_announced_by_sentences(here: Any) -> None:
    here.page.evaluate("""() => {
      window.said = [];
      const region = document.getElementById("announcer");
      const hear = () => window.said.push(region.textContent);
      new MutationObserver(hear).observe(region, { childList: true });
    }""")
    here.ask("One is here. Two are there")
    said = here.page.evaluate("window.said")
    assert said == ["Waiting for the answer", "One is here.", " Two are there"]


NAMELESS = """() => {
  const kinds = "button, input, select, textarea, summary, a, canvas, img";
  const controls = document.querySelectorAll(kinds);
  const name = (control) =>
    control.getAttribute("aria-label") || control.alt || control.labels?.[0]?.textContent.trim() ||
    control.textContent.trim();
  return [...controls]
    .filter((control) => control.offsetParent && !control.closest("[aria-hidden=true]"))
    .filter((control) => !name(control) && control.alt !== "")
    .map((control) => control.outerHTML);
}"""


def test_everything_has_a_name(here: Any, files: dict[str, Path]) -> None:
    for kind, path in files.items():
        here.attach(kind, path).locator("canvas, img").first.wait_for()
    assert here.page.evaluate(NAMELESS) == []
    here.ask("What is it?")
    assert here.page.evaluate(NAMELESS) == []
    assert here.page.get_attribute("html", "lang") == "en"
    ids = here.page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))


def test_light_and_dark(visit: Callable[..., Any], app: FastAPI) -> None:
    page = visit(app, color_scheme="dark").page
    toggle = page.get_by_role("button", name="Theme")
    assert page.evaluate(GROUND) == DARK
    toggle.click()
    assert toggle.get_attribute("aria-label") == "Theme: light"
    assert page.evaluate(GROUND) == LIGHT
    page.reload()
    assert page.evaluate(GROUND) == LIGHT  # it was remembered
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(GROUND) == DARK
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Theme: dark").click()
    assert page.evaluate(GROUND) == LIGHT


def test_less_motion(visit: Callable[..., Any], app: FastAPI) -> None:
    page = visit(app, reduced_motion="reduce").page
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.example')).transitionDuration")
        == "0s"
    )


def test_phone(visit: Callable[..., Any], app: FastAPI, files: dict[str, Path]) -> None:
    here = visit(app, viewport={"width": 320, "height": 640}, has_touch=True)
    for kind, path in files.items():
        here.attach(kind, path).locator("canvas, img").first.wait_for()
    here.page.click("#tools [data-kind=imu] summary")
    assert here.page.get_by_text("Record this phone's sensors").is_visible()
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert here.page.evaluate(overflow) == 0
    here.ask("What is it?")
    assert here.page.evaluate(overflow) == 0
    sizes = here.page.evaluate(
        "[...document.querySelectorAll('#tools summary, .bar button, .send')]"
        ".filter((each) => each.offsetParent).map((each) => each.offsetHeight)"
    )
    assert min(sizes) >= 40
