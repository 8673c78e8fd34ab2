"""Questions about anything but the playground: templates and the words that fill them.

Training and held-out questions share neither a template nor a filling, so a right refusal of a
held-out question cannot come from its words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

import numpy as np

from anymal.playground import outside_heldout, outside_train
from anymal.playground.sources import Split

# In training, some fillings are words that nobody knows, so that any strange word will do.
_INVENTED = 0.3
_HELD_OUT_WORDS = frozenset(
    word.lower() for words in outside_heldout.FILLINGS.values() for word in words
)
_STARTS = ("b", "br", "ch", "d", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "r", "s", "sh")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ee", "oo")
_ENDS = ("", "", "n", "r", "l", "s", "t", "ck", "m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wordings:
    """The questions of one split.

    Attributes:
        alone: Templates that need no medium, with the kind of a filling in braces.
        shown: Templates about a medium, by its modality.
        fillings: Words by kind.
        invents: Whether a filling may be an invented word.
    """

    alone: tuple[str, ...]
    shown: Mapping[str, tuple[str, ...]]
    fillings: Mapping[str, tuple[str, ...]]
    invents: bool


WORDINGS: Mapping[Split, Wordings] = {
    "train": Wordings(
        alone=outside_train.ALONE,
        shown=outside_train.SHOWN,
        fillings=outside_train.FILLINGS,
        invents=True,
    ),
    "heldout": Wordings(
        alone=outside_heldout.ALONE,
        shown=outside_heldout.SHOWN,
        fillings=outside_heldout.FILLINGS,
        invents=False,
    ),
}


def draw_outside_text(
    rng: np.random.Generator, split: Split, modality: str | None, *, about_it: bool = False
) -> str:
    """A question that nothing in the playground answers.

    Args:
        rng: Draws template and fillings.
        split: Whose wordings.
        modality: Of the medium that is shown with it, or None.
        about_it: Whether it asks about that medium.
    """
    wordings = WORDINGS[split]
    templates = wordings.shown[modality] if about_it and modality is not None else wordings.alone
    return _fill(str(rng.choice(templates)), wordings, rng)


def kinds_in(template: str) -> tuple[str, ...]:
    """The kinds of fillings that a template takes, in order."""
    return tuple(kind for _, kind, _, _ in Formatter().parse(template) if kind is not None)


def _fill(template: str, wordings: Wordings, rng: np.random.Generator) -> str:
    """The template with a word of each kind."""
    return template.format_map(
        {kind: _draw_filling(kind, wordings, rng) for kind in kinds_in(template)}
    )


def _draw_filling(kind: str, wordings: Wordings, rng: np.random.Generator) -> str:
    """A word of a kind; a number is never invented."""
    if wordings.invents and kind != "number" and rng.random() < _INVENTED:
        word = _invent(rng)
        return word.capitalize() if wordings.fillings[kind][0][0].isupper() else word
    return str(rng.choice(wordings.fillings[kind]))


def _invent(rng: np.random.Generator) -> str:
    """Two or three syllables that no held-out filling is made of."""
    while True:
        count = int(rng.integers(2, 4))
        word = "".join(
            str(rng.choice(part)) for _ in range(count) for part in (_STARTS, _VOWELS, _ENDS)
        )
        if word not in _HELD_OUT_WORDS:
            return word
