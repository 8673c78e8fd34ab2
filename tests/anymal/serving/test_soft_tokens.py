"""Media to soft tokens: the same as the model's own, once each, within bounds."""

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import torch

from anymal.collate import collate
from anymal.engine.base import EngineClosed
from anymal.engine.prompt import EmbeddingSpan, Owner, Prompt, TokenSpan
from anymal.errors import DataError
from anymal.sample import Sample
from anymal.serving.soft_tokens import SoftTokens

if TYPE_CHECKING:
    from anymal.assemble import Assembled

RED, BLUE = (255, 0, 0), (0, 0, 255)
Talk = Callable[..., dict[str, Any]]


@pytest.fixture
def soft_tokens(assembled: "Assembled") -> Iterator[SoftTokens]:
    soft_tokens = SoftTokens(assembled.model, window_s=0.05)
    yield soft_tokens
    soft_tokens.close()


@pytest.fixture
def sample(assembled: "Assembled", talk: Talk) -> Callable[..., Sample]:
    return lambda *images, motions=0: assembled.processor(
        talk("What is it?", images=list(images), motions=motions), generate=True
    )


def softs(prompt: Prompt) -> list[EmbeddingSpan]:
    return [span for span in prompt.spans if isinstance(span, EmbeddingSpan)]


def test_prompt_is_what_the_model_fuses(
    assembled: "Assembled", soft_tokens: SoftTokens, sample: Callable[..., Sample]
) -> None:
    given, model = sample(RED, BLUE, motions=1), assembled.model
    batch = collate([given], pad_id=0)
    with torch.no_grad():
        expected = model.fuse(batch, model.align(model.encode(batch.media)))[0]
        prompt = soft_tokens.prompt(given)
        rows = [
            model.llm.embed(torch.tensor(span.ids))
            if isinstance(span, TokenSpan)
            else span.embeddings
            for span in prompt.spans
        ]
    torch.testing.assert_close(torch.cat(rows), expected)
    assert prompt.counts() == {"text": len(given.ids) - 104, "image": 64, "imu": 40}
    assert len(prompt) == len(given.ids)


def test_medium_is_encoded_once(soft_tokens: SoftTokens, sample: Callable[..., Sample]) -> None:
    first, again = (softs(soft_tokens.prompt(sample(RED)))[0] for _ in range(2))
    assert first.embeddings is again.embeddings
    other = softs(soft_tokens.prompt(sample(BLUE)))[0]
    assert first.digest == again.digest != other.digest
    stats = soft_tokens.stats()
    assert (stats.hits, stats.misses) == (1, 2)
    assert stats.bytes_used == 2 * first.embeddings.nbytes


def test_medium_is_found_again_only_within_its_scope(
    soft_tokens: SoftTokens, sample: Callable[..., Sample]
) -> None:
    for name, scope in (("ada", "a"), ("bob", "b"), ("eve", "a")):
        prompt = soft_tokens.prompt(sample(RED), Owner(name=name, scope=scope))
        assert prompt.owner.name == name
    assert (soft_tokens.stats().hits, soft_tokens.stats().misses) == (1, 2)


def test_equal_media_of_one_sample_are_encoded_once(
    soft_tokens: SoftTokens, sample: Callable[..., Sample]
) -> None:
    one, two = softs(soft_tokens.prompt(sample(RED, RED)))
    assert one.embeddings is two.embeddings
    assert soft_tokens.stats().misses == 1


def test_least_recently_used_leaves_first(
    assembled: "Assembled", sample: Callable[..., Sample]
) -> None:
    size = 32 * assembled.model.llm.hidden_size * 4
    soft_tokens = SoftTokens(assembled.model, cache_bytes=2 * size)
    for colour in (RED, BLUE, RED, (0, 255, 0), RED, BLUE):
        soft_tokens.prompt(sample(colour))
    stats = soft_tokens.stats()
    assert (stats.hits, stats.misses, stats.bytes_used) == (2, 4, 2 * size)
    soft_tokens.close()


def test_media_that_come_together_are_encoded_together(
    assembled: "Assembled",
    soft_tokens: SoftTokens,
    sample: Callable[..., Sample],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes, encode = [], assembled.model.encode

    def watched(media: Any) -> Any:
        sizes.append(len(next(iter(media.values())).counts))
        return encode(media)

    monkeypatch.setattr(assembled.model, "encode", watched)
    soft_tokens.prompt(sample(RED, BLUE, (1, 2, 3)))
    assert sizes == [3]


def test_broken_medium_fails_alone(
    assembled: "Assembled",
    soft_tokens: SoftTokens,
    sample: Callable[..., Sample],
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, whole = sample(RED), sample(BLUE)
    broken.media["image"][0].tensors["pixel_values"] = torch.zeros(1, 3, 5, 5)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            soft_tokens.prompt(broken)
        except Exception as error:
            failures.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    assert len(softs(soft_tokens.prompt(whole))) == 1
    asker.join(timeout=30)
    assert len(failures) == 1
    assert "a medium could not be encoded" in caplog.text
    assert len(softs(soft_tokens.prompt(whole))) == 1


def test_digest_depends_on_the_aligner(
    assembled: "Assembled", sample: Callable[..., Sample]
) -> None:
    digests = []
    weight = next(iter(assembled.model.aligners["image"].parameters()))
    for change in (0.0, 1.0, -1.0):
        with torch.no_grad():
            weight.flatten()[0] += change
        soft_tokens = SoftTokens(assembled.model)
        digests.append(softs(soft_tokens.prompt(sample(RED)))[0].digest)
        soft_tokens.close()
    assert digests[0] == digests[2] != digests[1]


def test_slots_and_soft_tokens_must_agree(
    soft_tokens: SoftTokens, sample: Callable[..., Sample]
) -> None:
    given = sample(RED)
    object.__setattr__(given.slots[0], "length", 31)
    with pytest.raises(DataError, match="reserves 31 positions, but the aligner gave 32"):
        soft_tokens.prompt(given)


def test_closed_takes_no_more(assembled: "Assembled", sample: Callable[..., Sample]) -> None:
    soft_tokens = SoftTokens(assembled.model)
    soft_tokens.close()
    with pytest.raises(EngineClosed):
        soft_tokens.prompt(sample(RED))
