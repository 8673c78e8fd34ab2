"""Text to token ids, with special tokens only where the chat template put them.

Does not know roles and reserves no positions for media; `anymal.chat.template` and
`anymal.processor` do.
"""

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from anymal.chat.segments import MediaSegment, Segment, TextSegment
from anymal.errors import DataError, TooLong

Follows = Literal["nothing", "special", "text"]
# What sentencepiece-like and byte-level tokenisers write for a space.
_SPACE_MARKS = ("\u2581", "\u0120")
_PIECE_CHARACTERS = 2**14  # a tokeniser holds the interpreter for some milliseconds


class TextEncoder:
    """A tokeniser whose special tokens come from templates only, whatever users write.

    Args:
        tokenizer: A transformers tokeniser.
        is_processors: Whether runs are tokenised as in one text with the special tokens between
            them, as processors of transformers do; otherwise each may begin with a space.
    """

    def __init__(self, tokenizer: Any, *, is_processors: bool = False) -> None:
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
        self._longest = max(map(len, tokenizer.get_vocab()))
        first = self._tokenizer.convert_ids_to_tokens(self.encode("a"))[0]
        self._adds_space = isinstance(first, str) and first.startswith(_SPACE_MARKS)
        self._is_processors = is_processors
        self._scheme = getattr(
            getattr(self._backend, "pre_tokenizer", None), "prepend_scheme", None
        )
        self._bare = _spaceless(self._backend) if is_processors and self._scheme else None

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

    def least_tokens(self, num_characters: int) -> int:
        """How many tokens some text takes at least, since none is longer than the longest.

        Args:
            num_characters: Length of the text.
        """
        return -(-num_characters // self._longest)

    def is_longer_than(self, text: str, number: int) -> bool:
        """Whether a long text takes more tokens, found by tokenising no more of it than needed.

        Args:
            text: Any text; a short one is not looked at.
            number: How many tokens; a few are added where the text is cut into pieces.
        """
        if len(text) <= _PIECE_CHARACTERS:
            return False
        found = 0
        for start in range(0, len(text), _PIECE_CHARACTERS):
            found += len(self.encode(text[start : start + _PIECE_CHARACTERS]))
            if found > number:
                return True
        return False

    def encode_run(self, text: str, *, follows: Follows = "special") -> Sequence[int]:
        """Tokenise one run of text of a sequence.

        A tokeniser that puts a space before every text would double a leading space.

        Args:
            text: Any text.
            follows: What stands before it: nothing, a special token or a medium, or other text.

        Returns:
            The ids.
        """
        backend, skipped = self._reader(text, follows)
        if backend is not self._backend:
            return list(backend.encode(text, add_special_tokens=False).ids)
        return self.encode(text[skipped:]) if text[skipped:] else []

    def places(self, text: str, *, follows: Follows) -> list[tuple[int, int]]:
        """Where in a run of text its ids stand: their first characters, and those after their last.

        Args:
            text: As `encode_run` takes it.
            follows: Likewise.

        Raises:
            DataError: The tokeniser does not tell.
        """
        backend, skipped = self._reader(text, follows)
        if backend is None:
            raise DataError(
                f"{type(self._tokenizer).__name__} does not tell where in a text its tokens stand; "
                "take a fast tokeniser"
            )
        found = backend.encode(text[skipped:], add_special_tokens=False).offsets
        return [(start + skipped, end + skipped) for start, end in found]

    def _reader(self, text: str, follows: Follows) -> tuple[Any, int]:
        """What tokenises a run, and how many characters it does not see."""
        is_bare = follows == "text" or (follows == "special" and self._scheme == "first")
        if self._bare is not None and is_bare:
            return self._bare, 0
        is_doubled = not self._is_processors or follows == "text"
        return self._backend, int(self._adds_space and is_doubled and text.startswith(" "))


def _spaceless(backend: Any) -> Any:
    """A copy that puts no space before a text."""
    copied = copy.deepcopy(backend)
    pre_tokenizer = copied.pre_tokenizer
    pre_tokenizer.prepend_scheme = "never"
    copied.pre_tokenizer = pre_tokenizer
    copied.encode_special_tokens = True
    return copied


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRun:
    """Ids of one stretch of text.

    Attributes:
        ids: The ids.
        is_target: Whether the model learns to write them.
        is_fact: Whether they tell what was measured of a medium.
        text: The stretch; empty of a special token.
        follows: What stands before it.
    """

    ids: Sequence[int]
    is_target: bool
    is_fact: bool = False
    text: str = ""
    follows: Follows = "nothing"


def runs_of(
    segments: Sequence[Segment], text: TextEncoder, *, enough: int
) -> list[IdRun | MediaSegment]:
    """Tokenise text between special tokens, media and changes of target as one run each.

    So the text of the template and the words inside it meet as they do in the model's own
    training, while ids never depend on what comes after a run.

    Args:
        segments: A written conversation.
        text: The tokeniser.
        enough: How many ids are surely too many. It must leave room for those that cuts add.

    Returns:
        Runs of ids, and media between them.

    Raises:
        TooLong: If there are more ids than that; the rest of the text is not tokenised.
    """
    runs: list[IdRun | MediaSegment] = []
    number = 0
    has_start = any(isinstance(first, TextSegment) and first.is_start for first in segments[:1])
    follows: Follows = "nothing"
    for item in _stretches(segments, text):
        if isinstance(item, MediaSegment):
            runs.append(item)
            follows = "special"
            continue
        words, is_target, is_fact = item
        if isinstance(words, str) and text.is_longer_than(words, enough - number):
            raise _too_long(enough)
        before = follows
        if isinstance(words, str):
            ids, follows = text.encode_run(words, follows=follows), "text"
        else:
            ids, follows = [words], "nothing" if has_start and not runs else "special"
        number += len(ids)
        if number > enough:
            raise _too_long(enough)
        said = words if isinstance(words, str) else ""
        runs.append(IdRun(ids=ids, is_target=is_target, is_fact=is_fact, text=said, follows=before))
    return runs


def _stretches(
    segments: Sequence[Segment], text: TextEncoder
) -> Iterator[MediaSegment | tuple[str | int, bool, bool]]:
    """Media, and texts and special tokens with whether they are targets and facts.

    No text is empty.
    """
    words: list[str] = []
    is_target = is_fact = False

    def end() -> Iterator[tuple[str, bool, bool]]:
        if joined := "".join(words):
            yield joined, is_target, is_fact
        words.clear()

    for segment in segments:
        if isinstance(segment, MediaSegment):
            yield from end()
            yield segment
            continue
        if (segment.is_target, segment.is_fact) != (is_target, is_fact):
            yield from end()
            is_target, is_fact = segment.is_target, segment.is_fact
        for piece in text.split_special(segment.text) if segment.is_markup else [segment.text]:
            if isinstance(piece, str):
                words.append(piece)
            else:
                yield from end()
                yield piece, is_target, is_fact
    yield from end()


def _too_long(enough: int) -> TooLong:
    return TooLong(f"the text takes more than {enough} tokens, far more than fit; shorten it")


_PROBE = "Which is larger, 3.5 or 12?\n  An unseen word: \u00e9t\u00e9, \u4e2d."


def pad_id_of(tokenizer: Any) -> int:
    """Id to fill up with, masked and never looked up; a tokeniser need not have one for it."""
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    return int(pad if pad is not None else eos if eos is not None else 0)


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
