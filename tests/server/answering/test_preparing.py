"""Places where prompts are prepared: who waits for them, and when they are given back."""

import asyncio
import dataclasses
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from anymal.protocol.conversation import Message
from anymal.protocol.requests import ChatCompletionRequest
from server.answering.places import Places
from server.answering.worker import Worker
from server.errors import TimedOut
from server.served.models import Backend

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
WORDS = {"type": "text", "text": "hello"}


class Decoding:
    """A backend whose media are decoded when told."""

    def __init__(self, backend: Backend) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self._process = backend.to_sample
        self.backend = dataclasses.replace(backend, to_sample=self.process)

    def process(self, conversation: Any, decode: Any) -> Any:
        if len(conversation.messages[0].parts) > 1:
            self.has_begun.set()
            assert self.may_end.wait(20)
        return self._process(conversation, decode)


def request(*content: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate(
        {"messages": [{"role": "user", "content": list(content)}]}
    )


def request_with_picture() -> ChatCompletionRequest:
    return request(PICTURE, WORDS)


def make_worker(backend: Backend, **limits: Any) -> Worker:
    worker = Worker(**{"places": Places(2), "default_tokens": 10**9, "max_tokens": 10**9} | limits)
    worker.use(backend)
    return worker


async def read(worker: Worker, asked: ChatCompletionRequest) -> list[Any]:
    return [piece async for piece in worker.answer(asked)]


async def test_words_do_not_wait_for_media(backend: Backend) -> None:
    decoding = Decoding(backend)
    worker = make_worker(decoding.backend)
    task = asyncio.create_task(read(worker, request_with_picture()))
    assert await asyncio.to_thread(decoding.has_begun.wait, 20)
    assert await read(worker, request(WORDS))
    assert not task.done()
    decoding.may_end.set()
    assert await task


async def test_waiting_for_media_has_an_end(backend: Backend) -> None:
    decoding = Decoding(backend)
    worker = make_worker(decoding.backend, request_seconds=0.2)
    first = asyncio.create_task(read(worker, request_with_picture()))
    assert await asyncio.to_thread(decoding.has_begun.wait, 20)
    message = Message(role="user", content=[request_with_picture().messages[0].parts[0]])
    for waiting in (read(worker, request_with_picture()), worker.align(message)):
        with pytest.raises(TimedOut, match="request_seconds"):
            await waiting
    assert not first.done()  # its own is being decoded, and is waited for
    decoding.may_end.set()
    with pytest.raises(TimedOut, match="media took longer"):
        await first
    assert not worker._places._held


async def test_who_leaves_keeps_a_place_until_the_work_has_ended(
    backend: Backend, make_named: Callable[[str], Backend]
) -> None:
    decoding = Decoding(backend)
    worker = make_worker(decoding.backend)
    left = asyncio.create_task(read(worker, request_with_picture()))
    assert await asyncio.to_thread(decoding.has_begun.wait, 20)
    decoding.has_begun.clear()
    for _ in range(3):  # who insists
        left.cancel()
        await asyncio.sleep(0.01)
    waiting = asyncio.create_task(read(worker, request_with_picture()))
    worker.use(make_named(decoding.backend.name))
    await asyncio.sleep(0.05)
    assert not left.done()
    assert not decoding.has_begun.is_set()  # the only place is taken
    assert worker._places._held.total() == 2
    assert not decoding.backend.engine.is_closed  # type: ignore[attr-defined]
    decoding.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert await waiting
    assert not worker._places._held
    worker.close()
    assert decoding.backend.engine.is_closed  # type: ignore[attr-defined]


async def test_who_leaves_while_waiting_for_a_place_is_gone_at_once(backend: Backend) -> None:
    decoding = Decoding(backend)
    worker = make_worker(decoding.backend)
    first = asyncio.create_task(read(worker, request_with_picture()))
    assert await asyncio.to_thread(decoding.has_begun.wait, 20)
    waiting = asyncio.create_task(read(worker, request_with_picture()))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert worker._places._held.total() == 1
    decoding.may_end.set()
    assert await first


async def test_failure_of_work_whose_caller_left_is_logged_once(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    decoding = Decoding(backend)
    worker = make_worker(decoding.backend)
    left = asyncio.create_task(read(worker, request_with_picture()))
    assert await asyncio.to_thread(decoding.has_begun.wait, 20)
    left.cancel()
    del decoding._process  # an AttributeError, which nobody expects
    decoding.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await left
    gc.collect()
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["work whose caller had left failed"]
