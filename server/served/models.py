"""The set of served models: which one answers, and when a removed one is closed.

Does not load models and does not run them; the event loop and loading threads share it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol

from anymal.decoding.medium import Decode
from anymal.engine.base import Engine
from anymal.engine.prompt import Owner, Prompt
from anymal.engine.score import Read
from anymal.engine.stats import EngineStats
from anymal.media.source import shorten
from anymal.protocol.conversation import Conversation
from anymal.protocol.grading import Grading
from server.errors import BundleConflict, ModelNotFound, NotReady

if TYPE_CHECKING:  # the app starts without torch
    from anymal.chat.given import GivenAnswers
    from anymal.sample import Sample
    from anymal.serving.soft_tokens import SoftTokenStats

logger = logging.getLogger(__name__)


class ToSample(Protocol):
    """Makes a sample of a conversation, and of answers to grade after it, if some are given."""

    def __call__(
        self,
        conversation: Conversation,
        decode: Decode,
        answers: "GivenAnswers | None" = None,
        /,
        *,
        generate: bool = True,
    ) -> "Sample":
        """Process them; without `generate`, the conversation ends where its last answer does.

        Raises:
            AnymalError: They are refused, or a medium is.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backend:
    """A loaded model, ready to answer.

    Attributes:
        name: What requests call the model.
        modalities: Media that it takes.
        to_sample: Conversation to sample: has its media decoded, so it may take a while.
        to_prompt: Sample to prompt of an owner: runs encoders, so it may take a while.
        engine: Answers prompts; several backends may share one.
        close: Frees its resources, and the engine if no other backend uses it; may take a while.
        needs_media: Whether it refuses conversations without any medium.
        reads_text: Media whose soft tokens depend on the words beside them.
        created: When it was loaded, in seconds since 1970.
        grading: How its reward model is shown answers; None where it has none.
        read_reward: Reads a reward; None where there is no reward model.
        soft_token_stats: How its cache of soft tokens is doing; None where it has none.
    """

    name: str
    modalities: tuple[str, ...]
    to_sample: ToSample
    to_prompt: Callable[["Sample", Owner], Prompt]
    engine: Engine
    close: Callable[[], None]
    needs_media: bool = False
    reads_text: frozenset[str] = frozenset()
    created: int = field(default_factory=lambda: int(time.time()))
    grading: Grading | None = None
    read_reward: Read | None = None
    soft_token_stats: Callable[[], "SoftTokenStats"] | None = None


@dataclass(slots=True, eq=False)
class _Served:
    """A backend and the requests that it answers."""

    backend: Backend
    num_running: int = 0
    has_left: bool = False


class Models:
    """Served models by name; the first answers requests that name none.

    Attributes:
        why_none: The error message while there is no model at all.
    """

    def __init__(self) -> None:
        self.why_none = "the model is still loading; try again in a few seconds"
        self._lock = threading.Lock()
        self._served: dict[str, _Served] = {}
        self._closing: list[threading.Thread] = []

    @property
    def backends(self) -> list[Backend]:
        """All of them, the default first."""
        with self._lock:
            return [served.backend for served in self._served.values()]

    def find(self, name: str | None = None) -> Backend:
        """The model of a name, or the default.

        Raises:
            NotReady: If there is none at all.
            ModelNotFound: If there is none of that name.
        """
        with self._lock:
            return self._find(name).backend

    @contextmanager
    def lease(self, name: str | None = None) -> Iterator[Backend]:
        """The same, and it stays open until the block ends."""
        with self._lock:
            served = self._find(name)
            served.num_running += 1
        try:
            yield served.backend
        finally:
            with self._lock:
                served.num_running -= 1
                self._close_if_idle(served)

    def num_running(self, backend: Backend) -> int:
        """How many requests a served model is answering."""
        with self._lock:
            served = self._served.get(backend.name)
            return served.num_running if served and served.backend is backend else 0

    def put(self, backend: Backend) -> bool:
        """Serve a model from now on; returns whether it took the place of another.

        The other finishes its running answers, and is then closed.
        """
        with self._lock:
            before = self._served.get(backend.name)
            self._served[backend.name] = _Served(backend)
            if before is not None:
                self._leave(before)
        logger.info("%s is ready", backend.name)
        return before is not None

    def remove(self, name: str) -> None:
        """Stop serving a model; it is closed when its last answer has ended.

        Raises:
            NotReady: If there is none at all.
            ModelNotFound: If there is none of that name.
            BundleConflict: If it is the last one.
        """
        with self._lock:
            model = self._find(name)
            if len(self._served) == 1:
                raise BundleConflict(
                    f"{name} is all that is served; add another with POST /admin/bundles first"
                )
            self._leave(model)
            del self._served[name]
        logger.info("%s is no longer served", name)

    def stats(self) -> EngineStats | None:
        """The numbers of all engines together; None while there is none."""
        engines = dict.fromkeys(backend.engine for backend in self.backends)
        all_stats = [engine.stats() for engine in engines]
        names = [field.name for field in fields(EngineStats)]
        totals = {name: sum(getattr(stats, name) for stats in all_stats) for name in names}
        return EngineStats(**totals) if all_stats else None

    def soft_token_stats(self) -> list["SoftTokenStats"]:
        """How the caches of soft tokens are doing, model by model."""
        reads = (backend.soft_token_stats for backend in self.backends)
        return [read() for read in reads if read is not None]

    def close(self) -> None:
        """Close every model, answers or not, and wait until all are closed."""
        with self._lock:
            leaving = list(self._served.values())
            self._served.clear()
            for served in leaving:
                served.num_running = 0
                self._leave(served)
        for thread in self._closing:
            thread.join()

    # --- the lock is held -----------------------------------------------------------------------

    def _find(self, name: str | None) -> _Served:
        if not self._served:
            raise NotReady(self.why_none)
        if name is None:
            return next(iter(self._served.values()))
        if name not in self._served:
            known = ", ".join(repr(each) for each in self._served)
            raise ModelNotFound(f"model {shorten(name)!r} is not served here; served: {known}")
        return self._served[name]

    def _leave(self, served: _Served) -> None:
        served.has_left = True
        self._close_if_idle(served)

    def _close_if_idle(self, served: _Served) -> None:
        """Close on a thread, because an engine finishes its step first."""
        if served.has_left and served.num_running == 0:
            thread = threading.Thread(target=_close, args=[served.backend], name="anymal-close")
            self._closing = [*(each for each in self._closing if each.is_alive()), thread]
            thread.start()


def _close(backend: Backend) -> None:
    try:
        backend.close()
    except Exception:  # the thread's edge: there is no caller to raise to
        logger.exception("%s did not close well", backend.name)
