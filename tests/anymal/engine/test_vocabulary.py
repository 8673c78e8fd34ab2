"""Tokens in text and bytes, whichever way a tokeniser writes them."""

from typing import Any

import pytest

from anymal.engine.reply import Scored
from anymal.engine.vocabulary import TokenizerVocabulary


class Pieces:
    """Tokens as SentencePiece writes them."""

    backend_tokenizer = None
    pieces = ("<s>", "\u2581red", "<0xC3>", "<0xA9>")

    def convert_ids_to_tokens(self, id_: int) -> str | None:
        return self.pieces[id_] if id_ < len(self.pieces) else None


@pytest.mark.parametrize(
    ("id_", "token", "data"),
    [(1, " red", b" red"), (2, "\ufffd", b"\xc3"), (3, "\ufffd", b"\xa9"), (9, "", b"")],
)
def test_pieces(id_: int, token: str, data: bytes) -> None:
    found = TokenizerVocabulary(Pieces()).logprob(id_, -1.0, [Scored(id=1, logprob=-2.0)])
    assert (found.token, found.bytes_, found.logprob) == (token, data, -1.0)
    assert tuple(found.top[0]) == (" red", b" red", -2.0)


def test_byte_level_tokens_join_to_the_bytes_of_their_text(checkpoints: Any) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoints.llm)
    vocabulary = TokenizerVocabulary(tokenizer)
    text = "It is r\xe9d, \u4e2d.\n"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert b"".join(vocabulary.logprob(id_, 0.0, ()).bytes_ for id_ in ids) == text.encode()
    assert vocabulary.text(ids) == text
