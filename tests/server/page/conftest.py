"""A real browser on the page of a real service, whose model says back what it was told."""

import dataclasses
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI

from anymal.media.limits import Limits
from anymal.modality import MODALITIES, read_medium
from anymal.playground import clips, motions, scenes, sounds
from anymal.protocol.conversation import Conversation, TextPart
from server.served.models import Backend
from tests.server.conftest import EchoEngine

sync_api = pytest.importorskip("playwright.sync_api", reason="the Playwright client is missing")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Far more than it takes; a machine that is busy elsewhere must not fail a test.
WITHIN_MS = 60_000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # A camera that shows a clock, a microphone that beeps, and nobody who has to allow them.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    no_browser = pytest.mark.skip(reason="no chromium on this machine: apt-get install chromium")
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(no_browser)


@pytest.fixture
def engine() -> EchoEngine:
    """So slow that a browser can stop it: `forever` takes 256 letters, 13 seconds."""
    return EchoEngine(pause_s=0.05)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    # Not for the session: while Playwright runs, no other event loop can start on this thread.
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, timeout=WITHIN_MS
        )
        yield browser
        browser.close()


@pytest.fixture
def backend(backend: Backend) -> Backend:
    return dataclasses.replace(backend, modalities=tuple(MODALITIES))


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serves an app on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A page that is open, and what it did.

    Attributes:
        page: Playwright's page.
        url: The service.
        asked: Bodies of the questions that were sent.
        complaints: What the browser's console was told, and scripts that failed.
        expected: Beginnings of complaints that the test provokes.
    """

    page: Any
    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def attach(self, kind: str, path: Path) -> Any:
        """Choose a file in the menu of a kind; returns its card."""
        self.page.set_input_files(f"#tools [data-kind={kind}] input", path)
        card = self.page.locator(f"#tray [data-kind={kind}]").last
        card.wait_for()
        return card

    def menu(self, kind: str, words: str) -> None:
        """Choose a line of a menu."""
        self.page.click(f"#tools [data-kind={kind}] summary")
        self.page.locator(f"#tools [data-kind={kind}]").get_by_text(words).click()

    def ask(self, words: str) -> str:
        """Ask, and return what is answered once it is whole."""
        count = self.page.locator(".answered").count()
        self.page.fill("#question", words)
        self.page.click("#send")
        answer = self.page.locator(".answered").nth(count)
        answer.locator(".figures, .failure").wait_for()
        return str(answer.inner_text())

    def signals(self) -> dict[str, Any]:
        """What the library's own decoders read in the media of the last question, by kind."""
        conversation = Conversation.model_validate({"messages": self.asked[-1]["messages"]})
        signals = {}
        for part in conversation.messages[-1].parts:
            if isinstance(part, TextPart):
                continue
            row = next(row for row in MODALITIES.values() if part.type in row.part_types)
            hints = {"num_frames": 8} if "num_frames" in row.hints else {}
            medium = read_medium(part, limits=Limits(), base_dir=None)
            signals[row.name] = row.decode(medium, Limits(), **hints)
        return signals


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Visit]]:
    """Opens the page of an app, and holds it to its promises when the test ends."""
    visits: list[Visit] = []
    with ExitStack() as stack:

        def open_page(app: FastAPI, *, is_ready: bool = True, **context: Any) -> Visit:
            url = stack.enter_context(served(app))
            page = stack.enter_context(chromium.new_context(**context)).new_page()
            page.set_default_timeout(WITHIN_MS)
            seen = Visit(page=page, url=url)
            listen(seen)
            page.goto(url)
            if is_ready:
                page.locator("#model:enabled").wait_for()
            visits.append(seen)
            return seen

        yield open_page
    for seen in visits:
        outside = [each for each in seen.addresses if not each.startswith((seen.url, "blob:"))]
        assert outside == []
        complaints = [c for c in seen.complaints if not c.startswith(tuple(seen.expected))]
        assert complaints == []


def listen(visit: Visit) -> None:
    """Keep what a page asks for and what it complains about."""

    def on_request(request: Any) -> None:
        visit.addresses.append(request.url)
        if request.method == "POST":
            visit.asked.append(request.post_data_json)

    def on_console(message: Any) -> None:
        if message.type in ("error", "warning"):
            visit.complaints.append(message.text)

    visit.page.on("request", on_request)
    visit.page.on("console", on_console)
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))


@pytest.fixture
def here(visit: Callable[..., Visit], app: FastAPI) -> Visit:
    """The page, open."""
    return visit(app)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each modality, from the playground."""
    folder = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(0)
    clip = clips.render_clip(clips.draw_clip(rng), rng)
    motion = motions.render_motion(motions.draw_motion(rng), rng)
    sound = sounds.render_sound(sounds.draw_sound(rng), rng)
    content = {
        "image": ("scene.png", scenes.to_png(scenes.render_scene(scenes.draw_scene(rng), rng))),
        "video": ("clip.mp4", clips.to_mp4(clip)),
        "audio": ("sound.wav", sounds.to_wav(sound)),
        "imu": ("motion.csv", motions.to_csv(motion)),
    }
    paths = {kind: folder / name for kind, (name, _) in content.items()}
    for kind, (_, data) in content.items():
        paths[kind].write_bytes(data)
    return paths
