"""Bundles that an operator adds, replaces and removes while the service runs.

Does not build models (`backend` does) and does not check rights (`routes.dependencies` does).
"""

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from anymal.errors import BundleError
from anymal.protocol.responses import BundleCard
from server.errors import BundleConflict, TimedOut
from server.served.models import Backend, Models
from server.settings import Settings

logger = logging.getLogger(__name__)

# Loads at once, and loads that were given up but whose threads have not ended.
_MOST_LOADING, _MOST_GIVEN_UP = 2, 4

# One step of a path: no `..`, no hidden folders, nothing that a shell or a log would trip over.
_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class Bundles:
    """Loads bundles from below one folder, a few at a time, and serves them."""

    def __init__(
        self, *, settings: Settings, load: Callable[[Settings], Backend], models: Models
    ) -> None:
        """Loads nothing yet.

        Args:
            settings: How the service runs; `bundles_dir` is the folder.
            load: Loads the bundle of some settings; blocks.
            models: What is served.
        """
        self._settings = settings
        self._load = load
        self._models = models
        self._loads: dict[str, _Load] = {}  # those that somebody waits for, by name
        self._given_up: list[_Load] = []

    def cards(self) -> list[BundleCard]:
        """What is served, the default first."""
        backends = self._models.backends
        return [
            BundleCard(
                name=backend.name,
                created=backend.created,
                modalities=list(backend.modalities),
                is_default=backend is backends[0],
                shares_llm_with=[
                    other.name
                    for other in backends
                    if other is not backend and other.engine is backend.engine
                ],
                num_running=self._models.num_running(backend),
            )
            for backend in backends
        ]

    async def add(self, folder: str, name: str | None) -> BundleCard:
        """Load a bundle and serve it, in the place of the one of the same name if there is one.

        Args:
            folder: Below `bundles_dir`.
            name: What requests call it; None takes the folder's name.

        Returns:
            What is served now under that name.

        Raises:
            BundleError: If the folder is not allowed, or holds no bundle that can be loaded.
            BundleConflict: If one of that name is being loaded, or too many are.
            TimedOut: If it takes longer than `load_seconds`; it is not served then.
        """
        path = _inside(self._settings.bundles_dir, folder)
        name = name or path.name
        self._check_place(name)
        settings = self._settings.model_copy(update={"bundle": str(path)})
        load = self._loads[name] = _Load(lambda: self._load(settings))
        loaded = asyncio.shield(asyncio.wrap_future(load.backend))
        try:
            backend = await asyncio.wait_for(loaded, self._settings.load_seconds)
        except TimeoutError:
            self._give_up(name, load)
            raise TimedOut(
                f"{folder!r} is not loaded after {self._settings.load_seconds:g} seconds, and is "
                "given up; look into the bundle, or raise the service's load_seconds"
            ) from None
        except asyncio.CancelledError:  # the caller has left; nobody would learn of it
            self._give_up(name, load)
            raise
        finally:
            del self._loads[name]
        self._models.put(replace(backend, name=name))
        return next(card for card in self.cards() if card.name == name)

    def _give_up(self, name: str, load: "_Load") -> None:
        """Serve nothing of a load; its thread cannot be ended from outside."""
        logger.warning("the load of %s is given up", name)
        load.give_up()
        self._given_up.append(load)

    def _check_place(self, name: str) -> None:
        """Refuse a load that cannot start now."""
        self._given_up = [load for load in self._given_up if load.is_running]
        if name in self._loads:
            raise BundleConflict(f"{name!r} is being loaded; try again later")
        if len(self._loads) >= _MOST_LOADING:
            raise BundleConflict(f"{_MOST_LOADING} other bundles are being loaded; try again later")
        if len(self._given_up) >= _MOST_GIVEN_UP:
            raise BundleConflict(
                f"{_MOST_GIVEN_UP} loads that were given up still run; restart the service"
            )

    def remove(self, name: str) -> None:
        """Stop serving a bundle; its running answers finish.

        Raises:
            ModelNotFound: If there is none of that name.
        """
        self._models.remove(name)


class _Load:
    """One bundle that is being loaded, on a thread of its own that ends with the service.

    Attributes:
        backend: What comes of it.
    """

    def __init__(self, load: Callable[[], Backend]) -> None:
        """Begins to load."""
        self.backend: Future[Backend] = Future()
        self._load = load
        self._thread = threading.Thread(target=self._run, name="anymal-load", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    def give_up(self) -> None:
        """Close what comes of it, on its thread."""
        self.backend.add_done_callback(_dispose)

    def _run(self) -> None:
        try:
            backend = self._load()
        except Exception as error:  # the thread's edge: it is raised where somebody waits
            self.backend.set_exception(error)
        else:
            self.backend.set_result(backend)


def _dispose(loaded: "Future[Backend]") -> None:
    """Close the backend of a load that nobody waits for."""
    if loaded.exception() is None:
        loaded.result().close()
    else:
        logger.warning("a load that was given up has failed: %s", loaded.exception())


def _inside(root: str | None, folder: str) -> Path:
    """The folder of a bundle, which must be below the root, links followed."""
    if root is None:
        raise BundleError(
            "this service adds no bundles: start it with ANYMAL_BUNDLES_DIR, the folder they are in"
        )
    if not all(_STEP.fullmatch(step) for step in folder.split("/")):
        raise BundleError(
            f"folder is {folder!r}; give the name of a folder below bundles_dir, such as walks or "
            "run-3/bundle"
        )
    home = Path(root).expanduser().resolve()
    path = (home / folder).resolve()
    if not path.is_relative_to(home):
        raise BundleError(f"folder {folder!r} leads out of bundles_dir")
    if not path.is_dir():
        raise BundleError(f"there is no folder {folder!r} below bundles_dir")
    return path
