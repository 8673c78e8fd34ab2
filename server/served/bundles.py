"""Bundles that an operator adds, replaces and removes while the service runs.

Does not build models (`backend` does) and does not check rights (`routes.dependencies` does).
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio.to_thread

from anymal.errors import BundleError
from anymal.protocol.responses import BundleCard
from server.errors import BundleConflict
from server.served.models import Backend, Models
from server.settings import Settings

# One step of a path: no `..`, no hidden folders, nothing that a shell or a log would trip over.
_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class Bundles:
    """Loads bundles from below one folder, one at a time, and serves them."""

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
        self._loading = asyncio.Lock()

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
            BundleConflict: If another is being loaded.
        """
        path = _inside(self._settings.bundles_dir, folder)
        if self._loading.locked():
            raise BundleConflict("another bundle is being loaded; try again later")
        async with self._loading:
            name = await anyio.to_thread.run_sync(self._put, path, name)
        return next(card for card in self.cards() if card.name == name)

    def remove(self, name: str) -> None:
        """Stop serving a bundle; its running answers finish.

        Raises:
            ModelNotFound: If there is none of that name.
        """
        self._models.remove(name)

    def _put(self, path: Path, name: str | None) -> str:
        """Load and serve; all on one thread, so that a caller who leaves leaves nothing open."""
        backend = self._load(self._settings.model_copy(update={"bundle": str(path)}))
        backend = replace(backend, name=name or backend.name)
        self._models.put(backend)
        return backend.name


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
