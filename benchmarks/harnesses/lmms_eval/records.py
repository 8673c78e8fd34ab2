"""Records that `anymal data export --to hf` wrote, as the tasks beside this file ask about them.

Imported by lmms-eval. Does not decode sounds, videos and motion: the service does.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import datasets

from anymal.evaluation.scoring import is_right, read_expected

Document = Mapping[str, Any]

_MEDIA = {"images": "image", "videos": "video", "audios": "audio", "imus": "imu"}
_UNDECODED = {"videos": datasets.Video(decode=False), "audios": datasets.Audio(decode=False)}


def undecoded(documents: datasets.Dataset) -> datasets.Dataset:
    """The records with the files of their sounds and videos instead of samples and frames."""
    for column, feature in _UNDECODED.items():
        if column in documents.column_names:
            documents = documents.cast_column(column, [feature])
    return documents


def with_choices(documents: datasets.Dataset) -> datasets.Dataset:
    """The records whose answer is one of some choices."""
    return documents.filter(
        lambda meta: bool((known := json.loads(meta)).get("choices")) and not known.get("all_of"),
        input_columns="meta",
    )


def media(document: Document) -> list[Any]:
    """The media of a record: pictures as PIL has them, other files as bytes."""
    return [
        medium if name == "image" else {"type": name, **medium}
        for column, name in _MEDIA.items()
        for medium in document.get(column) or []
    ]


def question(document: Document) -> str:
    """The words of the first message."""
    return " ".join(
        part["text"] for part in document["messages"][0]["content"] if part["type"] == "text"
    )


def answer(document: Document) -> str:
    """The right answer."""
    return str(_meta(document)["answer"])


def choices(document: Document) -> list[str]:
    """The answers that compete."""
    return list(_meta(document)["choices"])


def score(document: Document, replies: Sequence[str]) -> dict[str, float]:
    """1 for a right answer, judged as `anymal eval` judges it."""
    return {"right": float(is_right(replies[0], read_expected({"meta": _meta(document)})))}


def _meta(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document["meta"])
    return found
