"""Which text a chat template writes where a medium stands: the marker, whose place becomes a slot.

Does not decide whether that matters; `anymal.chat.jinja` does.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from anymal.chat.segments import MediaSegment, TextSegment, Turn
from anymal.errors import ConversationError, RecipeError

# Signs of contents (`anymal.chat.parts`), bracketed text, white space, other words.
_ATOM = re.compile("\ue000[^\ue001]*\ue001|<[^<>]*>|\\[[^\\[\\]]*\\]|\\s+|[^\\s<\\[\ue000]+|.")
# A conversation's text, its media under the markers given.
Render = Callable[[Sequence[Turn], Mapping[str, str]], str]


def find_markers(
    render: Render, tokenizer: Any, modalities: Sequence[str], *, what: str
) -> dict[str, str]:
    """Ask a template for one medium of each modality.

    Args:
        render: Writes turns, their contents lists of parts.
        tokenizer: A transformers tokeniser; it may name markers, such as `image_token`.
        modalities: Of the model.
        what: What errors call the template.

    Returns:
        The markers, by modality, of those that the template writes anything for.

    Raises:
        RecipeError: It writes something, but not which part of it is the marker.
    """
    found = {}
    for modality in modalities:
        without, shown = _with_and_without(render, modality)
        if shown in (None, without):
            continue
        assert shown is not None, "it was written"
        marker = _marker(without, shown, tokenizer, getattr(tokenizer, f"{modality}_token", None))
        if marker is None:
            raise RecipeError(
                f"{what} writes {_difference(without, shown)!r} for media of kind {modality}; set "
                f"llm.markers.{modality} to the part of it that stands for the medium itself"
            )
        found[modality] = marker
    return found


def check_markers(render: Render, markers: Mapping[str, str], *, what: str) -> None:
    """Refuse markers that a template does not write once for each medium.

    Args:
        render: Writes turns, their contents lists of parts.
        markers: By modality.
        what: What errors call the template.

    Raises:
        RecipeError: The message names the marker, and what the template writes.
    """
    for modality, marker in markers.items():
        without, shown = _with_and_without(render, modality)
        if not marker or shown is None or shown.count(marker) != without.count(marker) + 1:
            written = None if shown is None else _difference(without, shown)
            raise RecipeError(
                f"llm.markers.{modality} is {marker!r}, but for one medium of this kind {what} "
                f"writes {written or 'nothing'!r}; llm.markers must name a part of that, once"
            )


def _with_and_without(render: Render, modality: str) -> tuple[str, str | None]:
    """What a template writes for words alone, and for a medium before them if it takes one."""
    words = TextSegment(text="")
    medium = MediaSegment(modality=modality, index=0)
    without = render([Turn(role="user", content=(words,))], {})
    try:
        # The marker is not known yet, so nothing may be cut at it.
        return without, render([Turn(role="user", content=(words, medium))], {modality: ""})
    except ConversationError:
        return without, None


def _marker(without: str, shown: str, tokenizer: Any, named: str | None) -> str | None:
    """What stands for the medium: what the tokeniser names, or the only thing that it can be.

    That is the new special token, or of three the middle one, since the others open and close it;
    and where no token is special, the new word.
    """
    specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    new = [token for token in specials if shown.count(token) == without.count(token) + 1]
    candidates = sorted(new, key=shown.index) or _difference(without, shown).split()
    if named in candidates:
        return named
    if len(new) == 3:
        return candidates[1]
    return candidates[0] if len(candidates) == 1 else None


def _difference(without: str, shown: str) -> str:
    """The part of a text that another one lacks, whole words and what stands in brackets."""
    less, more = _ATOM.findall(without), _ATOM.findall(shown)
    before = _num_alike(less, more)
    after = _num_alike(reversed(less[before:]), reversed(more[before:]))
    return "".join(more[before : len(more) - after])


def _num_alike(one: Iterable[str], other: Iterable[str]) -> int:
    """How many items two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
