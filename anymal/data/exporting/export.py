"""Any data set in the format of another tool, by its name.

Does not know the formats; a file beside this one does for each.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from anymal.data.conversation_media import Rewriter
from anymal.data.exporting.evalscope import evalscope_row, write_evalscope
from anymal.data.exporting.hf import hf_row, write_hf
from anymal.data.exporting.llava import llava_row, write_llava
from anymal.data.exporting.tagged import tagged_row, write_sharegpt, write_swift
from anymal.data.importing import Written, media_folder, new_folder, rewritten
from anymal.data.rows import Rows
from anymal.protocol.conversation import data_url

To = Literal["llava", "sharegpt", "swift", "evalscope", "hf"]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """A format with one file of rows, and media in files.

    Attributes:
        row: From a record to a row.
        write: Writes all rows to a folder; returns the file to name to the other tool.
    """

    row: Callable[[dict[str, Any]], dict[str, Any]]
    write: Callable[[Iterable[Row], Path], Path]


def export_rows(
    rows: Rows,
    folder: Path,
    *,
    to: To,
    copy_media: bool = False,
    tick: Callable[[], None] | None = None,
) -> Written:
    """Write records for another tool.

    Args:
        rows: Of any format. Media inside them become files; in `hf`, files go inside.
        folder: Where to write; made, or empty.
        to: The format.
        copy_media: Whether media that are files already are copied too; `hf` has them in any case.
        tick: Is called after each record.

    Raises:
        DataError: The folder holds something, or a record cannot be used or has what the format
            has no place for.
    """
    formats: Mapping[str, _Format] = {
        "llava": _Format(row=llava_row, write=write_llava),
        "sharegpt": _Format(row=tagged_row, write=write_sharegpt),
        "swift": _Format(row=tagged_row, write=write_swift),
        "evalscope": _Format(
            row=partial(evalscope_row, base_dir=rows.base_dir), write=write_evalscope
        ),
    }
    with new_folder(folder) as draft:
        if to == "hf":
            file, is_beside = _export_hf(rows, draft, tick), False
        else:
            put = media_folder(draft, folder.resolve() if to == "evalscope" else None)
            rewriter = Rewriter(base_dir=rows.base_dir, copies=copy_media, put=put)
            made = rewritten(rows, rewriter, tick, make=formats[to].row)
            file = formats[to].write(made, draft)
            is_beside = bool(rewriter.num_paths) and to != "evalscope"
    return Written(
        manifest=folder / file.relative_to(draft),
        num_records=len(rows),
        media=rows.base_dir if is_beside else None,
    )


def _export_hf(rows: Rows, folder: Path, tick: Callable[[], None] | None) -> Path:
    """Write media inside the rows; the rows are read twice, the first time for their columns."""

    def each(base_dir: Path | None, tick: Callable[[], None] | None) -> Iterable[Row]:
        rewriter = Rewriter(base_dir=rows.base_dir, copies=False, put=_as_url)
        return rewritten(rows, rewriter, tick, make=partial(hf_row, base_dir=base_dir))

    columns = {name for row in each(None, None) for name in row}
    return write_hf(each(rows.base_dir, tick), columns, folder)


def _as_url(data: bytes, _ending: str) -> str:
    """Leave a medium that is inside its row there."""
    return data_url(data)
