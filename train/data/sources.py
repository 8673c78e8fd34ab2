"""The records of a stage: manifests of any format and Python sources behind one lazy interface.

Does not decode media, tokenise text or choose the order of records (see `train.data.sampler`).
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from anymal.data.registry import open_rows
from anymal.data.rows import Chosen, Record, Rows
from anymal.errors import DataError, RecipeError
from anymal.protocol.conversation import Conversation
from anymal.protocol.grading import Grading
from anymal.recipe.data_entry import DataRecipe, WeightRule
from anymal.recipe.licences import UNKNOWN
from anymal.recipe.objective import Objective, PreferenceRecipe
from anymal.recipe.reinforce import ReinforceRecipe
from anymal.recipe.reward import RewardRecipe, grading_of
from anymal.recipe.schema import ModelRecipe, Recipe
from train.data.graded import check_graded
from train.data.pairs import Pair, check_pair
from train.data.records import check_question, check_record

ENDLESS = sys.maxsize  # the length of a source that has no end


class Records(Protocol):
    """What a source gives: any object with `len()` and `[index]`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One entry of a stage's `data` or `heldout`.

    Attributes:
        name: For reports.
        origin: Its function, or the name of its file.
        licence: SPDX name, or what the records say about it.
        records: Conversations, read one at a time on access.
        weight: Share of the mixture, relative to the other sources.
        base_dir: Folder that media paths are relative to; None allows no paths.
        rows: The records of a manifest, which know their places; None for a Python source.
        compares: Of a stage that compares answers, how it compares or grades them; None for one
            that learns them.
        asks: Of a stage that answers by itself: a conversation ends with its question.
    """

    name: str
    origin: str
    licence: str
    records: Records
    weight: float
    base_dir: Path | None
    rows: Rows | None = None
    compares: PreferenceRecipe | Grading | None = None
    asks: bool = False

    def read(self, index: int) -> Conversation:
        """Return one checked conversation; of a record with two answers, that with the chosen one.

        Raises:
            DataError: The record is not a conversation; the message says which one.
        """
        if self.compares is not None:
            return self.pair(index).conversations["chosen"]
        if self.asks:
            record, where = self.records[index], self.where(index)
            return check_question(record, where=where, base_dir=self.base_dir)
        return self.check(self.records[index], index)

    def pair(self, index: int) -> Pair:
        """Return one checked record with two answers.

        Raises:
            DataError: The record is none; the message says which one.
        """
        assert self.compares is not None, self.origin
        record, where = self.records[index], self.where(index)
        if isinstance(self.compares, Grading):
            return check_graded(record, self.compares, where=where, base_dir=self.base_dir)
        return check_pair(record, self.compares, where=where, base_dir=self.base_dir)

    def check(self, record: Record, index: int) -> Conversation:
        """Check one of the records, which was read already.

        Raises:
            DataError: See `read`.
        """
        return check_record(record, where=self.where(index), base_dir=self.base_dir)

    def where(self, index: int) -> str:
        """Name one record in messages: file and row, or source and index."""
        return f"{self.origin}[{index}]" if self.rows is None else self.rows.where(index)

    def without(self, bad: Collection[int]) -> Self:
        """The same source without some records of its manifest; the others keep their places.

        Raises:
            DataError: None would be left.
        """
        assert self.rows is not None, self.origin
        kept = [index for index in range(len(self.rows)) if index not in bad]
        if not kept:
            raise DataError(f"manifest {self.origin!r} has no row that can be used")
        rows = Chosen.of(self.rows, kept)
        return replace(self, records=rows, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageData:
    """The sources of one stage.

    Attributes:
        training: What it trains on.
        heldout: What it is measured on.
        kept: Where answers are compared: on what the model is to stay as it was.
    """

    training: list[Source]
    heldout: list[Source]
    kept: list[Source] = field(default_factory=list)

    @property
    def learnt_from(self) -> list[Source]:
        """All that weights depend on."""
        return [*self.training, *self.kept]

    @property
    def all(self) -> list[Source]:
        """Every source."""
        return [*self.training, *self.kept, *self.heldout]


def open_data(recipe: Recipe) -> list[StageData]:
    """Open the data of all stages, so that a mistake in the last one shows before the first begins.

    Args:
        recipe: Its manifests have absolute paths.

    Returns:
        One entry per stage. A file or source that several stages name is opened once.

    Raises:
        DataError: A manifest or Python source is missing, malformed or empty.
        RecipeError: A source without an end has a weight by its size.
    """
    opened: dict[str, Source] = {}
    return [
        StageData(
            training=[
                replace(
                    _open(entry, opened, compares),
                    asks=isinstance(stage.objective, ReinforceRecipe),
                )
                for entry in stage.data
            ],
            heldout=[_open(entry, opened, compares) for entry in stage.heldout or []],
            kept=[_open(entry, opened, None) for entry in _kept(stage.objective)],
        )
        for stage in recipe.stages
        for compares in [_compares(stage.objective, recipe.model)]
    ]


def _compares(objective: Objective, model: ModelRecipe) -> PreferenceRecipe | Grading | None:
    """How a stage compares or grades answers; None where it learns them."""
    if isinstance(objective, RewardRecipe):
        return grading_of(model)
    return objective if isinstance(objective, PreferenceRecipe) else None


def _kept(objective: Objective) -> Sequence[DataRecipe]:
    """The records of an objective on which the model is to stay as it was."""
    kl = objective.kl if isinstance(objective, PreferenceRecipe) else None
    return () if kl is None else kl.data


def _open(
    entry: DataRecipe, opened: dict[str, Source], compares: PreferenceRecipe | Grading | None
) -> Source:
    """Open one entry, unless another one names the same records."""
    key = entry.model_dump_json(exclude={"weight", "name"})
    if key not in opened:
        opened[key] = _from_source(entry) if entry.manifest is None else _from_manifest(entry)
    own = opened[key]
    name, weight = entry.name or own.name, _weight(entry, own)
    return replace(own, name=name, weight=weight, compares=compares)


def _weight(entry: DataRecipe, own: Source) -> float:
    """The weight of an entry as a number."""
    if not isinstance(entry.weight, WeightRule):
        return entry.weight
    if (size := len(own.records)) >= ENDLESS:
        raise RecipeError(
            f"the source {own.name} has no end, and therefore no size that weight.rule could use; "
            "give its weight as a number"
        )
    return entry.weight.weight(size)


def _from_manifest(entry: DataRecipe) -> Source:
    """Open a manifest in its format."""
    rows = open_rows(entry)
    origin = Path(str(entry.manifest)).name
    return Source(
        name=entry.split or origin,
        origin=origin if entry.split is None else f"{origin}:{entry.split}",
        licence=rows.licence,
        records=rows,
        weight=1.0,
        base_dir=rows.base_dir,
        rows=rows,
    )


def _from_source(entry: DataRecipe) -> Source:
    """Call the function that an entry names."""
    origin = str(entry.source)
    records = _call_source(origin, entry.args)
    base_dir = getattr(records, "base_dir", None)
    stated = str(getattr(records, "licence", UNKNOWN))
    return Source(
        name=origin.rpartition(":")[2],
        origin=origin,
        licence=stated if entry.licence == UNKNOWN else entry.licence,
        records=records,
        weight=1.0,
        base_dir=None if base_dir is None else Path(base_dir),
    )


def _call_source(reference: str, arguments: Mapping[str, Any]) -> Records:
    """Call `module:function` and check that it returned a non-empty sequence."""
    function = import_function(reference)
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise DataError(
            f"data source {reference!r} was given args {dict(arguments)}: {error}; "
            f"it accepts {inspect.signature(function)}"
        ) from error
    records = function(**arguments)
    if not (hasattr(records, "__len__") and hasattr(records, "__getitem__")):
        raise DataError(
            f"data source {reference!r} returned {type(records).__name__}; "
            "it must return a sequence of records (with len() and [index])"
        )
    if len(records) == 0:
        raise DataError(f"data source {reference!r} returned no records for {dict(arguments)}")
    found: Records = records
    return found


def import_function(reference: str, *, what: str = "data source") -> Callable[..., Any]:
    """Import the function that `module:function` names.

    Args:
        reference: The name.
        what: What messages call it.

    Raises:
        DataError: There is no such function.
    """
    module_name, _, function_name = reference.partition(":")
    if not module_name or not function_name:
        raise DataError(f"{what} {reference!r} must look like 'package.module:function'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise DataError(
            f"{what} {reference!r}: {error}; install it, or run where Python can import it"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        known = sorted(name for name, _ in inspect.getmembers(module, inspect.isfunction))
        raise DataError(
            f"{what} {reference!r}: {module_name} has no function {function_name!r}; it has {known}"
        )
    found: Callable[..., Any] = function
    return found
