"""Text to ids: long text is counted in pieces, and never tokenised whole if it cannot fit."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from anymal.chat.segments import TextSegment, markup
from anymal.chat.tokens import IdRun, TextEncoder, runs_of
from anymal.errors import TooLong

LONG = "What colour is it? \u00e9t\u00e9 12.5\n" * 3_000


@pytest.fixture(scope="module")
def tokenizer(checkpoints: SimpleNamespace) -> Any:
    return AutoTokenizer.from_pretrained(checkpoints.llm)


@pytest.fixture
def text(tokenizer: Any) -> TextEncoder:
    return TextEncoder(tokenizer)


def test_long_text_that_fits_has_the_ids_of_the_whole(tokenizer: Any, text: TextEncoder) -> None:
    whole = tokenizer.encode(LONG, add_special_tokens=False)
    (run,) = runs_of([TextSegment(text=LONG)], text, enough=2 * len(whole))
    assert isinstance(run, IdRun)
    assert list(run.ids) == whole
    assert text.least_tokens(len(LONG)) <= len(whole)


@pytest.mark.parametrize(
    "texts", [[LONG], ["a" * 300_000], [" " * 300_000], ["short "] * 100_000], ids=len
)
def test_of_text_that_cannot_fit_only_the_beginning_is_tokenised(
    text: TextEncoder, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    encode = text.encode

    def counted(words: str) -> Any:
        seen.append(len(words))
        return encode(words)

    monkeypatch.setattr(text, "encode", counted)
    segments = [each for words in texts for each in (markup("<s>"), TextSegment(text=words))]
    with pytest.raises(TooLong, match="far more than fit"):
        runs_of(segments, text, enough=600)
    assert max(seen) <= 2**14
    assert sum(seen) < 50_000
