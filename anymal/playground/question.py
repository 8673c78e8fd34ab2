"""A question with its answer, and the many ways people put the same question.

It knows no topic; a topic hands in its own phrasings.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from anymal.playground.words import YES_NO

_OPENINGS = ("Please tell me: ", "Tell me: ", "Question: ", "Can you tell me: ", "Please answer. ")
_CLOSINGS = (
    " Answer in one sentence.",
    " Answer with a short sentence.",
    " Please answer briefly.",
    " Answer in plain English.",
    " Answer in a few words.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question about one or several media.

    Attributes:
        text: The question as a person would put it.
        answer: The whole sentence to answer with.
        task: What is being asked, for the tables of the evaluation.
        expected: The word or words that a right answer contains, in their order.
        choices: The words among which the right one is found; empty for free descriptions.
    """

    text: str
    answer: str
    task: str
    expected: tuple[str, ...]
    choices: tuple[str, ...]

    def meta(self) -> dict[str, Any]:
        """What the evaluation needs to know to score an answer."""
        meta: dict[str, Any] = {
            "task": self.task,
            "answer": self.expected[0],
            "choices": list(self.choices),
        }
        if len(self.expected) > 1:
            meta["all_of"] = list(self.expected)
        return meta


def ask(
    rng: np.random.Generator,
    phrasings: tuple[str, ...],
    answer: str,
    *,
    task: str,
    expected: str | tuple[str, ...],
    choices: tuple[str, ...],
) -> Question:
    """Puts a question in one of its phrasings, with the small liberties that people take."""
    return Question(
        text=_as_people_write(str(rng.choice(phrasings)), rng),
        answer=answer,
        task=task,
        expected=(expected,) if isinstance(expected, str) else expected,
        choices=choices,
    )


def ask_whether(
    rng: np.random.Generator,
    phrasings: tuple[str, ...],
    is_true: bool,
    statement: str,
    *,
    task: str,
) -> Question:
    """A yes-or-no question; the answer says yes or no first and then what is the case."""
    word = YES_NO[0] if is_true else YES_NO[1]
    answer = f"{word.capitalize()}, {statement}."
    return ask(rng, phrasings, answer, task=task, expected=word, choices=YES_NO)


def weigh(values: str, verdict: str) -> str:
    """The answer of a comparison: both values first, then what follows from them.

    "The hand shows three and the voice says seven: the spoken digit is larger."
    """
    return f"{values[0].upper()}{values[1:]}: {verdict}."


def _as_people_write(text: str, rng: np.random.Generator) -> str:
    """Other spellings, a missing question mark, an opening, a closing wish."""
    if rng.random() < 0.5:
        text = text.replace("colour", "color")
    if rng.random() < 0.1:
        text = text.rstrip("?.")
    if rng.random() < 0.1:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.1:
        text = str(rng.choice(_OPENINGS)) + text
    if rng.random() < 0.1:
        text = text + str(rng.choice(_CLOSINGS))
    return text
