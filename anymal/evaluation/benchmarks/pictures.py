"""Captions of pictures: COCO and its Karpathy split, Flickr30k, NoCaps.

Does not read pictures.
"""

from anymal.evaluation.benchmarks.caption_task import Described, caption_task
from anymal.evaluation.benchmarks.coco_file import read_coco
from anymal.evaluation.benchmarks.folder import Folder
from anymal.evaluation.task import Task

_PROMPT = "caption"


def coco(folder: Folder, *, annotations: str, images: str, note: str, java: bool) -> list[Task]:
    """Open annotations as COCO publishes them: `images` and `annotations` with captions.

    Args:
        folder: Of the benchmark.
        annotations: The file.
        images: The folder with the pictures.
        note: What is asked, about what.
        java: Whether to measure with what Java brings.

    Raises:
        DataError: The folder is laid out otherwise, or a picture has no caption.
    """
    pictures, captions = read_coco(folder, annotations, ("file_name",))
    media = [
        Described(
            id=str(row["id"]),
            medium=row["file_name"],
            captions=captions[row["id"]],
            kind=str(row.get("domain", "")),  # NoCaps
        )
        for row in pictures
    ]
    folder.all_media(images, (row["file_name"] for row in pictures))
    return [caption_task(folder, media, prompt=_PROMPT, below=images, note=note, java=java)]


def karpathy(folder: Folder, *, annotations: str, images: str, note: str, java: bool) -> list[Task]:
    """Open the test split of Karpathy and Fei-Fei (CVPR 2015).

    Args:
        folder: Of the benchmark.
        annotations: The file.
        images: The folder with the pictures; `.` where rows have a `filepath`.
        note: What is asked, about what.
        java: Whether to measure with what Java brings.

    Raises:
        DataError: The folder is laid out otherwise.
    """
    whole = folder.json(annotations)
    rows = folder.rows(
        whole.get("images") if isinstance(whole, dict) else None,
        f"{annotations}: images",
        ("filename", "split", "sentences"),
    )
    media = []
    for row in rows:
        if row["split"] == "test":
            what = f"{annotations}: sentences of {row['filename']}"
            sentences = folder.rows(row["sentences"], what, ("raw",))
            path = "/".join(one for one in (row.get("filepath"), row["filename"]) if one)
            media.append(
                Described(id=path, medium=path, captions=[one["raw"] for one in sentences])
            )
    folder.all_media(images, (str(one.medium) for one in media))
    return [caption_task(folder, media, prompt=_PROMPT, below=images, note=note, java=java)]
