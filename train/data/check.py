"""Every row of the manifests, read and made into a sample before the first step.

So a broken medium or a row that is too long shows before hours of training, not in their midst.
Python sources are not read: they make their records, and some never end.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from rich.console import Console

from anymal.data.in_order import in_order
from anymal.errors import AnymalError, DataError
from anymal.processor import Processor
from anymal.protocol.grading import Grading
from train.data.feed import read_samples
from train.data.records import has_empty_answer
from train.data.sources import Source, StageData
from train.progress import Bar
from train.ranks.group import ALONE, Ranks

_NUM_NAMED = 5
_LINES_FROM = 1000  # rows; fewer take so little time that no progress is printed


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one row showed.

    Attributes:
        manifest: Number of the one whose it is.
        row: Its index there.
        problem: Why it cannot be used, with its place; None if it can.
        is_empty: Whether it has an answer without words.
    """

    manifest: int
    row: int
    problem: str | None = None
    is_empty: bool = False


def check_rows(
    data: Sequence[StageData],
    processor: Processor,
    *,
    max_bad: int,
    console: Console,
    ranks: Ranks = ALONE,
) -> list[StageData]:
    """Process all rows of all manifests, and leave out those that cannot be used.

    Args:
        data: The opened data of all stages.
        processor: The one that will process them in training.
        max_bad: Most rows that may be left out.
        console: Where progress, the rows left out and those with empty answers are shown.
        ranks: Who needs to know; the first one reads the rows.

    Returns:
        The data; manifests without their bad rows.

    Raises:
        DataError: More than `max_bad` rows cannot be used, or a whole manifest; the message names
            rows.
    """
    manifests = _manifests(data)
    total = sum(len(source.records) for source in manifests)

    def look_through() -> list[_Found]:
        with Bar(console, "checking rows", total=total) as bar:
            return list(_look_through(manifests, processor, bar))

    found = ranks.first(look_through)
    _tell_empty_answers(manifests, found, console)
    bad = [one for one in found if one.problem is not None]
    problems = [str(one.problem) for one in bad]
    if len(problems) > max_bad:
        raise DataError(_too_many(problems, total, max_bad))
    if not problems:
        return list(data)
    console.print(f"left out {len(problems)} of {total:,} rows (max_bad is {max_bad}):")
    for problem in problems:
        console.print(f"  {problem}", markup=False)
    rows = [(id(manifests[one.manifest].records), one.row) for one in bad]
    return [
        StageData(
            training=[_without(source, rows) for source in stage.training],
            heldout=[_without(source, rows) for source in stage.heldout],
            kept=[_without(source, rows) for source in stage.kept],
        )
        for stage in data
    ]


def _without(source: Source, bad: Sequence[tuple[int, int]]) -> Source:
    """A source without its bad rows."""
    own = {row for records, row in bad if records == id(source.records)}
    return source.without(own) if own else source


def _look_through(manifests: Sequence[Source], processor: Processor, bar: Bar) -> Iterator[_Found]:
    """Yield what there is to say of rows, in order."""
    places = (
        (number, row)
        for number, source in enumerate(manifests)
        for row in range(len(source.records))
    )
    total = sum(len(source.records) for source in manifests)
    found_all = in_order(places, lambda place: _look_at(manifests, *place, processor), name="check")
    for done, found in enumerate(found_all, start=1):
        bar.show(done, numbers="rows")
        if total >= _LINES_FROM and bar.needs_line(done):
            bar.say(f"checked {done:,} of {total:,} rows")
        if found.problem is not None or found.is_empty:
            yield found


def _look_at(manifests: Sequence[Source], number: int, row: int, processor: Processor) -> _Found:
    """Read and process one row."""
    try:
        conversation, _ = read_samples(manifests[number], row, processor)
    except AnymalError as error:
        return _Found(manifest=number, row=row, problem=str(error))
    return _Found(manifest=number, row=row, is_empty=has_empty_answer(conversation))


def _manifests(data: Sequence[StageData]) -> list[Source]:
    """The sources that are manifests; one that several stages read the same way, once."""
    sources = [source for stage in data for source in stage.all]
    manifests = [source for source in sources if source.rows is not None]
    return list({(id(s.records), _branches(s)): s for s in manifests}.values())


def _branches(source: Source) -> tuple[str, ...]:
    """The samples that each record of a source makes, where answers are compared."""
    if isinstance(source.compares, Grading):
        return (repr(source.compares),)
    return () if source.compares is None else tuple(map(str, source.compares.branches))


def _tell_empty_answers(
    manifests: Sequence[Source], found: Sequence[_Found], console: Console
) -> None:
    """Count the rows that teach the model to say nothing."""
    for manifest, source in enumerate(manifests):
        number = sum(one.is_empty and one.manifest == manifest for one in found)
        if number:
            console.print(
                f"{source.origin}: {number:,} of {len(source.records):,} rows have an answer "
                "without words, from which the model learns to say nothing",
                markup=False,
            )


def _too_many(problems: Sequence[str], total: int, max_bad: int) -> str:
    """What is wrong with some rows, and what to do."""
    named = "; ".join(problems[:_NUM_NAMED])
    more = len(problems) - _NUM_NAMED
    return (
        f"{len(problems)} of {total:,} rows cannot be used, and max_bad is {max_bad}: {named}"
        f"{f'; and {more} more' if more > 0 else ''}. Repair or remove them, or set "
        f"max_bad={len(problems)} to leave them out"
    )
