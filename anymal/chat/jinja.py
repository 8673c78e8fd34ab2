"""A chat template in Jinja, a tokeniser's own or a format of ours, taken apart into segments.

Does not let contents through Jinja (`anymal.chat.parts`) and does not render in this process:
templates may be a stranger's (`anymal.chat.template_process`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

from anymal.chat.markers import check_markers, find_markers
from anymal.chat.parts import Markers, Written, cut, media_sign, pieces_of, shown, words_sign
from anymal.chat.segments import Role, Segment, TextSegment, Turn, answer, markup
from anymal.chat.shipped import next_step
from anymal.chat.system import SystemFolder
from anymal.chat.template_process import BoundedTemplate
from anymal.errors import ConversationError, RecipeError

# A format of ours writes it where what is learnt after an answer ends.
_END = "\ue002"
# Llama 3 templates write today's date unless given one; this is their default. A prompt must not
# change overnight. Qwen 3 templates leave room for thoughts, which answers here do not have.
SETTINGS = {"date_string": "26 Jul 2024", "enable_thinking": False, "end_of_answer": _END}


@dataclass(frozen=True, slots=True, kw_only=True)
class JinjaFormat:
    """A Jinja template, understood.

    Attributes:
        template: Renders.
        markers: What it writes for media; None if it takes contents as strings.
        start: Written before everything, unless the template writes it itself.
        lead: What it writes before an answer that belongs to it.
        tail: What it writes after an answer that belongs to it.
        closing: Written after the answer that ends what is learnt, instead of what the template
            writes there.
        end_of_turn: Text of the token to stop at.
        stop: Text to stop at, where no special token ends an answer; "" otherwise.
        fold: Finds a place for system turns; None if the template has one.
    """

    template: BoundedTemplate
    markers: Markers
    start: str = ""
    lead: str
    tail: str
    closing: str
    end_of_turn: str
    stop: str
    fold: SystemFolder | None

    def write(self, turns: Sequence[Turn], generate: bool) -> list[Segment]:
        """Turns, and whether to end with the opening of an answer, to segments."""
        turns = turns if self.fold is None else self.fold(turns)
        written = _written(self.template, turns, self.markers, generate=generate)
        *gaps, rest = written.between
        segments: list[Segment] = []
        if not written.between[0].startswith(self.start):
            segments.append(TextSegment(text=self.start, is_markup=True, is_start=True))
        tail = ""  # of the answer before
        for index, group in groupby(zip(gaps, written.pieces, strict=True), lambda g: g[1].turn):
            (gap, first), *others = group
            content = [*first.content]
            for text, piece in others:
                content += markup(text), *piece.content
            before = _without(gap, tail)
            if turns[index].role == "assistant":
                # Some templates write what leads an answer only before the last one.
                lead = self.lead if before.endswith(self.lead) else ""
                segments.append(markup(before.removesuffix(lead)))
                turn, tail = replace(turns[index], content=tuple(content)), self.tail
                segments += answer(turn, before=lead, after=tail.removesuffix(_END))
            else:
                segments += markup(before), *content
                tail = ""
        if self.closing and not generate and turns[-1].role == "assistant":
            learnt = turns[-1].is_learnt
            return [*segments, TextSegment(text=self.closing, is_target=learnt, is_markup=True)]
        return [*segments, markup(_without(rest, tail))]


def read_jinja(
    source: str,
    tokenizer: Any,
    *,
    what: str,
    modalities: Sequence[str] = (),
    markers: Mapping[str, str] | None = None,
) -> JinjaFormat:
    """Understand a chat template.

    Contents are given to it as strings, or as lists of parts if it takes only those or writes a
    marker for a medium of its own.

    Args:
        source: Jinja.
        tokenizer: The transformers tokeniser it is for.
        what: What errors call it.
        modalities: Of the model; markers are looked for.
        markers: What it writes for media, by modality; None finds out, {} uses none.

    Returns:
        How to write a conversation.

    Raises:
        RecipeError: It cannot be used: it does not say where an answer begins or ends, drops what
            it is given, refuses a question and an answer, writes no such marker, or is beyond the
            limits of `template_process`.
    """
    template = BoundedTemplate(source, {**tokenizer.special_tokens_map, **SETTINGS})
    strings = _understood(template, tokenizer, None, what=what)
    if isinstance(strings, JinjaFormat) and not (modalities if markers is None else markers):
        return strings
    lists = _understood(template, tokenizer, {}, what=what)
    if isinstance(lists, JinjaFormat):
        render = partial(_text, template, generate=True)
        if markers is None:
            markers = find_markers(render, tokenizer, modalities, what=what)
        else:
            check_markers(render, markers, what=what)
        if markers or not isinstance(strings, JinjaFormat):
            return replace(lists, markers=markers, start=_start(tokenizer))
    elif markers:
        raise RecipeError(
            f"llm.markers names {', '.join(markers)}, but {what} takes no contents as lists of "
            "parts, so that it writes no markers; leave llm.markers out"
        )
    if isinstance(strings, JinjaFormat):
        return strings
    problems = [each for each in (strings, lists) if isinstance(each, RecipeError)]
    # The shape that got further says more.
    raise min(problems, key=lambda error: isinstance(error.__cause__, ConversationError))


def _understood(
    template: BoundedTemplate, tokenizer: Any, markers: Markers, *, what: str
) -> JinjaFormat | RecipeError:
    """Learn how a template writes answers in one shape, or why it cannot be used in that shape."""
    try:
        *_, opening = _written(template, _turns("user"), markers, generate=True).between
        talk = _turns("user", "assistant")
        *_, before, after = _written(template, talk, markers, generate=False).between
    except ConversationError as error:  # of the probe's own conversation, not of a caller's
        problem = RecipeError(f"{what} cannot be used: {error}")
        problem.__cause__ = error
        return problem
    if not before.startswith(opening):
        return RecipeError(
            f"{what} opens an answer with {opening!r} when asked to generate, but writes "
            f"{before!r} before a given one; {next_step()}"
        )
    tail, end = _ending(after, tokenizer)
    closing = end if not tail else ""
    if _END in tail:
        longer = _written(template, [*talk, *talk], markers, generate=False)
        place = [piece.turn for piece in longer.pieces].index(1) + 1
        if _END not in (between := longer.between[place]):  # only the last answer has more
            last = tail.removesuffix(_END)
            tail, end = _ending(between, tokenizer)
            closing = last.removeprefix(tail)
    if not end:
        return RecipeError(
            f"{what} writes {after.replace(_END, '')!r} after an answer, which holds no special "
            f"token to stop at; {next_step()}"
        )
    return JinjaFormat(
        template=template,
        markers=markers,
        lead=before.removeprefix(opening),
        tail=tail,
        closing=closing,
        end_of_turn=end,
        stop=tail.removesuffix(_END) if tail.endswith(_END) else "",
        fold=None if _takes_system(template, markers) else SystemFolder(),
    )


def _ending(after: str, tokenizer: Any) -> tuple[str, str]:
    """What belongs to an answer of the text that follows it, and the token to stop at."""
    eos = str(tokenizer.eos_token or "")
    if _END in after:
        return after[: after.index(_END) + 1], eos
    if not after.strip():
        return "", eos
    added = [token for token in tokenizer.added_tokens_decoder.values() if token.content.strip()]
    ends = [
        (not token.special, after.index(token.content), token.content)
        for token in added
        if token.content in after
    ]
    if not ends:
        return "", ""
    _, place, end = min(ends)
    return after[: place + len(end)], end


def _takes_system(template: BoundedTemplate, markers: Markers) -> bool:
    """Whether a template writes a system message, and before all others."""
    talk = _turns("system", "user", "assistant", "user")
    try:
        _written(template, talk, markers, generate=True)
    except ConversationError:
        return False
    return True


def _start(tokenizer: Any) -> str:
    """What a tokeniser puts before every text, as the processors of transformers let it do."""
    ids = tokenizer("")["input_ids"]
    return str(tokenizer.bos_token) if ids and ids[0] == tokenizer.bos_token_id else ""


def _written(
    template: BoundedTemplate, turns: Sequence[Turn], markers: Markers, *, generate: bool
) -> Written:
    """What a template makes of turns, cut at their contents."""
    text = _text(template, turns, markers, generate=generate)
    return cut(text, turns, pieces_of(turns, markers))


def _text(
    template: BoundedTemplate, turns: Sequence[Turn], markers: Markers, *, generate: bool
) -> str:
    """What a template makes of turns, with signs for their contents."""
    return template.write(
        shown(turns, pieces_of(turns, markers), markers),
        media=[media_sign(index) for index in range(len(turns))],
        words=[words_sign(index) for index in range(len(turns))],
        add_generation_prompt=generate,
    )


def _turns(*roles: Role) -> list[Turn]:
    """A conversation whose contents do not matter."""
    return [Turn(role=role, content=(TextSegment(text=""),)) for role in roles]


def _without(text: str, tail: str) -> str:
    """What follows an answer, without the text that belongs to it."""
    if not text.startswith(tail):
        raise ConversationError(
            f"the model's chat template ends one answer with {tail.removesuffix(_END)!r} and "
            f"another one otherwise; {next_step()}"
        )
    return text.removeprefix(tail)
