"""What breaks inside: a step, an encoder, memory. Who was in it is told, the others go on."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from anymal.assemble import Assembled
from anymal.bundle.load import load_bundle
from anymal.decoding.medium import decode_medium
from anymal.engine.build import build_engine
from anymal.engine.packed import PackedRunner
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Scheduler
from anymal.serving.kept import Kept
from anymal.serving.soft_tokens import SoftTokens
from server.app import create_app
from server.served.models import Backend
from server.settings import Settings

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore::ResourceWarning")]
QUESTION = "What is in the picture?"
PICTURE = {
    "type": "image_url",
    "image_url": {
        "url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8"
        "z8DAwMDAxMDAwMDAAAANHQEDasKb6QAAAABJRU5ErkJggg=="
    },
}
ERRORS = (RuntimeError("secret"), MemoryError(), torch.OutOfMemoryError("secret"))


def said(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def failing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: Exception) -> None:
    """The next call of a method fails, and those after it do not."""
    working, left = getattr(owner, name), [error]

    def call(*arguments: Any, **options: Any) -> Any:
        if left:
            raise left.pop()
        return working(*arguments, **options)

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_step_fails(
    tiny: Backend, run: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with run(create_app(Settings(), tiny)) as live:
        before = said(live.ask(QUESTION, max_tokens=20))
        failing(monkeypatch, PackedRunner, "step", error)
        answer = live.ask(QUESTION, max_tokens=20)
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "internal_error"
        assert "secret" not in answer.text
        assert said(live.ask(QUESTION, max_tokens=20)) == before


def test_a_step_fails_in_the_middle_of_a_stream(
    tiny: Backend, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run(create_app(Settings(), tiny)) as live:
        with live.connect() as line:
            live.begin(QUESTION, line, stream=True, max_tokens=900, ignore_eos=True)
            seen = line.recv(2000)
            while b'"content":"' not in seen.partition(b'"content":""')[2]:
                seen += line.recv(2000)
            failing(monkeypatch, PackedRunner, "step", RuntimeError("secret"))
            while not seen.endswith(b"0\r\n\r\n"):
                seen += line.recv(2000)
        assert b"event: error" in seen
        assert b"internal_error" in seen
        assert b"secret" not in seen
        assert b"[DONE]" not in seen


def test_the_plan_fails(tiny: Backend, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with run(create_app(Settings(), tiny)) as live:
        before = said(live.ask(QUESTION, max_tokens=20))
        failing(monkeypatch, Scheduler, "plan", RuntimeError("secret"))
        assert live.ask(QUESTION, max_tokens=20).status_code == 500
        assert said(live.ask(QUESTION, max_tokens=20)) == before


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_encoder_fails(
    tiny: Backend, run: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    soft_tokens: SoftTokens = tiny.to_prompt.__self__  # type: ignore[attr-defined]
    # Or neither what another test has asked nor the second question would be encoded.
    monkeypatch.setattr(soft_tokens, "_kept", Kept(0))
    with run(create_app(Settings(decode_workers=0), tiny)) as live:
        failing(monkeypatch, soft_tokens, "_run_model", error)
        answer = live.ask([PICTURE, {"type": "text", "text": QUESTION}], max_tokens=5)
        assert answer.status_code == 500
        assert "secret" not in answer.text
        said(live.ask([PICTURE, {"type": "text", "text": QUESTION}], max_tokens=5))


def test_decoding_fails(tiny: Backend, run: Any) -> None:
    def process(conversation: Any, decode: Any) -> Any:
        if "boom" in str(conversation):
            raise MemoryError
        return tiny.to_sample(conversation, decode)

    failing_backend = dataclasses.replace(tiny, to_sample=process)
    with run(create_app(Settings(decode_workers=0), failing_backend)) as live:
        assert live.ask([PICTURE, {"type": "text", "text": "boom"}]).status_code == 500
        said(live.ask([PICTURE, {"type": "text", "text": QUESTION}], max_tokens=5))


@pytest.fixture(scope="module")
def assembled() -> Assembled:
    return load_bundle("tiny", precision="fp32", merge_lora=True)


def test_hardly_any_memory_for_keys_and_values(
    tiny: Backend, assembled: Assembled, run: Callable[..., Any]
) -> None:
    block = tiny.engine._runner.block_bytes  # type: ignore[attr-defined]
    small = build_engine(
        assembled.model.llm,
        stop_ids=assembled.model.stop_ids,
        max_tokens=1024,
        max_waiting=64,
        cache_bytes=10 * block,
    )
    soft_tokens = SoftTokens(assembled.model, cache_bytes=0)
    backend = dataclasses.replace(tiny, engine=small, to_prompt=soft_tokens.prompt)
    questions = [f"{QUESTION} {'very ' * number}well." for number in range(6)]
    try:
        with run(create_app(Settings(), tiny)) as live:
            options = {"max_tokens": 30, "ignore_eos": True}
            expected = [said(live.ask(question, **options)) for question in questions]
        with run(create_app(Settings(), backend)) as live:
            found: dict[str, str] = {}

            def ask(question: str) -> None:
                found[question] = said(live.ask(question, **options))

            threads = [threading.Thread(target=ask, args=[each]) for each in questions]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [found[question] for question in questions] == expected
            assert small.stats().preemptions > 0
            assert live.ask("word " * 300).json()["error"]["code"] == "context_length_exceeded"
        assert small.stats().running == small.stats().waiting == 0
    finally:
        small.close()
        soft_tokens.close()


def test_cancelled_prompts_free_what_they_held(tiny: Backend, assembled: Assembled) -> None:
    engine: Any = tiny.engine
    sample = tiny.to_sample(_conversation(QUESTION), decode_medium)
    used = engine.stats().cache_bytes_used
    tickets = [
        engine.start(tiny.to_prompt(sample), Sampling(max_tokens=500, ignore_eos=True), print)
        for _ in range(3)
    ]
    for ticket in tickets:
        ticket.cancel()
    engine.submit(tiny.to_prompt(sample), Sampling(max_tokens=1)).__next__()
    assert engine.stats().running <= 1
    assert engine.stats().cache_bytes_used <= used + 40 * engine._runner.block_bytes


def _conversation(text: str) -> Any:
    from anymal.protocol.conversation import Conversation

    return Conversation.model_validate({"messages": [{"role": "user", "content": text}]})
