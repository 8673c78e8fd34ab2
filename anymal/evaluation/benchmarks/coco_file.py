"""A file shaped as COCO's captions: what is described in `images`, who said what in `annotations`.

Does not know what the media are.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from anymal.evaluation.benchmarks.folder import Folder, Row


def read_coco(
    folder: Folder, name: str, keys: Sequence[str]
) -> tuple[list[Row], dict[Any, list[str]]]:
    """Read such a file.

    Args:
        folder: Of the benchmark.
        name: The file in it.
        keys: What each of `images` has to have besides `id`.

    Returns:
        The rows of `images`, and the captions of each by its `id`.

    Raises:
        DataError: The file is shaped otherwise, or something has no caption.
    """
    whole = folder.json(name)
    if not isinstance(whole, dict):
        folder.fail(f"{name} is no object")
    media = folder.rows(whole.get("images"), f"{name}: images", ("id", *keys))
    written = folder.rows(whole.get("annotations"), f"{name}: annotations", ("image_id", "caption"))
    captions: defaultdict[Any, list[str]] = defaultdict(list)
    for row in written:
        captions[row["image_id"]].append(row["caption"])
    if bare := [row["id"] for row in media if row["id"] not in captions]:
        folder.fail(f"{len(bare):,} images of {name} have no caption, such as {bare[0]}")
    return media, dict(captions)
