"""The chat template that came with a tokeniser, taken apart into segments.

Does not let contents through Jinja: numbered marks stand for them, so that nothing that people
wrote can change what the template does or be mistaken for its markup. Does not render in this
process: templates may be a stranger's (`template_process`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from anymal.chat.segments import Segment, Turn, answer, markup
from anymal.chat.system import SystemFolder
from anymal.chat.template_process import BoundedTemplate
from anymal.errors import ConversationError, RecipeError

# Contents never pass through the Jinja template; these stand for them.
_OPEN, _CLOSE = "\ue000", "\ue001"
# Llama 3 templates write today's date unless given one; this is their default. A prompt must not
# change overnight. Qwen 3 templates leave room for thoughts, which answers here do not have.
_SETTINGS = {"date_string": "26 Jul 2024", "enable_thinking": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class JinjaFormat:
    """A Jinja template, understood.

    Attributes:
        end_of_turn: Text of the token that ends an answer.
        write: Turns, and whether to end with the opening of an answer, to segments.
    """

    end_of_turn: str
    write: Callable[[Sequence[Turn], bool], list[Segment]]


def read_jinja(tokenizer: Any) -> JinjaFormat:
    """Understand the chat template of a tokeniser.

    Args:
        tokenizer: A transformers tokeniser.

    Returns:
        How to write a conversation.

    Raises:
        RecipeError: It has none, or one that cannot be used: it does not say where an answer begins
            or ends, refuses a question and an answer, or is beyond the limits of
            `template_process`.
    """
    if not tokenizer.chat_template:
        raise RecipeError(
            "this tokenizer has no chat template; set llm.template to llama2, vicuna or chatml"
        )
    try:
        source = tokenizer.get_chat_template()
    except ValueError as error:  # several, none of them the default
        raise RecipeError(
            f"{error} Set llm.template to llama2, vicuna or chatml to use none of them"
        ) from error
    template = BoundedTemplate(source, {**tokenizer.special_tokens_map, **_SETTINGS})
    specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    try:
        lead, tail, end = _probe(template, specials)
    except ConversationError as error:  # of the probe's own conversation, not of a caller's
        raise RecipeError(f"the tokenizer's chat template cannot be used: {error}") from error
    fold = None if _takes_system(template) else SystemFolder()

    def write(turns: Sequence[Turn], generate: bool) -> list[Segment]:
        turns = turns if fold is None else fold(turns)
        text = _apply_jinja(template, [turn.role for turn in turns], generate)
        before, *pieces = _cut(text, len(turns))
        segments: list[Segment] = []
        for turn, piece in zip(turns, pieces, strict=True):
            if turn.role == "assistant":
                # Some templates write what leads an answer only before the last one.
                own_lead = lead if before.endswith(lead) else ""
                segments.append(markup(before.removesuffix(own_lead)))
                segments += answer(turn, before=own_lead, after=tail)
                before = _without_tail(piece, tail)
            else:
                segments += markup(before), *turn.content
                before = piece
        return [*segments, markup(before)]

    return JinjaFormat(end_of_turn=end, write=write)


def _probe(template: BoundedTemplate, specials: Sequence[str]) -> tuple[str, str, str]:
    """Find what a template writes before and after an answer that belongs to it, and its end."""
    opening = _cut(_apply_jinja(template, ["user"], True), 1)[1]
    _, before, after = _cut(_apply_jinja(template, ["user", "assistant"], False), 2)
    if not before.startswith(opening):
        raise RecipeError(
            f"the tokenizer's chat template opens an answer with {opening!r} when asked to "
            f"generate, but writes {before!r} before a given one; "
            "set llm.template to llama2, vicuna or chatml"
        )
    ends = [(after.index(token), token) for token in specials if token in after]
    if not ends:
        raise RecipeError(
            f"the tokenizer's chat template writes {after!r} after an answer, which holds no "
            "special token to stop at; set llm.template to llama2, vicuna or chatml"
        )
    place, end = min(ends)
    return before.removeprefix(opening), after[: place + len(end)], end


def _takes_system(template: BoundedTemplate) -> bool:
    """Whether a template writes a system message, and before all others."""
    roles = ["system", "user", "assistant", "user"]
    try:
        _cut(_apply_jinja(template, roles, True), len(roles))
    except ConversationError:
        return False
    return True


def _apply_jinja(template: BoundedTemplate, roles: Sequence[str], generate: bool) -> str:
    """Let the template write numbered marks in place of contents."""
    marks = [f"{_OPEN}{index}{_CLOSE}" for index in range(len(roles))]
    return template.write(roles, marks, generate=generate)


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


def _without_tail(text: str, tail: str) -> str:
    """What follows an answer, without the text that belongs to it."""
    if not text.startswith(tail):
        raise ConversationError(
            f"the model's chat template ends one answer with {tail!r} and another one otherwise; "
            "set llm.template to llama2, vicuna or chatml"
        )
    return text.removeprefix(tail)
