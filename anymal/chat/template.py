"""Messages to segments: the chat template decides the text around contents and what is learnt.

Does not tokenise and does not decode media; a medium is a segment with an index.

What the template writes is kept apart from what people wrote (`is_markup`), so that only the
template's own text can become special tokens. Outer white space of a message is dropped.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from anymal.chat.jinja import read_jinja
from anymal.chat.segments import Segment, TextSegment, Turn, joined, trimmed
from anymal.chat.shipped import format_source, next_step
from anymal.errors import ConversationError, RecipeError

logger = logging.getLogger(__name__)

# `<|im_end|>` and `<answer>` in a format of ours, but not `<<SYS>>`.
_MARK = re.compile(r"(?<!<)<\|?[a-z_]+\|?>")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTemplate:
    """How a conversation is written for one language model.

    Attributes:
        name: What the recipe calls it.
        end_of_turn: Text of the token that ends an answer.
        write: Turns, and whether to end with the opening of an answer, to segments.
        markers: By modality, what it writes itself where a medium stands; None if it is a template
            of a tokeniser's, which takes text, and not one of a processor's, which takes parts.
        stop: Text that ends an answer, where no special token does; "" otherwise.
    """

    name: str
    end_of_turn: str
    write: Callable[[Sequence[Turn], bool], list[Segment]]
    markers: Mapping[str, str] | None = None
    stop: str = ""

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


def build_template(
    name: str,
    tokenizer: Any,
    *,
    modalities: Sequence[str] = (),
    markers: Mapping[str, str] | None = None,
) -> ChatTemplate:
    """Build a chat template for a tokeniser.

    Args:
        name: `tokenizer` for the tokeniser's own Jinja template, or one of `format_names`.
        tokenizer: A transformers tokeniser.
        modalities: Of the model.
        markers: What the template writes for media, by modality; None finds out, {} uses none.

    Returns:
        The template.

    Raises:
        RecipeError: The name is unknown, the template cannot be used, or the tokeniser lacks what
            the template needs.
    """
    is_own = name == "tokenizer"
    source = _own_source(tokenizer) if is_own else format_source(name)
    if not is_own:
        _check_tokens(name, source, tokenizer)
    own = read_jinja(
        source,
        tokenizer,
        what="the tokenizer's chat template" if is_own else f"template {name}",
        modalities=modalities,
        markers=markers,
    )
    if own.markers and markers is None:
        found = (f"{marker} for media of kind {kind}" for kind, marker in own.markers.items())
        logger.info("template %s writes %s", name, ", ".join(found))
    if own.closing:
        logger.info(
            "template %s writes no token after an answer; in training, %s follows the last answer",
            name,
            own.closing,
        )
    return ChatTemplate(
        name=name,
        end_of_turn=own.end_of_turn,
        stop=own.stop,
        write=own.write,
        markers=own.markers,
    )


def _check_tokens(name: str, source: str, tokenizer: Any) -> None:
    """Refuse a format whose marks would be spelled out."""
    known = {token.content for token in tokenizer.added_tokens_decoder.values()}
    if missing := sorted(set(_MARK.findall(source)) - known):
        raise RecipeError(
            f"template {name} writes {', '.join(map(repr, missing))}, for which the tokenizer has "
            f"no token; list them in model.extra_tokens, or {next_step()}"
        )


def _own_source(tokenizer: Any) -> str:
    """The Jinja that came with a tokeniser."""
    if not tokenizer.chat_template:
        raise RecipeError(f"this tokenizer has no chat template; {next_step()}")
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:  # several, none of them the default
        raise RecipeError(f"{error} To use none of them, {next_step()}") from error
