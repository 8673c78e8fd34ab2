"""Any data set in the format of another tool, by its name.

Does not know the formats; a file beside this one does for each.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from anymal.data.conversation_media import Rewriter
from anymal.data.exporting.evalscope import export_evalscope
from anymal.data.exporting.hf import export_hf
from anymal.data.exporting.llava import export_llava
from anymal.data.exporting.tagged import export_sharegpt, export_swift
from anymal.data.importing import Written, media_folder, new_folder, rewritten
from anymal.data.rows import Rows
from anymal.protocol.conversation import data_url

To = Literal["llava", "sharegpt", "swift", "evalscope", "hf"]
Write = Callable[[Iterable[Mapping[str, Any]], Path], Path]


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
        MediaError: A file cannot be read.
    """
    writers: Mapping[str, Write] = {
        "llava": export_llava,
        "sharegpt": export_sharegpt,
        "swift": export_swift,
        "evalscope": partial(export_evalscope, base_dir=rows.base_dir),
    }
    with new_folder(folder) as draft:
        if to == "hf":
            file, is_beside = _export_hf(rows, draft, tick), False
        else:
            put = media_folder(draft, folder.resolve() if to == "evalscope" else None)
            rewriter = Rewriter(base_dir=rows.base_dir, copies=copy_media, put=put)
            file = writers[to](rewritten(rows, rewriter, tick), draft)
            is_beside = bool(rewriter.num_paths) and to != "evalscope"
    return Written(
        manifest=folder / file.relative_to(draft),
        num_records=len(rows),
        media=rows.base_dir if is_beside else None,
    )


def _export_hf(rows: Rows, folder: Path, tick: Callable[[], None] | None) -> Path:
    """Write media inside the rows; those that are inside already are not made files before."""
    rewriter = Rewriter(
        base_dir=rows.base_dir, copies=False, put=lambda data, _ending: data_url(data)
    )

    def each() -> Iterator[dict[str, Any]]:
        return (rewriter.rewritten(rows[index]) for index in range(len(rows)))

    return export_hf(each, folder, rows.base_dir, tick=tick)
