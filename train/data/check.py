"""Every row of the manifests, made into a sample before the first step.

So a broken medium or a row that is too long shows before hours of training, not in their midst.
Python sources are not read: they make their records, and some never end.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from rich.console import Console

from anymal.errors import AnymalError, DataError
from anymal.processor import Processor
from train.data.feed import read_sample
from train.data.sources import RecordFile, Source, StageData
from train.progress import Bar

_NUM_NAMED = 5
_ROWS_AT_ONCE = 256  # submitted to the threads; more only takes memory
_LINES_FROM = 1000  # rows; fewer are checked before anyone wants to know how far it is


def check_rows(
    data: Sequence[StageData], processor: Processor, *, max_bad: int, console: Console
) -> None:
    """Process all rows of all manifests, and leave out those that cannot be used.

    Args:
        data: The opened data of all stages; manifests lose their bad rows.
        processor: The one that will process them in training.
        max_bad: Most rows that may be left out.
        console: Where progress and the rows left out are shown.

    Raises:
        DataError: More than `max_bad` rows cannot be used, or a whole manifest; the message names
            rows.
    """
    manifests = _manifests(data)
    total = sum(len(source.records) for source in manifests)
    with Bar(console, "checking rows", total=total) as bar:
        found = list(_find_bad(manifests, processor, bar))
    problems = [problem for _, _, problem in found]
    if len(problems) > max_bad:
        raise DataError(_too_many(problems, total, max_bad))
    for source in manifests:
        if bad := {row for other, row, _ in found if other is source}:
            assert isinstance(source.records, RecordFile), source.origin
            source.records.leave_out(bad)
    if problems:
        console.print(f"left out {len(problems)} of {total:,} rows (max_bad is {max_bad}):")
        for problem in problems:
            console.print(f"  {problem}", markup=False)


def _find_bad(
    manifests: Sequence[Source], processor: Processor, bar: Bar
) -> Iterator[tuple[Source, int, str]]:
    """Yield the rows that cannot be used, and why, in order."""
    places = ((source, row) for source in manifests for row in range(len(source.records)))
    total = sum(len(source.records) for source in manifests)
    done = 0
    pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="check")
    try:
        while chosen := list(islice(places, _ROWS_AT_ONCE)):
            problems = pool.map(lambda place: _problem_of(place[0], place[1], processor), chosen)
            for (source, row), problem in zip(chosen, problems, strict=True):
                done += 1
                bar.show(done, numbers="rows")
                if total >= _LINES_FROM and bar.needs_line(done):
                    bar.say(f"checked {done:,} of {total:,} rows")
                if problem is not None:
                    yield source, row, problem
    finally:
        pool.shutdown(cancel_futures=True)


def _manifests(data: Sequence[StageData]) -> list[Source]:
    """The sources that are manifests; one that several stages name, once."""
    sources = [source for stage in data for source in (*stage.training, *stage.heldout)]
    files = {id(s.records): s for s in sources if isinstance(s.records, RecordFile)}
    return list(files.values())


def _problem_of(source: Source, row: int, processor: Processor) -> str | None:
    """Why a row cannot be used, with its place; None if it can."""
    try:
        read_sample(source, row, processor)
    except AnymalError as error:
        return str(error)
    return None


def _too_many(problems: Sequence[str], total: int, max_bad: int) -> str:
    """What is wrong with some rows, and what to do."""
    named = "; ".join(problems[:_NUM_NAMED])
    more = len(problems) - _NUM_NAMED
    return (
        f"{len(problems)} of {total:,} rows cannot be used, and max_bad is {max_bad}: {named}"
        f"{f'; and {more} more' if more > 0 else ''}. Repair or remove them, or set "
        f"max_bad={len(problems)} to leave them out"
    )
