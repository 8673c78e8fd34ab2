"""WebDataset: tar archives whose members of one name are a sample, such as `7.jpg` and `7.txt`.

The ending of a member says which medium it is; `json` has the row, `txt` and `cls` the words.
`json` may name members where paths would be, as `anymal data import --tar` writes messages.
Extracts nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anymal.data.containers.raw import parse_object
from anymal.data.containers.shards import find_shards
from anymal.data.containers.tar import Sample, TarSamples
from anymal.data.conversation_media import map_media
from anymal.data.endings import modality_of_name
from anymal.data.formats.plain import MEDIA, known_names, plain_record, with_files
from anymal.data.formats.turns import MEDIA_NAMES
from anymal.data.media_folder import Part
from anymal.data.options import Options
from anymal.data.rows import Mapped, Rows
from anymal.data.unread import Unread
from anymal.errors import DataError
from anymal.protocol.conversation import data_url

_ROW, _WORDS = "json", {"txt": "text", "cls": "label"}


class SampleRows:
    """Raw rows: what `json` has, and the other members beside it, media as data URLs."""

    def __init__(self, samples: TarSamples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        sample = self._samples[index]
        row: dict[str, Any] = {}
        if _ROW in sample:
            row |= parse_object(sample[_ROW], where=sample.where)
        for ending in _WORDS.keys() & sample.keys():
            row[_WORDS[ending]] = sample[ending].decode(errors="surrogateescape").strip()
        named = _Named(sample)
        row |= {name: named.filled(row[name]) for name in MEDIA_NAMES if name in row}
        if isinstance(row.get("messages"), list):
            row["messages"] = map_media(row["messages"], named.fill)
        elif "id" not in row:
            row["id"] = sample.key
        media: dict[str, list[str]] = {}
        for ending in sample:
            if ending not in named.used and (modality := _modality(ending)):
                media.setdefault(MEDIA[modality], []).append(data_url(sample[ending]))
        try:
            return with_files(row, media)
        except DataError as error:
            raise DataError(f"{sample.where}: {error}") from error

    def where(self, index: int, /) -> str:
        """Return `archive:key` of a sample."""
        return self._samples.where(index)


class _Named:
    """Puts members where a row names them; knows which it has put."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._endings = {name: ending for ending, name in sample.names.items()}
        self.used = set[str]()

    def fill(self, part: Part) -> Part:
        """A part with the member that its URL names; other parts as they are."""
        body = part.get(str(part.get("type")))
        if not isinstance(body, Mapping) or "url" not in body:
            return part
        return {**part, part["type"]: {**body, "url": self.filled(body["url"])}}

    def filled(self, place: Any) -> Any:
        """The member that a place names, as a data URL; lists item by item, others as they are."""
        if isinstance(place, list):
            return [*map(self.filled, place)]
        if not isinstance(place, str) or place not in self._endings:
            return place
        self.used.add(self._endings[place])
        return data_url(self._sample[self._endings[place]])


def open_webdataset(path: Path, options: Options) -> Rows:
    """Open archives.

    Args:
        path: One archive, `name-{000000..000009}.tar`, or a folder of archives.
        options: `columns` renames the keys of `json`.

    Raises:
        DataError: An archive cannot be read.
    """
    samples = TarSamples(find_shards(path, ".tar"))
    unread = Unread(path)
    return Mapped.of(
        path,
        SampleRows(samples),
        options,
        make=lambda row: plain_record(row, options.prompt, unread),
        known=known_names(options),
    )


def _modality(ending: str) -> str | None:
    """The modality of a member; numbers that do not say so are no motion."""
    found = modality_of_name(f"name.{ending}")
    return None if found == "imu" and ending != "csv" and not ending.startswith("imu") else found
