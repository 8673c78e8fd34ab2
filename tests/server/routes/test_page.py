"""The files of the page: which are served, with which headers, and their colours."""

import re
from pathlib import Path

import httpx
import pytest

import server
from server.routes.page import FILES, files_in

FOLDER = Path(server.__file__).parent / "page"
TEXTS = {path.name: path.read_text() for path in FOLDER.iterdir()}


def test_the_page(http: httpx.Client) -> None:
    response = http.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == TEXTS["index.html"]
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"


def test_every_file_is_served_as_what_it_is(http: httpx.Client) -> None:
    assert set(FILES) == TEXTS.keys()
    types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for name in TEXTS.keys() - {"index.html"}:
        response = http.get(f"/page/{name}")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(types[name.rpartition(".")[2]])
        assert response.text == TEXTS[name]


def test_only_known_kinds_of_files_may_be_served(tmp_path: Path) -> None:
    for name in ("main.js", "notes.txt", "page.py", ".env", "js"):
        (tmp_path / name).touch()
    assert set(files_in(tmp_path)) == {"main.js"}


@pytest.mark.parametrize(
    "name", ["index.html", "nothing.js", "..%2fpage.py", "%2e%2e/page.py", "", "theme.css/"]
)
def test_nothing_else_is_served(http: httpx.Client, name: str) -> None:
    assert http.get(f"/page/{name}").status_code in (307, 404)


def test_a_file_that_did_not_change_is_not_sent_again(http: httpx.Client) -> None:
    first = http.get("/page/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = http.get("/page/main.js", headers={"if-none-match": f'"x", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get("/page/main.js", headers={"if-none-match": '"x"'}).status_code == 200


def test_the_page_needs_no_key(make_http: object) -> None:
    with make_http(api_key="sesame") as http:  # type: ignore[operator]
        assert http.get("/").status_code == 200
        assert http.get("/v1/models").status_code == 401


def test_everything_that_is_referred_to_is_there() -> None:
    for name, text in TEXTS.items():
        named = re.findall(r'(?:href|src)="/page/([^"]+)"', text)
        imported = re.findall(r'from "\./([^"]+)"', text)
        assert {*named, *imported} <= set(FILES), name


def test_nothing_comes_from_elsewhere() -> None:
    for name, text in TEXTS.items():
        outside = re.findall(r"(?:https?:)?//[a-z][^\s\"']*\.[a-z]{2,}[^\s\"']*", text)
        assert set(outside) <= {"http://www.w3.org/2000/svg"}, name


def test_no_style_or_script_stands_in_the_html() -> None:
    # The policy would refuse them, and only a browser would say so.
    html = TEXTS["index.html"]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)
    assert "<script>" not in html


COLOURS = {
    name: pair
    for name, *pair in re.findall(
        r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", TEXTS["theme.css"]
    )
}
WORDS = ("ink", "muted", "image", "video", "audio", "imu", "axis-x", "axis-y", "axis-z")
GROUNDS = ("ground", "surface", "raised")
READ = [(word, ground) for word in WORDS for ground in GROUNDS] + [
    ("on-accent", "accent"),
    ("danger", "danger-ground"),
    ("ink", "danger-ground"),
]
SEEN = [(edge, ground) for edge in ("edge", "accent") for ground in ("ground", "surface")]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""
    lights = []
    for colour in (one, other):
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_contrast_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_apart(theme: int) -> None:
    needs = [(pair, 4.5) for pair in READ] + [(pair, 3.0) for pair in SEEN]
    weak = {
        pair: round(ratio, 2)
        for pair, least in needs
        if (ratio := contrast(*(COLOURS[name][theme] for name in pair))) < least
    }
    assert weak == {}
