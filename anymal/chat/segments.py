"""What a written conversation is made of: pieces of text, and places of media.

Does not know any template; those write segments in `anymal.chat.template` and `anymal.chat.jinja`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSegment:
    """Text, tokenised by itself.

    Attributes:
        text: What it says.
        is_target: Whether the model learns to write it.
        is_markup: Whether the template or recipe wrote it, so that special tokens in it count.
        is_start: Whether a tokeniser writes it before a text; what follows still begins the text.
        is_fact: Whether it tells what was measured of a medium; it is tokenised apart.
    """

    text: str
    is_target: bool = False
    is_markup: bool = False
    is_start: bool = False
    is_fact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSegment:
    """The place of one media item.

    Attributes:
        modality: Its modality.
        index: Its number among the items of that modality in the conversation.
        stands_for: The modality that the reader is shown, if not its own; "" is none.
        prefix: Text that the recipe puts before it.
        facts: What was measured of it, in words between it and the suffix.
        suffix: Text that the recipe puts after it.
        group: The clock that it is on, if any; the rest is of those alone.
        window: The number of this place among those of the item, one for each of its windows.
        tick: When that window is.
    """

    modality: str
    index: int
    stands_for: str | None = None
    prefix: str = ""
    facts: str = ""
    suffix: str = ""
    group: str | None = None
    window: int = 0
    tick: int = 0

    @property
    def shown_as(self) -> str:
        """The modality as the chat template sees it; empty for none."""
        return self.modality if self.stands_for is None else self.stands_for

    def with_text(self) -> list["Segment"]:
        """The bare place, what was measured, and the recipe's text around them."""
        place = MediaSegment(modality=self.modality, index=self.index, window=self.window)
        facts = [TextSegment(text=self.facts, is_fact=True)] if self.facts else []
        return [markup(self.prefix), place, *facts, markup(self.suffix)]


Segment = TextSegment | MediaSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message, its contents in order.

    Attributes:
        role: Whose it is.
        content: What it says.
        is_learnt: Of an answer: whether the model learns to write it.
    """

    role: Role
    content: tuple[Segment, ...]
    is_learnt: bool = True


def markup(text: str) -> Segment:
    """Text that the template wrote.

    Args:
        text: The text; special tokens in it count.

    Returns:
        The segment.
    """
    return TextSegment(text=text, is_markup=True)


def answer(turn: Turn, *, before: str, after: str) -> list[Segment]:
    """Write an answer with what belongs to it, all of it learnt or none.

    Args:
        turn: The assistant's turn.
        before: Markup that the model writes before the content.
        after: Markup that it writes after, up to the token that ends the answer.

    Returns:
        The segments.
    """
    content = [
        replace(item, is_target=turn.is_learnt) if isinstance(item, TextSegment) else item
        for item in turn.content
    ]
    # Text is tokenised anew where targets begin and end. An answer that is not learnt has such ends
    # too, so that its ids are those of one that is.
    edge = [] if turn.is_learnt else [TextSegment(text="", is_target=True, is_markup=True)]
    return [
        *edge,
        TextSegment(text=before, is_target=turn.is_learnt, is_markup=True),
        *content,
        TextSegment(text=after, is_target=turn.is_learnt, is_markup=True),
        *edge,
    ]


def joined(turns: Sequence[Turn]) -> list[Turn]:
    """Join neighbouring system turns to one, and neighbouring user turns, a blank line between.

    Args:
        turns: Trimmed turns.

    Returns:
        The turns; answers stay apart, because each ends with a token of its own.
    """
    together: list[Turn] = []
    for turn in turns:
        last = together[-1] if together else None
        if last is None or turn.role != last.role or turn.role == "assistant":
            together.append(turn)
            continue
        gap = () if _is_blank(last) or _is_blank(turn) else (markup("\n\n"),)
        together[-1] = replace(last, content=(*last.content, *gap, *turn.content))
    return together


def _is_blank(turn: Turn) -> bool:
    return all(isinstance(item, TextSegment) and not item.text for item in turn.content)


def trimmed(turn: Turn) -> Turn:
    """Drop the white space at the ends of a turn; text beside a medium keeps its own.

    Args:
        turn: A turn.

    Returns:
        The turn, trimmed.
    """
    content = list(turn.content)
    if content and isinstance(first := content[0], TextSegment) and not first.is_markup:
        content[0] = replace(first, text=first.text.lstrip())
    if content and isinstance(last := content[-1], TextSegment) and not last.is_markup:
        content[-1] = replace(last, text=last.text.rstrip())
    return replace(turn, content=tuple(content))
