"""A service around a fake model that says back what it was told, and ways to reach it."""

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import torch
from fastapi import FastAPI

from anymal.client import Client
from anymal.engine.base import EngineClosed, Ticket
from anymal.engine.events import (
    Alternative,
    Event,
    Failed,
    Finished,
    Likelihood,
    Likelihoods,
    Logprob,
    Score,
    TextDelta,
    TokenCounts,
)
from anymal.engine.given import Given
from anymal.engine.prompt import NOBODY, EmbeddingSpan, Owner, Prompt, TokenSpan
from anymal.engine.sampling import Sampling
from anymal.engine.score import ToScore
from anymal.engine.stats import EngineStats
from anymal.errors import MediaCorrupt, MediaTooLarge, TooLong
from anymal.protocol.conversation import Conversation, TextPart
from server.app import create_app
from server.served.models import Backend
from server.settings import Settings
from tests.bridge import bridge

PICTURE = torch.arange(32 * 4).reshape(32, 4) / 7  # soft tokens

MISTAKES = {
    "too long": lambda: TooLong("900 tokens; the model takes 512"),
    "corrupt": lambda: MediaCorrupt("a.png", "half a PNG", "a whole one"),
    "too large": lambda: MediaTooLarge("a.png", "99 bytes", "9 bytes"),
    "boom": lambda: RuntimeError("a secret of the house"),
}


class EchoEngine:
    """Says what the prompt holds, a letter a step, each answer on a thread of its own.

    `forever` ends with `max_tokens` alone and `#` fails. Of a prompt that was there before, all is
    cached but the last position. Stop strings are single letters. Each token of a given answer is
    as unlikely as its id is great.
    """

    def __init__(self, *, pause_s: float = 0.001) -> None:
        self.pause_s = pause_s  # between letters of `forever`
        self.has_begun = threading.Event()
        self.has_ended = threading.Event()
        self.samplings: list[Any] = []
        self.prompts: list[str] = []
        self.tickets: list[Ticket] = []
        self.is_closed = False

    @property
    def last_sampling(self) -> Sampling:
        return self.samplings[-1]

    def start(self, prompt: Prompt, sampling: Any, emit: Callable[[Event], None]) -> Ticket:
        if self.is_closed:
            raise EngineClosed("the engine is closed; start a new one")
        text, ticket = said_by(prompt), Ticket()
        cached = len(prompt) - 1 if text in self.prompts else 0
        self.samplings.append(sampling)
        self.prompts.append(text)
        self.tickets.append(ticket)

        def run() -> None:
            try:
                is_given = isinstance(sampling, Given)
                while is_given and text == "forever" and not ticket.is_cancelled:
                    threading.Event().wait(self.pause_s)
                for event in self._events(prompt, sampling, cached):
                    if ticket.is_cancelled:
                        return
                    self.has_begun.set()
                    emit(event)
            except RuntimeError as error:
                emit(Failed(error=error))
            finally:
                self.has_ended.set()

        threading.Thread(target=run, daemon=True).start()
        return ticket

    def _events(self, prompt: Prompt, wanted: Any, cached: int) -> Iterator[Event]:
        if isinstance(wanted, Given):
            return grade(prompt, wanted, cached)
        if isinstance(wanted, ToScore):
            return score(prompt, wanted)
        return say(prompt, wanted, cached, self.pause_s)

    def submit(self, prompt: Prompt, sampling: Sampling) -> Any:
        raise NotImplementedError("the service starts requests, and is told their events")

    def stats(self) -> EngineStats:
        return EngineStats(running=1, steps=len(self.samplings))

    def close(self) -> None:
        self.is_closed = True
        for ticket in self.tickets:
            ticket.cancel()


def said_by(prompt: Prompt) -> str:
    """What the engine will say to a prompt that `to_prompt` made."""
    return prompt.spans[1].digest  # type: ignore[union-attr]


def say(prompt: Prompt, sampling: Sampling, cached: int, pause_s: float) -> Iterator[Event]:
    text, number, reason = said_by(prompt), 0, "stop"
    for number, letter in enumerate(itertools.cycle(text) if text == "forever" else text, 1):
        if letter == "#":
            raise RuntimeError("a secret of the house")
        if letter in sampling.stop:
            break
        yield TextDelta(text=letter, logprobs=likely(letter, sampling.logprobs))
        if number == sampling.max_tokens:
            reason = "length"
            break
        if text == "forever":
            threading.Event().wait(pause_s)
    counts = TokenCounts(
        prompt=len(prompt), completion=number, cached=cached, by_kind=prompt.counts()
    )
    yield Finished(reason=reason, counts=counts)  # type: ignore[arg-type]


def grade(prompt: Prompt, given: Given, cached: int) -> Iterator[Event]:
    if "#" in said_by(prompt):
        raise RuntimeError("a secret of the house")
    counts = TokenCounts(
        prompt=len(prompt),
        completion=sum(map(len, given.answers)),
        cached=cached,
        by_kind=prompt.counts(),
    )
    answers = [
        Likelihood(logprobs=tuple(-float(id_) for id_ in ids), is_greedy=ids == (1,))
        for ids in given.answers
    ]
    yield Likelihoods(answers=tuple(answers), counts=counts)


def score(prompt: Prompt, wanted: ToScore) -> Iterator[Event]:
    """What is read of how much would be said."""
    if "#" in said_by(prompt):
        raise RuntimeError("a secret of the house")
    value = float(wanted.read(torch.tensor([[float(len(said_by(prompt)))]]))[0])
    counts = TokenCounts(prompt=len(prompt), completion=0, by_kind=prompt.counts())
    yield Score(value=value, counts=counts)


def likely(letter: str, num_top: int | None) -> tuple[Logprob, ...]:
    """The letter had half the chance, others none at all."""
    if num_top is None:
        return ()
    top = [Alternative(letter, letter.encode(), -0.5), Alternative("\ufffd", b"\xc3", -math.inf)]
    said = Logprob(token=letter, bytes_=letter.encode(), logprob=-0.5, top=tuple(top[:num_top]))
    return (said,)


class Said(str):
    """A sample: what will be said, and the answers to grade."""

    answers: tuple[tuple[int, ...], ...] = ()


def echo(
    conversation: Conversation, decode: Any, answers: Any = None, /, *, generate: bool = True
) -> Any:
    """The last words, and how many media came with them; of given answers, lengths of words."""
    parts = conversation.messages[-1].parts
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    if text in MISTAKES:
        raise MISTAKES[text]()
    num_media = sum(not isinstance(part, TextPart) for part in parts)
    said = Said(f"{text} +{num_media}" if num_media else text)
    if answers is not None:
        end = (1,) if answers.with_end else ()
        said.answers = tuple((*map(len, each.split()), *end) for each in answers.texts)
    return said


def to_prompt(text: Any, owner: Owner = NOBODY) -> Prompt:
    """Three words and a picture; what to say stands where the picture's hash would."""
    picture = EmbeddingSpan(embeddings=PICTURE, digest=text, kind="image")
    return Prompt(spans=(TokenSpan(ids=(1, 2, 3)), picture), owner=owner)


def make_backend(engine: EchoEngine, name: str = "anymal-fake") -> Backend:
    return Backend(
        name=name,
        modalities=("image",),
        to_sample=echo,
        to_prompt=to_prompt,
        engine=engine,
        close=engine.close,
        created=7,
    )


@pytest.fixture(autouse=True)
def _answers_as_anymal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services without keys answer to the name that the tests' clients use."""
    monkeypatch.setenv("ANYMAL_HOSTS", "anymal")


@pytest.fixture
def engine() -> EchoEngine:
    return EchoEngine()


@pytest.fixture
def backend(engine: EchoEngine) -> Iterator[Backend]:
    yield make_backend(engine)
    engine.close()


@pytest.fixture
def make_app(backend: Backend) -> Callable[..., FastAPI]:
    """Builds the app with some settings."""
    return lambda **settings: create_app(Settings(**settings), backend)


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app()


@pytest.fixture
def http(app: FastAPI) -> Iterator[httpx.Client]:
    with httpx.Client(transport=bridge(app), base_url="http://anymal") as client:
        yield client


@pytest.fixture
def make_http(make_app: Callable[..., FastAPI]) -> Callable[..., httpx.Client]:
    """A plain HTTP client of an app with some settings."""
    return lambda **settings: httpx.Client(
        transport=bridge(make_app(**settings)), base_url="http://anymal"
    )


@pytest.fixture
def client(app: FastAPI) -> Iterator[Client]:
    with Client(base_url="http://anymal", transport=bridge(app)) as client:
        yield client


@pytest.fixture
def make_named() -> Callable[[str], Backend]:
    """Another fake model, by name."""
    return lambda name: make_backend(EchoEngine(), name)


@pytest.fixture
def make_bridge() -> Callable[..., Any]:
    return bridge
