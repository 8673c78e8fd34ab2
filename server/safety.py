"""Checks on what goes into the model and what comes out; a check is on only if a setting names it.

Does not decide what a refusal looks like to the caller; the worker applies the checks. The paper
(section 5) checks prompts, images and answers in the same places.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl

from anymal.errors import AnymalError
from anymal.protocol.conversation import Conversation, MediaPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why something may not pass.

    Attributes:
        check: Name of the check.
        message: The reason, for the caller.
    """

    check: str
    message: str


@runtime_checkable
class PromptCheck(Protocol):
    """Reads the words of a prompt."""

    def prompt(self, text: str) -> Refusal | None:
        """Refuse a message's text, or let it pass."""
        ...


@runtime_checkable
class MediumCheck(Protocol):
    """Looks at what a message carries beside words."""

    def medium(self, part: MediaPart) -> Refusal | None:
        """Refuse a medium, or let it pass."""
        ...


@runtime_checkable
class SentenceCheck(Protocol):
    """Reads an answer while it grows."""

    def sentence(self, text: str) -> Refusal | None:
        """Refuse a sentence before the caller sees it, or let it pass."""
        ...


@runtime_checkable
class ExchangeCheck(Protocol):
    """Reads question and answer together."""

    def exchange(self, conversation: Conversation, answer: str) -> Refusal | None:
        """Refuse a whole answer, or let it pass."""
        ...


Check = PromptCheck | MediumCheck | SentenceCheck | ExchangeCheck
"""A check has one of the four hooks, or several."""


class Checks:
    """The checks of a service, each hook asked in the order of the setting.

    Hooks may block: call them on a thread. The first refusal counts.
    """

    def __init__(self, checks: Sequence[Check] = ()) -> None:
        self._prompt = [check for check in checks if isinstance(check, PromptCheck)]
        self._medium = [check for check in checks if isinstance(check, MediumCheck)]
        self._sentence = [check for check in checks if isinstance(check, SentenceCheck)]
        self._exchange = [check for check in checks if isinstance(check, ExchangeCheck)]

    @property
    def has_input_checks(self) -> bool:
        """Whether prompts or media are looked at."""
        return bool(self._prompt or self._medium)

    @property
    def has_sentence_checks(self) -> bool:
        """Whether answers are held back until their sentences are whole."""
        return bool(self._sentence)

    @property
    def has_exchange_checks(self) -> bool:
        """Whether answers are held back until they are whole."""
        return bool(self._exchange)

    def prompt(self, text: str) -> Refusal | None:
        """The first refusal of a message's text."""
        return _first(check.prompt(text) for check in self._prompt)

    def medium(self, part: MediaPart) -> Refusal | None:
        """The first refusal of a medium."""
        return _first(check.medium(part) for check in self._medium)

    def sentence(self, text: str) -> Refusal | None:
        """The first refusal of a sentence of the answer."""
        return _first(check.sentence(text) for check in self._sentence)

    def exchange(self, conversation: Conversation, answer: str) -> Refusal | None:
        """The first refusal of the answer as a whole."""
        return _first(check.exchange(conversation, answer) for check in self._exchange)


class WordList:
    """Refuses prompts and sentences that hold one of some words; an example of a check.

    Words are compared whole and without regard to case. It neither knows other spellings nor what
    is meant; it shows where a better check would stand.
    """

    def __init__(self, *, words: str) -> None:
        """Takes the words.

        Args:
            words: The words, separated by commas.

        Raises:
            AnymalError: If there are none.
        """
        listed = [word.strip() for word in words.split(",") if word.strip()]
        if not listed:
            raise AnymalError("WordList needs words=..., separated by commas")
        choice = "|".join(re.escape(word.casefold()) for word in listed)
        self._pattern = re.compile(rf"(?<!\w)(?:{choice})(?!\w)")

    def prompt(self, text: str) -> Refusal | None:
        """See `PromptCheck`."""
        return self._refusal(text, "the prompt holds a word that is not allowed here")

    def sentence(self, text: str) -> Refusal | None:
        """See `SentenceCheck`."""
        return self._refusal(text, "the answer came to a word that is not allowed here")

    def _refusal(self, text: str, message: str) -> Refusal | None:
        # The word itself is not repeated: refusals are shown and may be logged.
        if self._pattern.search(text.casefold()) is None:
            return None
        return Refusal(check="WordList", message=message)


def load_checks(names: Iterable[str]) -> Checks:
    """Make the checks that a setting names.

    Args:
        names: `module:name` each, with the keyword arguments as a query, such as
            `server.safety:WordList?words=bomb,poison`.

    Returns:
        The checks.

    Raises:
        AnymalError: If one cannot be found or made, or has none of the hooks.
    """
    return Checks([_load(name) for name in names])


def _load(name: str) -> Check:
    """One check by its import path."""
    path, _, query = name.partition("?")
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise AnymalError(f"check {name!r} is not of the form 'module:name?key=value'")
    try:
        make = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise AnymalError(f"check {path!r} cannot be imported: {error}") from error
    check = _made(make, path, dict(parse_qsl(query, keep_blank_values=True)))
    if not isinstance(check, PromptCheck | MediumCheck | SentenceCheck | ExchangeCheck):
        raise AnymalError(
            f"check {path!r} has none of the methods prompt, medium, sentence and exchange"
        )
    return check


def _made(make: Callable[..., Any], path: str, arguments: Mapping[str, str]) -> Any:
    try:
        return make(**arguments)
    except TypeError as error:
        raise AnymalError(f"check {path!r} cannot be made: {error}") from error


def _first(refusals: Iterable[Refusal | None]) -> Refusal | None:
    return next((refusal for refusal in refusals if refusal is not None), None)
