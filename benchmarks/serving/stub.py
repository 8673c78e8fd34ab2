"""The service around an engine that costs nothing: what is left is HTTP.

.venv/bin/python -m benchmarks.serving.stub --port 8000
"""

import argparse
import socket
import statistics
import time
from collections.abc import Callable
from typing import Any

from anymal.decoding.medium import Decode
from anymal.engine.base import Ticket
from anymal.engine.events import Event, Finished, TextDelta, TokenCounts
from anymal.engine.prompt import Owner, Prompt, TokenSpan
from anymal.engine.sampling import Sampling
from anymal.engine.stats import EngineStats
from anymal.engine.stream import Stream
from anymal.protocol.conversation import Conversation

PROMPT = Prompt(spans=(TokenSpan(ids=tuple(range(128))),))
TEXT = " word"


class FreeEngine:
    """See `anymal.engine.base.Engine`; all of an answer is there at once."""

    def start(self, prompt: Prompt, sampling: Sampling, emit: Callable[[Event], None]) -> Ticket:
        """See `Engine`."""
        for _ in range(sampling.max_tokens):
            emit(TextDelta(text=TEXT))
        counts = TokenCounts(
            prompt=len(prompt), completion=sampling.max_tokens, by_kind=prompt.counts()
        )
        emit(Finished(reason="length", counts=counts))
        return Ticket()

    def submit(self, prompt: Prompt, sampling: Sampling) -> Stream:
        """See `Engine`."""
        return Stream(lambda emit: self.start(prompt, sampling, emit))

    def stats(self) -> EngineStats:
        """See `Engine`."""
        return EngineStats()

    def close(self) -> None:
        """See `Engine`."""


def bare_ttft_ms(number: int = 1000) -> float:
    """Median milliseconds from asking the engine to its first piece."""
    engine, times = FreeEngine(), []
    for _ in range(number):
        start = time.perf_counter()
        next(engine.submit(PROMPT, Sampling(max_tokens=1)))
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def serve(port: int) -> None:
    """The service as `anymal serve` runs it, its log included, until a signal."""
    from server.app import create_app
    from server.logs import configure_logging
    from server.running import Service
    from server.served.models import Backend
    from server.settings import Settings

    def to_sample(conversation: Conversation, decode: Decode) -> Any:
        return conversation

    def to_prompt(sample: Any, owner: Owner) -> Prompt:
        return PROMPT

    engine = FreeEngine()
    backend = Backend(
        name="free",
        modalities=(),
        to_sample=to_sample,
        to_prompt=to_prompt,
        engine=engine,
        close=engine.close,
    )
    settings = Settings(port=port)
    configure_logging(settings.log_format)
    service = Service(create_app(settings, backend), settings)
    with socket.create_server((settings.host, settings.port)) as listener:
        service.run(sockets=[listener])


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description="Serve an engine that costs nothing.")
    parser.add_argument("--port", type=int, default=8000)
    serve(parser.parse_args().port)


if __name__ == "__main__":
    main()
