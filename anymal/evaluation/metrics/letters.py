"""Accuracy of answers that are the letter of an option, as a choice of several is often asked.

Does not ask: the prompt has to name the options by letters.
"""

import re
from collections.abc import Sequence
from string import ascii_uppercase

from anymal.evaluation.metrics.right import RightOrWrong
from anymal.evaluation.scoring import Expected, named_choice

# "B", "(B)", "B. the dog", "the answer is B", "Answer: B"; not "A dog", whose letter is a word.
_ALONE = re.compile(r"^\W*([A-Za-z])\W*$|^\W*\(?([A-Z])[).:,]")
_SAID = re.compile(r"\b(?i:answer|option|choice)\b\W*(?:is|:)?\W*\(?([A-Z])\b(?!\s+\w)")


def lettered(choices: Sequence[str]) -> str:
    """Options for a prompt: `(A) one (B) other`."""
    pairs = zip(ascii_uppercase, choices, strict=False)
    return " ".join(f"({letter}) {choice}" for letter, choice in pairs)


def chosen_by_letter(text: str, want: Expected) -> str:
    """The choice that an answer gives by its letter, or names in words.

    Args:
        text: The answer.
        want: With the choices, in the order of the letters.

    Returns:
        The choice; of an answer that gives none or several, what `named_choice` calls that.
    """
    letter = read_letter(text)
    place = ascii_uppercase.index(letter) if letter else len(want.choices)
    return want.choices[place] if place < len(want.choices) else named_choice(text, want)


def read_letter(text: str) -> str | None:
    """The letter that an answer gives, in upper case; None where it gives none."""
    found = _ALONE.search(text) or _SAID.search(text)
    return next(group for group in found.groups() if group).upper() if found else None


def is_right_letter(text: str, want: Expected) -> bool:
    """Whether an answer gives the letter of the right choice, or names it in words."""
    return chosen_by_letter(text, want) == want.answer


LETTER_ACCURACY = RightOrWrong(scorer=is_right_letter, name="right (letter)")
