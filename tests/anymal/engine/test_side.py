"""A model that reads media beside its row: the same greedy answer alone, together, and cached.

The oracle reads a whole conversation again for each word, alone, without blocks or caches.
"""

import random
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from anymal.engine.build import build_engine
from anymal.engine.events import Event, Finished, Likelihoods
from anymal.engine.given import Given
from anymal.engine.prompt import Prompt, SideSpan, TokenSpan
from anymal.engine.sampling import Sampling
from anymal.errors import DataError, EngineError
from anymal.llm.beside import decoder_layers, decoder_sizes, let_read_beside
from anymal.llm.packable import Unpackable
from anymal.side.base import Media, SideLayers, side_is
from anymal.side.reads import Reader, Stretch
from anymal.side.registry import build_side

IdsOf = Callable[[Sequence[Event]], list[int]]
V, D, Q, LONGEST = 61, 32, 5, 12
KINDS: dict[str, dict[str, Any]] = {
    "cross": {"first": 0, "reads": "all", "num_heads": 2, "head_dim": 8},
    "prefix": {"num_tokens": Q},
}


def picture(seed: int, number: int = Q) -> SideSpan:
    rows = 3 * torch.randn(number, D, generator=torch.Generator().manual_seed(seed))
    return SideSpan(embeddings=rows, digest=f"{seed} {number}", kind="image")


def words(number: int, seed: int = 0) -> TokenSpan:
    source = random.Random(seed)
    return TokenSpan(ids=tuple(source.randrange(V) for _ in range(number)))


PROMPTS = [
    Prompt(spans=spans)
    for spans in (
        (words(20), picture(1), words(19)),
        (words(20), picture(2), words(19)),  # the same words
        (words(20), words(19)),
        (words(3, 1), picture(1), words(31, 2), picture(3), words(5)),
        (picture(4), words(39, 3)),
        (words(24, 4), picture(4)),
    )
]


class Beside:
    """A bench whose model reads beside its row, and the oracle."""

    def __init__(self, bench: Any) -> None:
        self.bench, self.llm, self.side = bench, bench.llm, bench.side

    @torch.no_grad()
    def logits(self, prompt: Prompt, ids: Sequence[int]) -> Any:
        """Of every position of a prompt and an answer."""
        rows = self.bench.rows(Prompt(spans=(*prompt.spans, TokenSpan(ids=tuple(ids)))))
        own = [span.embeddings for span in prompt.beside]
        media = Media(
            values=torch.stack(own) if own else torch.zeros(0, 1, D), mask=None, counts=(len(own),)
        )
        side = self.side.side(
            media,
            [Reader(start=0, length=len(rows), offset=0, places=prompt.places)],
            layers=decoder_layers(self.llm),
            dtype=self.llm.dtype,
            num_positions=len(rows),
        )
        with side_is(side):
            hidden = self.llm.decode(rows[None], positions=torch.arange(len(rows))[None])[0]
        return self.llm.head(hidden)

    def expected(self, prompt: Prompt) -> list[int]:
        ids: list[int] = []
        for _ in range(LONGEST):
            ids.append(int(self.logits(prompt, ids)[-1].argmax()))
        return ids


@pytest.fixture(scope="module", params=KINDS)
def beside(request: Any, bench: Callable[..., Any], bench_of: Callable[..., Any]) -> Beside:
    llm = bench("llama").llm
    let_read_beside(llm)
    torch.manual_seed(5)
    options = KINDS[request.param]
    side = build_side(request.param, sizes=decoder_sizes(llm), options=options).eval()
    for name, parameter in side.named_parameters():
        if "gate" in name and parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return Beside(bench_of(llm, side))


@pytest.fixture(scope="module")
def answers(beside: Beside) -> list[list[int]]:
    found = [beside.expected(prompt) for prompt in PROMPTS]
    assert len({tuple(answer) for answer in found}) == len(found), "pictures must matter"
    return found


def ask(engine: Any, ids_of: IdsOf, prompts: Sequence[Prompt] = PROMPTS) -> list[list[int]]:
    streams = [engine.submit(prompt, Sampling(max_tokens=LONGEST)) for prompt in prompts]
    return [ids_of(list(stream)) for stream in streams]


@pytest.fixture
def engine_of(beside: Beside) -> Iterator[Callable[..., Any]]:
    engines: list[Any] = []

    def make(*, num_blocks: int = 200, packed: bool = True, **budget: int) -> Any:
        size = num_blocks * beside.bench.block_bytes
        runner = beside.bench.runner(packed=packed, cache_bytes=size)
        engines.append(beside.bench.engine(runner, **budget))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def test_together_and_again_from_the_prefix_cache(
    engine_of: Callable[..., Any], answers: list[list[int]], ids_of: IdsOf
) -> None:
    engine = engine_of(step_tokens=24, beside_decode=9)
    assert ask(engine, ids_of) == answers
    before = engine.stats().prefix_tokens_hit
    assert ask(engine, ids_of) == answers
    assert engine.stats().prefix_tokens_hit - before >= 16 * 4


def test_preempted_and_resumed(
    engine_of: Callable[..., Any], answers: list[list[int]], ids_of: IdsOf
) -> None:
    engine = engine_of(num_blocks=12)  # for all three, but not for their answers
    chosen = [0, 3, 4]
    found = ask(engine, ids_of, [PROMPTS[number] for number in chosen])
    assert found == [answers[number] for number in chosen]
    assert engine.stats().preemptions > 0


def test_alone_and_unpacked(
    engine_of: Callable[..., Any], answers: list[list[int]], ids_of: IdsOf
) -> None:
    packed, unpacked = engine_of(), engine_of(packed=False, step_tokens=13)
    for number in (1, 3):
        for engine in (packed, unpacked):
            assert ask(engine, ids_of, [PROMPTS[number]]) == [answers[number]]


def test_pictures_behind_equal_words_are_never_confused(
    beside: Beside, engine_of: Callable[..., Any], answers: list[list[int]], ids_of: IdsOf
) -> None:
    engine = engine_of()
    cached = []
    for prompt, answer in zip(PROMPTS[:3], answers[:3], strict=True):
        events = list(engine.submit(prompt, Sampling(max_tokens=LONGEST)))
        assert ids_of(events) == answer
        assert isinstance(events[-1], Finished)
        cached.append(events[-1].counts.cached)
        assert events[-1].counts.by_kind.get("image", 0) == 0, "it stands in no position"
    # One block of words stands before the picture; prompts beside attention change it as well.
    assert cached == ([0, 16, 16] if beside.side.is_positional else [0, 0, 0])


def test_given_answers_are_graded_as_they_are_read_alone(
    beside: Beside, engine_of: Callable[..., Any]
) -> None:
    given, prompt = ((7, 9, 11), (5,)), PROMPTS[3]
    (found,) = engine_of(step_tokens=7).submit(prompt, Given(answers=given))
    assert isinstance(found, Likelihoods)
    for ids, own in zip(given, found.answers, strict=True):
        logprobs = beside.logits(prompt, ids)[len(prompt) - 1 : -1].log_softmax(dim=-1)
        expected = [float(row[id_]) for row, id_ in zip(logprobs, ids, strict=True)]
        assert list(own.logprobs) == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def made(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """Of each time that media are projected, how many, and a weak reference to what was made."""
    seen: list[tuple[Any, Any]] = []
    remember = type(beside.side).remember

    def watched(self: Any, media: Media, **options: Any) -> Any:
        memory = remember(self, media, **options)
        seen.append((media.counts, weakref.ref(next(iter(memory.keys.values())))))
        return memory

    monkeypatch.setattr(type(beside.side), "remember", watched)
    return seen


def test_media_are_projected_once_for_a_request_and_freed_with_it(
    engine_of: Callable[..., Any], ids_of: IdsOf, made: list[tuple[Any, Any]]
) -> None:
    engine = engine_of(step_tokens=5)
    made.clear()  # the self-test's
    ask(engine, ids_of, PROMPTS[3:])
    assert sorted(counts for counts, _ in made) == [(1,), (1,), (2,)]
    ends = time.monotonic() + 5
    while any(keys() is not None for _, keys in made):
        assert time.monotonic() < ends, "keys of media outlive their requests"
        time.sleep(0.01)


def test_answers_to_one_prompt_share_its_media(
    engine_of: Callable[..., Any], made: list[tuple[Any, Any]]
) -> None:
    engine = engine_of()
    made.clear()
    list(engine.submit(PROMPTS[3], Given(answers=((7, 9), (5,), (2, 3), (4,), (8,)))))
    assert len(made) <= 2, "once for the first, which others wait for, and once for those"
    made.clear()
    choices = [Sampling(max_tokens=150, temperature=1.0, seed=seed) for seed in range(3)]
    for stream in [engine.submit(PROMPTS[4], choice) for choice in choices]:
        list(stream)
    assert len(made) == 1


def test_media_that_a_side_cannot_take_fail_their_request_alone(
    beside: Beside,
    engine_of: Callable[..., Any],
    answers: list[list[int]],
    ids_of: IdsOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remember = type(beside.side).remember

    def picky(self: Any, media: Media, **options: Any) -> Any:
        if media.values.shape[1] == Q + 1:
            raise DataError("too many")
        return remember(self, media, **options)

    monkeypatch.setattr(type(beside.side), "remember", picky)
    wrong = Prompt(spans=(picture(1, Q + 1), words(19)))
    for packed in (True, False):
        engine = engine_of(packed=packed)
        streams = [
            engine.submit(prompt, Sampling(max_tokens=LONGEST)) for prompt in (wrong, PROMPTS[3])
        ]
        with pytest.raises(DataError, match="too many"):
            list(streams[0])
        assert ids_of(list(streams[1])) == answers[3]


def test_weights_of_the_side_are_in_the_root(beside: Beside) -> None:
    first = beside.bench.runner().root
    parameter = next(beside.side.parameters())
    with torch.no_grad():
        parameter.view(-1)[0] += 1
        other = beside.bench.runner().root
        parameter.view(-1)[0] -= 1
    assert first != other


def test_media_that_nothing_can_read_are_refused(
    beside: Beside, engine_of: Callable[..., Any], llama: Any
) -> None:
    narrow = SideSpan(embeddings=torch.zeros(Q, D - 1), digest="", kind="image")
    with pytest.raises(EngineError, match=r"shape \[5, 31\]; allowed .* \[1 or more, 32\]"):
        list(engine_of().submit(Prompt(spans=(narrow, words(3))), Sampling()))
    with pytest.raises(EngineError, match="no side layers"):
        llama.runner().check(PROMPTS[0])


def test_side_that_confuses_sequences_is_not_run_packed(
    beside: Beside,
    answers: list[list[int]],
    ids_of: IdsOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stretches = type(beside.side).stretches

    def confused(layers: SideLayers, readers: Sequence[Reader]) -> list[Stretch]:
        found = stretches(layers, readers)
        return [Stretch(start=e.start, stop=e.stop, first=0, last=1) for e in found]

    monkeypatch.setattr(type(beside.side), "stretches", confused)
    with pytest.raises(Unpackable, match="hidden states differ"):
        beside.bench.runner()
    beside.llm.tokenizer.decode = lambda ids, **_: "".join(f"{id_} " for id_ in ids)
    engine = build_engine(beside.llm, side=beside.side, stop_ids=[], max_tokens=256)
    monkeypatch.undo()
    assert "not batched" in caplog.text
    assert ask(engine, ids_of, PROMPTS[:2]) == answers[:2]
    engine.close()
