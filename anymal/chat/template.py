"""Messages to segments: the chat template decides the text around contents and what is learnt.

Does not tokenise and does not decode media; a medium is a segment with an index.

What the template writes is kept apart from what people wrote (`is_markup`), so that only the
template's own text can become special tokens. Outer white space of a message is dropped.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from anymal.chat.jinja import read_jinja
from anymal.chat.segments import Segment, TextSegment, Turn, answer, joined, markup, trimmed
from anymal.errors import ConversationError, RecipeError


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTemplate:
    """How a conversation is written for one language model.

    Attributes:
        name: What the recipe calls it.
        end_of_turn: Text of the token that ends an answer.
        write: Turns, and whether to end with the opening of an answer, to segments.
    """

    name: str
    end_of_turn: str
    write: Callable[[Sequence[Turn], bool], list[Segment]]

    def render(self, turns: Sequence[Turn], *, generate: bool) -> list[Segment]:
        """Write a conversation.

        Several system or user messages in a row are joined where the template takes only one.

        Args:
            turns: At least one message.
            generate: End where the answer begins, instead of expecting the answer as last turn.

        Returns:
            Segments; the targets are answers with the token that ends them.

        Raises:
            ConversationError: The template has no way to write these turns.
        """
        turns = [trimmed(turn) for turn in turns]
        together = joined(turns)
        if len(together) == len(turns):
            return self.write(turns, generate)
        try:
            return self.write(turns, generate)
        except ConversationError:
            return self.write(together, generate)

    @property
    def digest(self) -> str:
        """SHA-256 of how a fixed conversation is written: changes when the prompt format does.

        Raises:
            RecipeError: The template has no way to write two questions and an answer.
        """
        turns = [
            Turn(role="user", content=(TextSegment(text="q1"),)),
            Turn(role="assistant", content=(TextSegment(text="a1"),)),
            Turn(role="user", content=(TextSegment(text="q2"),)),
        ]
        try:
            segments = self.render(turns, generate=True)
        except ConversationError as error:
            raise RecipeError(f"template {self.name} cannot be used: {error}") from error
        texts = [segment for segment in segments if isinstance(segment, TextSegment)]
        written = [
            ("".join(segment.text for segment in run), is_target)
            for is_target, run in groupby(texts, key=lambda segment: segment.is_target)
        ]
        return hashlib.sha256(json.dumps(written).encode()).hexdigest()


def build_template(name: str, tokenizer: Any) -> ChatTemplate:
    """Build a chat template for a tokeniser.

    Args:
        name: `tokenizer` for the tokeniser's own Jinja template, or `llama2`, `vicuna`, `chatml`.
        tokenizer: A transformers tokeniser.

    Returns:
        The template.

    Raises:
        RecipeError: The name is unknown, or the tokeniser lacks what the template needs.
    """
    if name == "tokenizer":
        own = read_jinja(tokenizer)
        return ChatTemplate(name=name, end_of_turn=own.end_of_turn, write=own.write)
    if name not in _NAMED:
        raise RecipeError(f"unknown template {name!r}; known: tokenizer, {', '.join(_NAMED)}")
    return _NAMED[name](tokenizer)


def _llama2(tokenizer: Any) -> ChatTemplate:
    """Llama-2-chat, as in Meta's reference code."""
    begin, end = tokenizer.bos_token or "", _require_eos(tokenizer, "llama2")

    def write(turns: Sequence[Turn], generate: bool) -> list[Segment]:
        system, turns = _take_system(turns)
        _check_alternating(turns, generate, "llama2")
        segments: list[Segment] = []
        for index, turn in enumerate(turns):
            if turn.role == "assistant":
                segments += answer(turn, before=" ", after=f" {end}")
                continue
            segments.append(markup(f"{begin}[INST] "))
            if index == 0 and system is not None:
                segments += markup("<<SYS>>\n"), *system.content, markup("\n<</SYS>>\n\n")
            segments += *turn.content, markup(" [/INST]")
        return segments

    return ChatTemplate(name="llama2", end_of_turn=end, write=write)


_VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def _vicuna(tokenizer: Any) -> ChatTemplate:
    """Vicuna v1.1, as in FastChat and LLaVA-1.5; it has a system sentence of its own."""
    begin, end = tokenizer.bos_token or "", _require_eos(tokenizer, "vicuna")

    def write(turns: Sequence[Turn], generate: bool) -> list[Segment]:
        system, turns = _take_system(turns)
        _check_alternating(turns, generate, "vicuna")
        opening = (markup(_VICUNA_SYSTEM),) if system is None else system.content
        segments: list[Segment] = [markup(begin), *opening, markup(" ")]
        for turn in turns:
            if turn.role == "assistant":
                segments += answer(turn, before=" ", after=end)
            else:
                segments += markup("USER: "), *turn.content, markup(" ASSISTANT:")
        return segments

    return ChatTemplate(name="vicuna", end_of_turn=end, write=write)


def _chatml(tokenizer: Any) -> ChatTemplate:
    """ChatML, as Qwen and others use it."""
    begin, end = "<|im_start|>", "<|im_end|>"
    for token in (begin, end):
        if token not in tokenizer.get_vocab():
            raise RecipeError(
                f"template chatml needs the token {token}, which this tokenizer lacks; "
                "use template: tokenizer, llama2 or vicuna"
            )

    def write(turns: Sequence[Turn], generate: bool) -> list[Segment]:
        segments: list[Segment] = []
        for turn in turns:
            segments.append(markup(f"{begin}{turn.role}\n"))
            if turn.role == "assistant":
                segments += *answer(turn, before="", after=end), markup("\n")
            else:
                segments += *turn.content, markup(f"{end}\n")
        if generate:
            segments.append(markup(f"{begin}assistant\n"))
        return segments

    return ChatTemplate(name="chatml", end_of_turn=end, write=write)


_NAMED: dict[str, Callable[[Any], ChatTemplate]] = {
    "llama2": _llama2,
    "vicuna": _vicuna,
    "chatml": _chatml,
}


def _take_system(turns: Sequence[Turn]) -> tuple[Turn | None, Sequence[Turn]]:
    """The system message that opens a conversation, and the rest."""
    if turns and turns[0].role == "system":
        return turns[0], turns[1:]
    return None, turns


def _check_alternating(turns: Sequence[Turn], generate: bool, name: str) -> None:
    """Refuses turns that the format cannot hold."""
    roles = [turn.role for turn in turns]
    expected = ["user" if index % 2 == 0 else "assistant" for index in range(len(roles))]
    if not roles or roles != expected:
        raise ConversationError(
            f"template {name} needs user and assistant in turn, after at most one system message; "
            f"got {', '.join(roles) or 'no message'}"
        )
    if generate and roles[-1] != "user":
        raise ConversationError("the last message must be the user's, so that it can be answered")


def _require_eos(tokenizer: Any, name: str) -> str:
    """The token that ends an answer."""
    if not tokenizer.eos_token:
        raise RecipeError(f"template {name} ends answers with eos, which this tokenizer lacks")
    return str(tokenizer.eos_token)
