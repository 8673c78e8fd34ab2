"""The records of a stage: JSONL manifests and Python sources behind one lazy interface.

Does not decode media, tokenise text or choose the order of records (see `train.data.sampler`).
"""

import codecs
import importlib
import inspect
import json
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from anymal.errors import ConversationError, DataError
from anymal.protocol.conversation import Conversation
from anymal.recipe.prompts import PROMPTS, PromptStyle
from anymal.recipe.schema import DataRecipe, Recipe
from anymal.recipe.suffixes import SUFFIXES, with_suffix
from train.data.records import Record, check_record, has_empty_answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One entry of a stage's `data` or `heldout`.

    Attributes:
        name: For reports.
        origin: Its function, or the name of its file.
        licence: What the records say about it.
        records: Conversations, read one at a time on access.
        weight: Share of the mixture, relative to the other sources.
        base_dir: Folder that media paths are relative to; None allows no paths.
    """

    name: str
    origin: str
    licence: str
    records: Sequence[Record]
    weight: float
    base_dir: Path | None

    def read(self, index: int) -> Conversation:
        """Return one checked conversation.

        Raises:
            DataError: The record is not a conversation; the message says which one.
        """
        record = self.records[index]
        return check_record(record, where=self.where(index), base_dir=self.base_dir)

    def where(self, index: int) -> str:
        """Name one record in messages: file and row, or source and index."""
        if isinstance(self.records, RecordFile):
            return self.records.where(index)
        return f"{self.origin}[{index}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageData:
    """The sources that one stage trains on and those that it is measured on."""

    training: list[Source]
    heldout: list[Source]


class RecordFile(Sequence[Record]):
    """The rows of a manifest, a JSONL file: all checked when opened, each read again on access.

    Only byte offsets stay in memory, so the file may be larger than memory.

    Args:
        path: The file.
        prompt: Makes conversations of its rows; None expects conversations.
        suffix: Words that end the user's last message of each.

    Attributes:
        num_empty: How many rows have an answer without words.
    """

    def __init__(
        self, path: Path, *, prompt: PromptStyle | None = None, suffix: str | None = None
    ) -> None:
        self.path = path
        self.prompt = prompt
        self.suffix = suffix
        self.base_dir = path.parent
        self.num_empty = 0
        self._offsets = array("Q")
        self._rows = array("Q")
        if not path.is_file():
            raise DataError(
                f"manifest {str(path)!r} does not exist; give the path of a .jsonl file, "
                "relative to the recipe"
            )
        for row, offset, line in _lines(path):
            if not self._rows and _begins_a_list(line):
                raise DataError(
                    f"{path}:{row}: this file is a JSON list; one object per line makes a "
                    "manifest; to convert the file: jq -c '.[]' OLD > NEW"
                )
            record = self._read(line, where=f"{path}:{row}")
            checked = check_record(record, where=f"{path}:{row}", base_dir=self.base_dir)
            self.num_empty += has_empty_answer(checked)
            self._offsets.append(offset)
            self._rows.append(row)
        if not self._rows:
            raise DataError(f"manifest {str(path)!r} has no rows; write one conversation per line")

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        with self.path.open("rb") as file:
            file.seek(self._offsets[index])
            return self._read(file.readline(), where=self.where(index))

    def where(self, index: int) -> str:
        """Return `file:row` of a record."""
        return f"{self.path}:{self._rows[index]}"

    def leave_out(self, indices: Collection[int]) -> None:
        """Drop some records; the others keep their rows and get new indices.

        Raises:
            DataError: None would be left.
        """
        kept = [index for index in range(len(self)) if index not in indices]
        if not kept:
            raise DataError(f"manifest {str(self.path)!r} has no row that can be used")
        self._offsets = array("Q", (self._offsets[index] for index in kept))
        self._rows = array("Q", (self._rows[index] for index in kept))

    def _read(self, line: bytes, *, where: str) -> Record:
        """One line as a record."""
        record = _parse(line, where=where)
        if self.prompt is not None and isinstance(record, Mapping):
            try:
                record = self.prompt.conversation(record)
            except ConversationError as error:
                raise DataError(f"{where}: {error}") from error
        if self.suffix is not None and isinstance(record, Mapping):
            record = with_suffix(record, self.suffix)
        return record


def open_data(recipe: Recipe) -> list[StageData]:
    """Open the data of all stages, so that a mistake in the last one shows before the first begins.

    Args:
        recipe: Its manifests have absolute paths.

    Returns:
        One entry per stage. A file or source that several stages name is opened once.

    Raises:
        DataError: A manifest or Python source is missing, malformed or empty.
    """
    opened: dict[str, Sequence[Record]] = {}
    return [
        StageData(
            training=[_open(entry, opened) for entry in stage.data],
            heldout=[_open(entry, opened) for entry in stage.heldout or []],
        )
        for stage in recipe.stages
    ]


def _open(entry: DataRecipe, opened: dict[str, Sequence[Record]]) -> Source:
    """Open one entry as a manifest or as a Python source."""
    key = entry.model_dump_json(exclude={"weight", "name"})
    if key not in opened:
        opened[key] = _records(entry)
    records = opened[key]
    base_dir = getattr(records, "base_dir", None)
    origin = entry.source or Path(str(entry.manifest)).name
    return Source(
        name=entry.name or origin.rpartition(":")[2],
        origin=origin,
        licence=str(getattr(records, "licence", "not stated")),
        records=records,
        weight=entry.weight,
        base_dir=None if base_dir is None else Path(base_dir),
    )


def _records(entry: DataRecipe) -> Sequence[Record]:
    """Open the file or call the function that one entry names."""
    if entry.manifest is None:
        return _call_source(str(entry.source), entry.args)
    prompt = None if entry.prompt is None else PROMPTS[entry.prompt]
    suffix = None if entry.suffix is None else SUFFIXES[entry.suffix]
    return RecordFile(Path(entry.manifest), prompt=prompt, suffix=suffix)


def _call_source(reference: str, arguments: Mapping[str, Any]) -> Sequence[Record]:
    """Call `module:function` and check that it returned a non-empty sequence."""
    function = _import(reference)
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
    sequence: Sequence[Record] = records
    return sequence


def _import(reference: str) -> Callable[..., Any]:
    """Import the function that `module:function` names."""
    module_name, _, function_name = reference.partition(":")
    if not module_name or not function_name:
        raise DataError(f"data source {reference!r} must look like 'package.module:function'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise DataError(
            f"data source {reference!r}: {error}; install it, or run where Python can import it"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        known = sorted(name for name, _ in inspect.getmembers(module, inspect.isfunction))
        raise DataError(
            f"data source {reference!r}: {module_name} has no function {function_name!r}; "
            f"it has {known}"
        )
    found: Callable[..., Any] = function
    return found


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield (row number from 1, byte offset, line) of every line that is not blank."""
    offset = 0
    with path.open("rb") as file:
        for row, line in enumerate(file, start=1):
            if line.strip():
                yield row, offset, line
            offset += len(line)


def _begins_a_list(line: bytes) -> bool:
    """Whether a file that begins so holds all its records in one JSON list."""
    return line.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _parse(line: bytes, *, where: str) -> Record:
    """Parse one line of a manifest."""
    try:
        record: Record = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not valid JSON ({error}); write one object per line") from error
    return record
