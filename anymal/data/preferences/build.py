"""Records with several answers as records with two: every pair that a rule makes.

Does not judge answers, and writes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from anymal.data.checks.answers import answer_mistakes
from anymal.data.compared import COMPLETIONS, PAIR, Completion, without_answers
from anymal.data.preferences.rules import Rule, keeps_length, least_ratio
from anymal.data.rows import Around, Record, Rows
from anymal.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the answers of a pair are.

    Attributes:
        row: Number of the record.
        chosen: Number of the better answer.
        rejected: Number of the other.
        lengths: Words of both.
    """

    row: int
    chosen: int
    rejected: int
    lengths: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pairs(Around):
    """Pairs of a data set with several answers, each made when it is asked for.

    Attributes:
        places: Which ones.
    """

    places: list[Place]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int, /) -> Record:
        place = self.places[index]
        record = self.rows[place.row]
        given = completions_of(record, where=self.rows.where(place.row))
        own = [given[place.chosen], given[place.rejected]]
        made: dict[str, Any] = without_answers(record)
        made |= {name: one.text for name, one in zip(PAIR, own, strict=True)}
        if "id" in record:
            made["id"] = f"{record['id']}-{place.chosen}-{place.rejected}"
        scores = {
            f"{name}_score": one.score
            for name, one in zip(PAIR, own, strict=True)
            if one.score is not None
        }
        return made | ({"meta": {**record.get("meta", {}), **scores}} if scores else {})

    def in_file(self, index: int, /) -> Mapping[str, Any]:
        """Read the row as its file has it."""
        return self.rows.in_file(self.places[index].row)

    def where(self, index: int, /) -> str:
        """Return the place of the record that a pair is made of."""
        return self.rows.where(self.places[index].row)


def find_pairs(
    rows: Rows, rule: Rule, *, max_words: int | None = None, tick: Callable[[], None]
) -> list[Place]:
    """Find the pairs that a rule makes of each record.

    Args:
        rows: With `completions`.
        rule: See `anymal.data.preferences.rules`.
        max_words: An answer with more makes no pair; BPO's release has 350. None takes any.
        tick: Is called after each record.

    Returns:
        The pairs; those whose two answers are the same words, or of which one has none, are left
        out.

    Raises:
        DataError: A record has no completions, or wrong ones; begins with its place.
    """
    found = []
    for row in range(len(rows)):
        given = completions_of(rows[row], where=rows.where(row))
        lengths = [len(one.text.split()) for one in given]
        found += [
            Place(row=row, chosen=one, rejected=other, lengths=(lengths[one], lengths[other]))
            for one, other in rule(given)
            if given[one].text != given[other].text
            and min(lengths[one], lengths[other]) > 0
            and (max_words is None or max(lengths[one], lengths[other]) <= max_words)
        ]
        tick()
    return found


def of_equal_length(places: list[Place]) -> tuple[list[Place], float]:
    """Leave out pairs whose chosen answer is far shorter than the other, as RLAIF-V does.

    Returns:
        The pairs that are left, and the least ratio of lengths that they were held to.

    Raises:
        DataError: There are none.
    """
    if not places:
        raise DataError("the rule makes no pair, so no lengths can be compared")
    ratio = least_ratio([place.lengths for place in places])
    return [place for place in places if keeps_length(*place.lengths, ratio)], ratio


def completions_of(record: Record, *, where: str) -> list[Completion]:
    """The answers of a record.

    Args:
        record: With `completions`.
        where: Names it in errors.

    Raises:
        DataError: It has none, or one of another shape.
    """
    if COMPLETIONS not in record or any(name in record for name in PAIR):
        raise DataError(f"{where}: the record has no {COMPLETIONS}, of which a rule makes pairs")
    for mistake in answer_mistakes(record):
        if mistake.kind == "blank_answer":
            continue  # a model may say nothing; that makes no pair
        raise DataError(f"{where}: {mistake.reason}; {mistake.change}")
    return [
        Completion(text=one["text"], score=one.get("score"), ratings=one.get("ratings", {}))
        for one in record[COMPLETIONS]
    ]
