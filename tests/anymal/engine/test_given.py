"""Likelihoods of given answers: those of a plain forward pass, however they are computed."""

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from anymal.engine.batching import BatchingEngine
from anymal.engine.events import Event, Failed, Likelihoods
from anymal.engine.given import Given
from anymal.engine.prompt import EmbeddingSpan, Prompt, TokenSpan
from anymal.engine.sampling import Sampling
from anymal.errors import EngineError, TooLong

ANSWERS = ((5,), (7, 9, 11, 13), tuple(range(18)), (7, 9, 11, 14), (60, 0))
LONG_PROMPT = 50


@pytest.fixture(scope="module")
def prompts(soft: Callable[..., EmbeddingSpan]) -> list[Prompt]:
    """Shorter than a block, as long as some, and with media."""
    source = random.Random(3)

    def words(number: int) -> TokenSpan:
        return TokenSpan(ids=tuple(source.randrange(61) for _ in range(number)))

    return [
        Prompt(spans=spans)
        for spans in (
            (words(1),),
            (words(16),),
            (words(LONG_PROMPT),),
            (words(3), soft(32, 1), words(9)),
            (words(20), soft(8, 2)),
        )
    ]


@torch.no_grad()
def plain(bench: Any, prompt: Prompt, answer: tuple[int, ...]) -> tuple[list[float], bool]:
    """The oracle: transformers' forward pass over prompt and answer, nothing cached or packed."""
    rows = bench.rows(Prompt(spans=(*prompt.spans, TokenSpan(ids=answer))))[None]
    logits = bench.llm.model(inputs_embeds=rows, use_cache=False).logits[0].double()
    logits = logits[len(prompt) - 1 : -1]
    logprobs = logits.log_softmax(dim=-1)
    found = [float(row[id_]) for row, id_ in zip(logprobs, answer, strict=True)]
    return found, logits.argmax(dim=-1).tolist() == list(answer)


def grade(engine: BatchingEngine, prompt: Prompt, *answers: tuple[int, ...]) -> Likelihoods:
    (event,) = engine.submit(prompt, Given(answers=answers))
    assert isinstance(event, Likelihoods)
    return event


@pytest.mark.parametrize(
    ("is_packed", "budget", "num_blocks"),
    [
        (True, {}, 200),
        (True, {"step_tokens": 7}, 200),
        (True, {"step_tokens": 24, "max_running": 3}, 9),
        (False, {"step_tokens": 13}, 200),
    ],
    ids=["whole", "in pieces", "preempted", "unpacked"],
)
def test_as_a_plain_forward_pass(
    llama: Any, prompts: list[Prompt], is_packed: bool, budget: dict[str, int], num_blocks: int
) -> None:
    runner = llama.runner(packed=is_packed, cache_bytes=num_blocks * llama.block_bytes)
    engine = llama.engine(runner, **budget)
    for prompt in prompts[1:] if is_packed else prompts[:2]:
        found = grade(engine, prompt, *ANSWERS)
        assert len(found.answers) == len(ANSWERS)
        for answer, likelihood in zip(ANSWERS, found.answers, strict=True):
            logprobs, is_greedy = plain(llama, prompt, answer)
            assert list(likelihood.logprobs) == pytest.approx(logprobs, abs=1e-5)
            assert likelihood.is_greedy == is_greedy
        assert found.counts.prompt == len(prompt)
        assert found.counts.completion == sum(map(len, ANSWERS))
        assert found.counts.by_kind == prompt.counts()
    engine.close()


def test_what_the_model_would_say_is_greedy(llama: Any, prompts: list[Prompt]) -> None:
    engine = llama.engine()
    for prompt in prompts:
        said = tuple(llama.expected(prompt, 4))
        other = (*said[:3], (said[3] + 1) % 61)
        first, second = grade(engine, prompt, said, other).answers
        assert (first.is_greedy, second.is_greedy) == (True, False)
        assert first.logprobs[:3] == pytest.approx(second.logprobs[:3], abs=1e-6)
    engine.close()


def test_answers_share_the_prompt(llama: Any, prompts: list[Prompt]) -> None:
    engine = llama.engine()
    grade(engine, prompts[2], *ANSWERS)
    rest = LONG_PROMPT % 16  # of its last block, which is not whole
    own = sum(rest + len(answer) - 1 for answer in ANSWERS)
    assert engine.stats().batch_tokens == LONG_PROMPT - rest + own
    assert engine.stats().steps == 2, "the prompt with one answer, then all others together"
    again = grade(engine, prompts[2], *ANSWERS)
    assert again.counts.cached == LONG_PROMPT - rest
    assert engine.stats().batch_tokens == LONG_PROMPT - rest + 2 * own
    engine.close()


def test_beside_answers_that_grow_and_other_questions(llama: Any, prompts: list[Prompt]) -> None:
    engine = llama.engine(llama.runner(cache_bytes=25 * llama.block_bytes), step_tokens=30)
    alone = [grade(engine, prompt, *ANSWERS) for prompt in prompts]
    found: dict[int, Likelihoods] = {}
    growing = [engine.submit(prompt, Sampling(max_tokens=12)) for prompt in prompts]

    def ask(number: int) -> None:
        found[number] = grade(engine, prompts[number], *ANSWERS)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, before in enumerate(alone):
        for one, other in zip(before.answers, found[number].answers, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
    for prompt, events in zip(prompts, growing, strict=True):
        assert "".join(event.text for event in events if hasattr(event, "text")).split() == [
            str(id_) for id_ in llama.expected(prompt, 12)
        ]
    assert engine.stats().running == engine.stats().waiting == 0
    engine.close()


def test_many_answers_wait_as_one_request(llama: Any, prompts: list[Prompt]) -> None:
    engine = BatchingEngine(llama.runner(), max_waiting=1)
    answers = tuple((id_,) for id_ in range(61))
    found = grade(engine, prompts[3], *answers)
    total = torch.tensor([each.logprobs[0] for each in found.answers]).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5), "one token of each is all there is"
    assert sum(each.is_greedy for each in found.answers) == 1
    engine.close()


def test_what_cannot_be_graded_is_told_once(llama: Any, prompts: list[Prompt]) -> None:
    for answers in ((), ((1,), ())):
        with pytest.raises(EngineError, match="an answer without tokens"):
            Given(answers=answers)
    engine = llama.engine()
    heard: list[Event] = []
    has_ended = threading.Event()

    def hear(event: Event) -> None:
        heard.append(event)
        has_ended.set()

    engine.start(prompts[2], Given(answers=((1,), (2,) * 207)), hear)
    assert has_ended.wait(10)
    with pytest.raises(EngineError, match="holds id 61; allowed: 0 to 60"):
        grade(engine, prompts[2], (61, 1))
    (event,) = heard
    assert isinstance(event, Failed)
    assert isinstance(event.error, TooLong)
    assert len(grade(engine, prompts[2], (2,) * 206).answers[0].logprobs) == 206
    engine.close()


def test_a_step_that_fails_fails_all_answers_once(
    llama: Any, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = llama.runner()
    engine = llama.engine(runner)
    heard: list[Event] = []
    has_ended = threading.Event()
    monkeypatch.setattr(runner, "step", lambda works: 1 / 0)
    engine.start(
        prompts[0], Given(answers=ANSWERS), lambda event: (heard.append(event), has_ended.set())
    )
    assert has_ended.wait(10)
    monkeypatch.undo()
    grade(engine, prompts[0], (1,))
    assert [type(event) for event in heard] == [Failed]
    assert engine.stats().running == engine.stats().waiting == 0
    engine.close()
