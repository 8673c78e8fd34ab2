"""All checks over a whole data set.

Does not show anything; `anymal.cli` does.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from anymal.data.checks.licences import licence_mistakes
from anymal.data.checks.mistake import Mistake, Problem
from anymal.data.checks.repeats import Repeats
from anymal.data.checks.row import CheckedRow, Model, check_row
from anymal.data.in_order import in_order
from anymal.data.rows import Rows


@dataclass(slots=True)
class Counts:
    """What was counted on the way.

    Attributes:
        words: Rows by their number of words.
        tokens: Rows by their number of tokens.
        media: By modality: rows by their number of media, those without left out.
        sizes: By modality: media by size (see `CheckedMedium.size`), rounded to whole pixels or
            tenths of a second.
    """

    words: Counter[float] = field(default_factory=Counter)
    tokens: Counter[float] = field(default_factory=Counter)
    media: dict[str, Counter[float]] = field(default_factory=dict)
    sizes: dict[str, Counter[float]] = field(default_factory=dict)

    def add(self, row: CheckedRow) -> None:
        """Count a row."""
        if row.found is None:
            return
        self.words[row.num_words] += 1
        if row.num_tokens is not None:
            self.tokens[row.num_tokens] += 1
        for modality, sizes in row.media.items():
            self.media.setdefault(modality, Counter())[len(sizes)] += 1
            self.sizes.setdefault(modality, Counter()).update(round(size, 1) for size in sizes)


def find_problems(
    rows: Rows,
    origin: str,
    counts: Counts,
    *,
    model: Model | None = None,
    numbers: Collection[str] = (),
    done: Callable[[], None] = lambda: None,
) -> Iterator[Problem]:
    """Check a data set.

    Args:
        rows: Its rows.
        origin: Names the data set where no row is at fault.
        counts: Filled on the way.
        model: Measures rows in tokens; None leaves that out.
        numbers: Keys of `meta` that a stage weighs pairs of answers by.
        done: Called for each row that is checked.

    Yields:
        Every problem, by row; those of the whole data set first.
    """
    for mistake in licence_mistakes(rows.licence):
        yield Problem(where=origin, mistake=mistake)
    repeats = Repeats(rows.where)

    def work(index: int) -> CheckedRow:
        return check_row(rows, index, model, numbers=numbers)

    for index, row in enumerate(in_order(range(len(rows)), work, name="check")):
        counts.add(row)
        between: list[Mistake] = []
        if row.found is not None:
            between += repeats.mistakes(index, row.found)
        for mistake in (*row.mistakes, *between):
            yield Problem(where=rows.where(index), mistake=mistake)
        done()
