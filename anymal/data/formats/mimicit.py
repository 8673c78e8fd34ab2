"""MIMIC-IT: instructions about images, with related ones as earlier turns, in the released order.

`*_instructions.json` has `data: {id: {instruction, answer, image_ids, rel_ins_ids}}`; beside it,
`*_train.json`, `{id: [related ids]}`, says which ids are trained on, where it exists. Images are
base64 in `{id: base64}` JSON, or in Parquet with the ids as index. Does not decode them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from anymal.data.containers.json_object import JsonObject
from anymal.data.containers.key_index import KeyIndex
from anymal.data.containers.parquet import open_parquet
from anymal.data.containers.shards import find_shards
from anymal.data.media_folder import Part, media_part
from anymal.data.options import Options
from anymal.data.rows import Mapped, Rows
from anymal.errors import DataError

_INSTRUCTIONS, _TRAIN = "_instructions.json", "_train.json"
_NAMES_OF_IDS = ("id", "index", "__index_level_0__")
_BASE64 = "base64"
_WORDS = ("instruction", "answer")
_URL_LETTERS = str.maketrans("-_", "+/")


class Images(Protocol):
    """Images by id."""

    def find(self, key: str) -> str | None:
        """The base64 of an image, or None."""


class ImagesInJson:
    """Images of a JSON object."""

    def __init__(self, path: Path) -> None:
        self._images = JsonObject(path)

    def find(self, key: str) -> str | None:
        """The base64 of an image, or None."""
        number = self._images.find(key)
        return None if number is None else str(self._images.value(number))


class ImagesInParquet:
    """Images of one Parquet table, in one file or a folder of parts."""

    def __init__(self, path: Path) -> None:
        self._rows = open_parquet(*find_shards(path, ".parquet"))
        names = [name for name in _NAMES_OF_IDS if name in self._rows.schema.names]
        if not names or _BASE64 not in self._rows.schema.names:
            raise DataError(
                f"{path} has the columns {', '.join(self._rows.schema.names)}; images need "
                f"{_BASE64!r}, and their ids as {' or '.join(_NAMES_OF_IDS)}"
            )
        self._id = names[0]
        self._index = KeyIndex(map(str, self._rows.column(self._id)))

    def find(self, key: str) -> str | None:
        """The base64 of an image, or None."""
        rows = (self._rows[number] for number in self._index.find(key))
        return next((str(row[_BASE64]) for row in rows if str(row[self._id]) == key), None)


class Triplets:
    """Raw rows: an instruction of the training list, with those that are related to it."""

    def __init__(self, path: Path) -> None:
        self._all = JsonObject(path, "data")
        train = path.with_name(path.name.removesuffix(_INSTRUCTIONS) + _TRAIN)
        self._chosen = JsonObject(train) if train != path and train.is_file() else self._all

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        identity, found = self._chosen.key(index), self._chosen.value(index)
        own = self._read(identity, index)
        related = found if isinstance(found, list) else own.get("rel_ins_ids") or []
        if not isinstance(related, list):
            raise DataError(f"{self.where(index)}: rel_ins_ids is {related!r:.80}, and no list")
        return {"id": identity, "triplets": [*(self._read(one, index) for one in related), own]}

    def where(self, index: int, /) -> str:
        """Return `file:id`."""
        return self._chosen.where(index)

    def _read(self, identity: str, index: int) -> Mapping[str, Any]:
        """One instruction."""
        place = self.where(index)
        number = self._all.find(identity) if isinstance(identity, str) else None
        if number is None:
            raise DataError(f"{place}: {self._all.path} has no instruction {identity!r:.80}")
        found = self._all.value(number)
        words = found if isinstance(found, Mapping) else {}
        if missing := [key for key in _WORDS if not isinstance(words.get(key), str)]:
            raise DataError(f"{place}: {identity} has no {' and no '.join(missing)} in words")
        images = words.get("image_ids") or []
        if not isinstance(images, list) or not all(isinstance(one, str) for one in images):
            raise DataError(f"{place}: image_ids of {identity} is {images!r:.80}, no list of ids")
        return words


def open_mimicit(path: Path, options: Options) -> Rows:
    """Open `*_instructions.json`.

    Args:
        path: The file.
        options: `media` is a file of images, or a folder with such files. Where `columns` has
            `video: image_ids`, the images of an instruction are frames of a video.

    Raises:
        DataError: A file cannot be read.
    """
    stores = [_open_images(one) for one in _files_of_images(options.media_of(path))]
    modality = "video" if options.columns.get("video") == "image_ids" else "image"
    return Mapped(
        raw=Triplets(path),
        make=lambda row: _record(row, stores, modality),
        base_dir=path.parent,
        licence=options.licence,
    )


def _files_of_images(media: Path) -> Iterator[Path]:
    """The files that hold images."""
    if media.is_file() or media.suffix == ".parquet":
        yield media
        return
    yield from sorted(media.glob("*.parquet"))
    for path in sorted(media.glob("*.json")):
        if not path.name.endswith((_INSTRUCTIONS, _TRAIN)):
            yield path


def _open_images(path: Path) -> Images:
    return ImagesInParquet(path) if path.suffix == ".parquet" else ImagesInJson(path)


def _record(row: Mapping[str, Any], stores: Sequence[Images], modality: str) -> dict[str, Any]:
    """Turns of the user and the assistant; images that were shown last are not shown again."""
    messages: list[dict[str, Any]] = []
    shown: list[str] = []
    for triplet in row["triplets"]:
        new = _unseen(triplet.get("image_ids") or [], shown)
        shown += new
        content = [*_media(new, stores, modality), _words(triplet["instruction"])]
        messages.append({"role": "user", "content": content if new else triplet["instruction"]})
        messages.append({"role": "assistant", "content": triplet["answer"]})
    return {"id": row["id"], "messages": messages}


def _unseen(ids: Sequence[str], shown: Sequence[str]) -> Sequence[str]:
    """The images of a turn without those at its beginning that were the last ones shown.

    One that others followed is shown again: an answer is about the nearest images.
    """
    for length in range(min(len(ids), len(shown)), 0, -1):
        if list(shown[-length:]) == list(ids[:length]):
            return ids[length:]
    return ids


def _words(text: str) -> Part:
    return {"type": "text", "text": text}


def _media(ids: Iterable[str], stores: Sequence[Images], modality: str) -> list[Part]:
    """Images as parts, or as the frames of one video."""
    urls = [_find(one, stores) for one in ids]
    if modality == "video":
        return [media_part("video", urls)] if urls else []
    return [media_part("image", url) for url in urls]


def _find(identity: str, stores: Sequence[Images]) -> str:
    """An image as a data URL."""
    for store in stores:
        if (found := store.find(identity)) is not None:
            # Some files have the letters of URLs, which other programs do not take.
            return f"data:application/octet-stream;base64,{found.translate(_URL_LETTERS)}"
    raise DataError(f"image {identity!r} is in none of the {len(stores)} files of images")
