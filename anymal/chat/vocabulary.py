"""The words beside a medium as ids of its aligner's own tokeniser.

Does not tokenise what the language model reads (`anymal.chat.tokens` does).
"""

import copy
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from aligners.base import ReadsText
from anymal.errors import RecipeError, TooLong


class Vocabulary:
    """A tokeniser of words that an aligner reads beside a medium.

    Args:
        tokenizer: A transformers tokeniser.
        most: How many words the aligner reads of one text.
    """

    def __init__(self, tokenizer: Any, *, most: int) -> None:
        self.tokenizer = tokenizer
        self.most = most
        # A copy, because asking for split special tokens changes a tokeniser's own state.
        self._own = copy.deepcopy(tokenizer)
        self._backend = getattr(self._own, "backend_tokenizer", None)
        if self._backend is not None:
            self._backend.encode_special_tokens = True  # what users write never becomes special
            self._backend.no_truncation()
            self._backend.no_padding()

    def read(self, text: str, *, name: str) -> tuple[int, ...]:
        """Tokenise a text, with the special tokens that the tokeniser puts around it.

        Args:
            text: Of the message that carries a medium; may be empty.
            name: Of the medium, for errors.

        Returns:
            The ids.

        Raises:
            TooLong: The aligner reads fewer.
        """
        if self._backend is None:
            ids = tuple(self._own(text, split_special_tokens=True)["input_ids"])
        else:
            ids = tuple(self._backend.encode(text).ids)
        if len(ids) > self.most:
            raise TooLong(
                f"{name} comes with {len(ids)} tokens of text, as its aligner counts them, which "
                f"reads at most {self.most}; shorten the text of that message"
            )
        return ids

    def save(self, folder: Path) -> None:
        """Write the tokeniser, so that `vocabulary_of` reads it."""
        self.tokenizer.save_pretrained(folder)


def vocabulary_of(reads: ReadsText | None, path: str | None, *, where: str) -> Vocabulary | None:
    """Load the tokeniser of an aligner that reads words.

    Args:
        reads: What the aligner reads; None is nothing.
        path: A folder or a Hub id.
        where: Of the aligner, for errors.

    Returns:
        The vocabulary; None for an aligner that reads no words.

    Raises:
        RecipeError: There is no tokeniser, none is wanted, or it has words that the aligner does
            not know.
    """
    if reads is None and path is not None:
        raise RecipeError(
            f"{where}: vocabulary names a tokeniser, and the aligner reads no words; set "
            "vocab_size, or leave vocabulary out"
        )
    if reads is None:
        return None
    if path is None:
        raise RecipeError(
            f"{where}: the aligner reads words beside media; give vocabulary, the folder or Hub id "
            "of their tokeniser"
        )
    try:
        # Otherwise transformers asks on the terminal whether a tokeniser's own code may run.
        tokenizer: Any = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        why = str(error).strip().partition("\n")[0]
        raise RecipeError(
            f"{where}.vocabulary: cannot read the tokeniser of {path!r}: {why}; give the folder or "
            "Hub id of one, such as bert-base-uncased"
        ) from error
    if (words := len(tokenizer)) > reads.vocab_size:
        raise RecipeError(
            f"{where}.vocabulary: the tokeniser of {path!r} has {words} words, and the aligner "
            f"knows {reads.vocab_size}; set vocab_size: {words}"
        )
    return Vocabulary(tokenizer, most=reads.most)
