"""Messages to segments: the chat template decides the text around contents and what is learnt.

Does not tokenise and does not decode media; a medium is a segment with an index.

What the template writes is kept apart from what people wrote (`is_markup`), so that only the
template's own text can become special tokens. Outer white space of a message is dropped.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jinja2 import TemplateError

from anymal.errors import ConversationError, RecipeError

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSegment:
    """Text, tokenised by itself.

    Attributes:
        text: What it says.
        is_target: Whether the model learns to write it.
        is_markup: Whether the template or recipe wrote it, so that special tokens in it count.
    """

    text: str
    is_target: bool = False
    is_markup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSegment:
    """The place of one media item.

    Attributes:
        modality: Its modality.
        index: Its number among the items of that modality in the conversation.
    """

    modality: str
    index: int


Segment = TextSegment | MediaSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message, its contents in order."""

    role: Role
    content: tuple[Segment, ...]


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

        Args:
            turns: At least one message.
            generate: End where the answer begins, instead of expecting the answer as last turn.

        Returns:
            Segments; the targets are answers with the token that ends them.

        Raises:
            ConversationError: The template has no way to write these turns.
        """
        return self.write([_trimmed(turn) for turn in turns], generate)

    @property
    def digest(self) -> str:
        """SHA-256 of how a fixed conversation is written: changes when the prompt format does."""
        turns = [
            Turn(role="user", content=(TextSegment(text="q1"),)),
            Turn(role="assistant", content=(TextSegment(text="a1"),)),
            Turn(role="user", content=(TextSegment(text="q2"),)),
        ]
        segments = self.render(turns, generate=True)
        written = [[s.text, s.is_target] for s in segments if isinstance(s, TextSegment)]
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
        return _tokenizer_template(tokenizer)
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
                segments += _answer(turn, before=" ", after=f" {end}")
                continue
            segments.append(_markup(f"{begin}[INST] "))
            if index == 0 and system is not None:
                segments += _markup("<<SYS>>\n"), *system.content, _markup("\n<</SYS>>\n\n")
            segments += *turn.content, _markup(" [/INST]")
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
        opening = (_markup(_VICUNA_SYSTEM),) if system is None else system.content
        segments: list[Segment] = [_markup(begin), *opening, _markup(" ")]
        for turn in turns:
            if turn.role == "assistant":
                segments += _answer(turn, before=" ", after=end)
            else:
                segments += _markup("USER: "), *turn.content, _markup(" ASSISTANT:")
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
            segments.append(_markup(f"{begin}{turn.role}\n"))
            if turn.role == "assistant":
                segments += *_answer(turn, before="", after=end), _markup("\n")
            else:
                segments += *turn.content, _markup(f"{end}\n")
        if generate:
            segments.append(_markup(f"{begin}assistant\n"))
        return segments

    return ChatTemplate(name="chatml", end_of_turn=end, write=write)


_NAMED: dict[str, Callable[[Any], ChatTemplate]] = {
    "llama2": _llama2,
    "vicuna": _vicuna,
    "chatml": _chatml,
}


# --- the tokeniser's own template ---------------------------------------------------------------

# Contents never pass through the Jinja template; these stand for them.
_OPEN, _CLOSE = "\ue000", "\ue001"


def _tokenizer_template(tokenizer: Any) -> ChatTemplate:
    """The Jinja template that came with the tokeniser."""
    if not tokenizer.chat_template:
        raise RecipeError(
            "this tokenizer has no chat template; set llm.template to llama2, vicuna or chatml"
        )
    lead, tail, end = _probe(tokenizer)

    def write(turns: Sequence[Turn], generate: bool) -> list[Segment]:
        text = _apply_jinja(tokenizer, [turn.role for turn in turns], generate)
        pieces = _cut(text, len(turns))
        segments = [_markup(pieces[0])]
        for turn, piece in zip(turns, pieces[1:], strict=True):
            if turn.role == "assistant":
                segments[-1] = _without_end(segments[-1], lead)
                segments += _answer(turn, before=lead, after=tail)
                piece = piece.removeprefix(tail)
            else:
                segments += turn.content
            segments.append(_markup(piece))
        return segments

    return ChatTemplate(name="tokenizer", end_of_turn=end, write=write)


def _probe(tokenizer: Any) -> tuple[str, str, str]:
    """Find what a template writes before and after an answer that belongs to it, and its end."""
    opening = _cut(_apply_jinja(tokenizer, ["user"], True), 1)[1]
    _, before, after = _cut(_apply_jinja(tokenizer, ["user", "assistant"], False), 2)
    if not before.startswith(opening):
        raise RecipeError(
            f"the tokenizer's chat template opens an answer with {opening!r} when asked to "
            f"generate, but writes {before!r} before a given one; "
            "set llm.template to llama2, vicuna or chatml"
        )
    specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    ends = [(after.index(token), token) for token in specials if token in after]
    if not ends:
        raise RecipeError(
            f"the tokenizer's chat template writes {after!r} after an answer, which holds no "
            "special token to stop at; set llm.template to llama2, vicuna or chatml"
        )
    place, end = min(ends)
    return before.removeprefix(opening), after[: place + len(end)], end


def _apply_jinja(tokenizer: Any, roles: Sequence[str], generate: bool) -> str:
    """Let the template write numbered marks in place of contents."""
    messages = [
        {"role": role, "content": f"{_OPEN}{index}{_CLOSE}"} for index, role in enumerate(roles)
    ]
    try:
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=generate
        )
    except TemplateError as error:
        raise ConversationError(
            f"the model's chat template refuses the roles {', '.join(roles)}: {error}"
        ) from error
    assert isinstance(text, str), type(text)
    return text


def _cut(text: str, num_turns: int) -> list[str]:
    """Cut what a template wrote at the marks, which must all be there in order."""
    pieces = []
    for index in range(num_turns):
        before, mark, text = text.partition(f"{_OPEN}{index}{_CLOSE}")
        if not mark or _OPEN in before:
            raise ConversationError(
                "the model's chat template drops, repeats or reorders messages; "
                "set llm.template to llama2, vicuna or chatml"
            )
        pieces.append(before)
    return [*pieces, text]


def _without_end(segment: Segment, end: str) -> Segment:
    """A segment without the text that goes over to the answer after it."""
    assert isinstance(segment, TextSegment), segment
    assert segment.text.endswith(end), (segment.text, end)
    return replace(segment, text=segment.text.removesuffix(end))


# --- pieces -------------------------------------------------------------------------------------


def _markup(text: str) -> Segment:
    """Text of the template."""
    return TextSegment(text=text, is_markup=True)


def _answer(turn: Turn, *, before: str, after: str) -> list[Segment]:
    """An answer with what belongs to it, all of it learnt."""
    content = [
        replace(item, is_target=True) if isinstance(item, TextSegment) else item
        for item in turn.content
    ]
    return [
        TextSegment(text=before, is_target=True, is_markup=True),
        *content,
        TextSegment(text=after, is_target=True, is_markup=True),
    ]


def _trimmed(turn: Turn) -> Turn:
    """A turn without white space at its ends; text beside a medium keeps its own."""
    content = list(turn.content)
    if content and isinstance(first := content[0], TextSegment) and not first.is_markup:
        content[0] = replace(first, text=first.text.lstrip())
    if content and isinstance(last := content[-1], TextSegment) and not last.is_markup:
        content[-1] = replace(last, text=last.text.rstrip())
    return replace(turn, content=tuple(content))


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
