"""Text to token ids, with special tokens only where the chat template put them.

Does not know roles, media or labels; `anymal.chat.template` and `anymal.processor` do.
"""

import copy
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

# What sentencepiece-like and byte-level tokenisers write for a space.
_SPACE_MARKS = ("\u2581", "\u0120")


class TextEncoder:
    """A tokeniser that nobody's words can make emit a special token.

    Args:
        tokenizer: A transformers tokeniser.
    """

    def __init__(self, tokenizer: Any) -> None:
        added = tokenizer.added_tokens_decoder
        self._special_ids = {token.content: i for i, token in added.items() if token.special}
        names = sorted(self._special_ids, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, names)) or "(?!)")
        # A copy, because asking for split special tokens changes the tokeniser's own state,
        # which another thread may be using.
        self._tokenizer = copy.deepcopy(tokenizer)
        self._backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if self._backend is not None:
            self._backend.encode_special_tokens = True
            self._backend.no_truncation()
            self._backend.no_padding()
        first = self._tokenizer.convert_ids_to_tokens(self.encode("a"))[0]
        self._adds_space = isinstance(first, str) and first.startswith(_SPACE_MARKS)

    def split_special(self, text: str) -> list[str | int]:
        """Cut a template's text into plain text and the ids of special tokens.

        Args:
            text: Text that the template wrote.

        Returns:
            Plain texts and ids, in order; no text is empty.
        """
        pieces: list[str | int] = []
        end = 0
        for match in self._special.finditer(text):
            pieces += [text[end : match.start()], self._special_ids[match.group()]]
            end = match.end()
        pieces.append(text[end:])
        return [piece for piece in pieces if piece != ""]

    def encode(self, text: str) -> Sequence[int]:
        """Tokenise plain text by itself; what looks like a special token is spelled out.

        Args:
            text: Any text.

        Returns:
            The ids.
        """
        if self._backend is not None:
            return list(self._backend.encode(text, add_special_tokens=False).ids)
        return list(
            self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        )

    def encode_run(self, text: str) -> Sequence[int]:
        """Tokenise one run of text from the middle of a sequence.

        A tokeniser that puts a space before every text would double the one that is there.

        Args:
            text: Any text.

        Returns:
            The ids.
        """
        if self._adds_space and text.startswith(" "):
            text = text[1:]
        return self.encode(text) if text else []


_PROBE = "Which is larger, 3.5 or 12?\n  An unseen word: \u00e9t\u00e9, \u4e2d."


def tokenizer_digest(tokenizer: Any) -> str:
    """Hash what a tokeniser does, not how a library version writes it to disk.

    Args:
        tokenizer: A transformers tokeniser.

    Returns:
        SHA-256 over its vocabulary, its special tokens, and a text of ours as ids.
    """
    facts = [
        sorted(tokenizer.get_vocab().items()),
        [str(tokenizer.bos_token), str(tokenizer.eos_token)],
        tokenizer.encode(_PROBE, add_special_tokens=False),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
