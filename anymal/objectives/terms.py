"""Terms of a preference loss: which answers they compare, and under which media.

A branch is `ANSWER` or `ANSWER@CORRUPTION`: one of the record's answers, read with the record's
media or with corrupted ones; or `greedy@CORRUPTION`, what the model itself would have said under
them. A term weighs the branches of a record against each other. Does not compute anything (see
`anymal.objectives.preference`) and imports no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from anymal.media.corrupt import ABSENT, Named

ANSWERS = ("chosen", "rejected")
GREEDY = "greedy"
_OWN_KEYS = ("weight", "margin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One answer of a record under one version of its media.

    Attributes:
        answer: A name in `ANSWERS`; or `GREEDY`, the likeliest word at each place of the chosen
            answer under the corrupted media, which is scored under the true ones.
        corruption: What `anymal.media.corrupt.Named` reads; None leaves media as they are.
    """

    answer: str
    corruption: str | None = None

    @classmethod
    def of(cls, name: str) -> Self:
        """Read `ANSWER` or `ANSWER@CORRUPTION`.

        Raises:
            ValueError: A part of it is unknown; the message lists what is known.
        """
        answer, at, corruption = name.partition("@")
        if answer not in (*ANSWERS, GREEDY):
            raise ValueError(
                f"unknown answer {answer!r} in {name!r}; a term compares {', '.join(ANSWERS)} and "
                f"{GREEDY}, each perhaps with @ and a corruption; its other keys are "
                f"{' and '.join(_OWN_KEYS)}"
            )
        if at:
            Named.of(corruption)  # its error is a ValueError
        return cls(answer=answer, corruption=corruption if at else None)

    @property
    def is_lazy(self) -> bool:
        """Whether its words are only known once the model has run."""
        return self.answer == GREEDY

    @property
    def reads_others(self) -> bool:
        """Whether it reads media other than the record's."""
        return self.corruption not in (None, ABSENT)

    @property
    def words_of(self) -> str:
        """The answer of the record that its sample holds."""
        return ANSWERS[0] if self.is_lazy else self.answer

    def __str__(self) -> str:
        """The name as a recipe writes it."""
        return self.answer if self.corruption is None else f"{self.answer}@{self.corruption}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """How much the score of a branch counts in a term.

    Attributes:
        times: A factor.
        number: The number of a record's `meta` that the factor multiplies; None is 1.
    """

    times: float
    number: str | None = None

    @classmethod
    def of(cls, value: float | str) -> Self:
        """Read a number, or `NAME` or `-NAME` of a number of the record.

        Raises:
            ValueError: It is neither.
        """
        if not isinstance(value, str):
            return cls(times=float(value))
        name = value.removeprefix("-")
        if not name.isidentifier():
            raise ValueError(
                f"a coefficient is a number, or the name of a number in meta, perhaps with a minus "
                f"before it; got {value!r}"
            )
        return cls(times=-1.0 if value != name else 1.0, number=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """`weight * -log sigmoid(beta * sum of coefficient * score - margin)`.

    Attributes:
        coefficients: By branch, as a recipe writes it.
        weight: How much the term counts.
        margin: By how much the sum has to be larger than 0.
    """

    coefficients: Mapping[str, Coefficient]
    weight: float = 1.0
    margin: float = 0.0

    @classmethod
    def of(cls, written: Mapping[str, float | str]) -> Self:
        """Read a term of a recipe, such as `{chosen: 1, rejected: -1}`.

        Raises:
            ValueError: It has no branch, or a key or value is not understood.
        """
        names = [name for name in written if name not in _OWN_KEYS]
        if not names:
            raise ValueError(f"a term needs a branch, such as {ANSWERS[0]}; got {dict(written)}")
        own = {key: written[key] for key in _OWN_KEYS if key in written}
        for key, value in own.items():
            if isinstance(value, str):
                raise ValueError(f"{key} of a term is a number, got {value!r}")
        return cls(
            coefficients={str(Branch.of(name)): Coefficient.of(written[name]) for name in names},
            **{key: float(value) for key, value in own.items()},
        )


def branches_of(terms: Sequence[Term]) -> tuple[Branch, ...]:
    """The branches that terms name, each once, in the order in which they come."""
    names = dict.fromkeys(name for term in terms for name in term.coefficients)
    return tuple(Branch.of(name) for name in names)


def numbers_of(terms: Sequence[Term]) -> tuple[str, ...]:
    """The numbers of a record that coefficients name, each once."""
    used = [each.number for term in terms for each in term.coefficients.values()]
    return tuple(dict.fromkeys(name for name in used if name is not None))
