"""Ids of a tokeniser to text and bytes.

Does not know which ids end an answer.
"""

import re
from collections.abc import Sequence
from typing import Any

from anymal.engine.events import Alternative, Logprob
from anymal.engine.reply import Scored

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class TokenizerVocabulary:
    """See `anymal.engine.reply.Vocabulary`."""

    def __init__(self, tokenizer: Any, *, stop: str = "") -> None:
        """See the class.

        Args:
            tokenizer: A transformers tokeniser.
            stop: See `Vocabulary.stop`.
        """
        self.stop = stop
        self._tokenizer = tokenizer
        self._bytes_of_char = _byte_alphabet() if _is_byte_level(tokenizer) else None

    def text(self, ids: Sequence[int]) -> str:
        """See `Vocabulary.text`."""
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def logprob(self, id_: int, logprob: float, top: Sequence[Scored]) -> Logprob:
        """See `Vocabulary.logprob`."""
        own = self._alternative(id_, logprob)
        return Logprob(
            token=own.token,
            bytes_=own.bytes_,
            logprob=own.logprob,
            top=tuple(self._alternative(each.id, each.logprob) for each in top),
        )

    def _alternative(self, id_: int, logprob: float) -> Alternative:
        data = self._bytes(id_)
        return Alternative(
            token=data.decode("utf-8", errors="replace"), bytes_=data, logprob=logprob
        )

    def _bytes(self, id_: int) -> bytes:
        """The bytes that a token stands for, which may be part of a character."""
        token = self._tokenizer.convert_ids_to_tokens(id_)
        if token is None:  # padding of the embedding table
            return b""
        if match := _BYTE.fullmatch(token):
            return bytes([int(match[1], 16)])
        alphabet = self._bytes_of_char
        if alphabet is not None and all(char in alphabet for char in token):
            return bytes(alphabet[char] for char in token)
        # SentencePiece's sign for a space; a decoder would drop the first one of a text.
        return str(token).replace("\u2581", " ").encode()


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and "ByteLevel" in str(backend.decoder)


def _byte_alphabet() -> dict[str, int]:
    """The characters by which byte-level tokenisers write bytes (GPT-2, `bytes_to_unicode`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    pairs = [(chr(byte), byte) for byte in printable]
    return dict(pairs + [(chr(256 + index), byte) for index, byte in enumerate(others)])
