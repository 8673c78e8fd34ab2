"""Media of one clock in answers: as in training, cached by their times, counted by kind."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from anymal.bundle.load import load_bundle
from anymal.bundle.save import save_bundle
from anymal.collate import collate
from anymal.engine.prompt import EmbeddingSpan, Prompt, TokenSpan
from anymal.sample import Sample
from anymal.serving.assistant import Assistant, start_assistant
from anymal.serving.soft_tokens import SoftTokens
from tests.anymal.intake.grouped import Part, conversation

if TYPE_CHECKING:
    from anymal.assemble import Assembled


def rows_of(model: "Assembled", prompt: Prompt) -> torch.Tensor:
    rows = [
        model.model.llm.embed(torch.tensor(span.ids))
        if isinstance(span, TokenSpan)
        else span.embeddings
        for span in prompt.spans
    ]
    return torch.cat(rows)


def digests(prompt: Prompt) -> list[str]:
    return [span.digest for span in prompt.spans if isinstance(span, EmbeddingSpan)]


@pytest.fixture(scope="module")
def made(model: "Assembled") -> Iterator[SoftTokens]:
    found = SoftTokens(model.model, window_s=0.01)
    yield found
    found.close()


def test_a_prompt_is_what_the_model_fuses(
    model: "Assembled", made: SoftTokens, samples: list[Sample]
) -> None:
    for sample in samples:
        batch = collate([sample], pad_id=0)
        with torch.no_grad():
            soft = model.model.align(model.model.encode(batch.media))
            expected = model.model.fuse(batch, soft)[0]
        prompt = made.prompt(sample)
        torch.testing.assert_close(rows_of(model, prompt), expected)


def test_each_window_has_a_digest_of_its_own(
    model: "Assembled", made: SoftTokens, parts: dict[str, Part]
) -> None:
    def prompt(start_s: float | None) -> Prompt:
        group = None if start_s is None else {"name": "g", "start_s": start_s}
        record = conversation(parts["imu"], group=group, imu=group)
        return made.prompt(model.processor(record, generate=True))

    alone, first, again, later = (digests(prompt(start)) for start in (None, 0.0, 0.0, 0.5))
    assert first == again
    assert [len(each) for each in (alone, first, later)] == [1, 3, 3]
    assert len({*alone, *first, *later}) == 7


def test_measured_words_are_counted_apart(
    model: "Assembled", made: SoftTokens, parts: dict[str, Part]
) -> None:
    def counts(processor: Any) -> dict[str, int]:
        record = conversation(parts["imu"], parts["audio"])
        return dict(made.prompt(processor(record, generate=True)).counts())

    without = model.processor.without_features()
    without.modalities["imu"] = replace(without.modalities["imu"], facts=False)
    plain, told = counts(without), counts(model.processor)
    assert "facts" not in plain
    assert told.pop("facts") > 20
    assert told == plain


@pytest.fixture(scope="module")
def assistant(model: "Assembled") -> Iterator[Assistant]:
    with start_assistant(model, name="clock") as found:
        yield found


def test_answers_from_the_prefix_cache_are_the_same(
    assistant: Assistant, parts: dict[str, Part]
) -> None:
    messages = conversation(*parts.values())["messages"]
    first, again = (assistant.chat(messages, max_tokens=8) for _ in range(2))
    assert first.text == again.text
    details = again.usage.prompt_tokens_details
    assert details["cached_tokens"] > 200
    soft = {name: details[f"{name}_tokens"] for name in ("video", "audio", "imu")}
    assert soft == {"video": 64, "audio": 64, "imu": 120}
    assert details["facts_tokens"] > 20
    kinds = ("text", "facts", *soft)
    assert sum(details[f"{kind}_tokens"] for kind in kinds) == again.usage.prompt_tokens


def test_other_times_are_another_prompt(assistant: Assistant, parts: dict[str, Part]) -> None:
    apart = conversation(parts["audio"], parts["imu"], imu={"name": "g", "start_s": 0.5})
    together = conversation(parts["audio"], parts["imu"])
    for record in (together, apart):
        assistant.chat(record["messages"], max_tokens=1)
    cached = assistant.chat(apart["messages"], max_tokens=1)
    assert cached.usage.prompt_tokens_details["cached_tokens"] > 200


def test_a_bundle_keeps_its_clock_and_its_facts(
    model: "Assembled", parts: dict[str, Part], tmp_path: Path
) -> None:
    loaded = load_bundle(save_bundle(model, tmp_path / "bundle"))
    assert loaded.processor.clock == model.processor.clock
    record = conversation(*parts.values())
    samples = [each.processor(record, generate=True) for each in (model, loaded)]
    assert samples[0].slots == samples[1].slots
    batches = [collate([sample], pad_id=0) for sample in samples]
    with torch.no_grad():
        rows = [
            each.model.fuse(batch, each.model.align(each.model.encode(batch.media)))
            for each, batch in zip((model, loaded), batches, strict=True)
        ]
    assert torch.equal(*rows)
