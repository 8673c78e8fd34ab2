"""WebDataset: tar archives whose members of one name are a sample, such as `7.jpg` and `7.txt`.

The ending of a member says which medium it is; `json` has the row, `txt` and `cls` the words.
Messages in `json` may name members where paths would be, as `anymal data import --tar` writes them.
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
from anymal.data.formats.plain import MEDIA, known_names, plain_record
from anymal.data.media_folder import Part
from anymal.data.options import Options
from anymal.data.rows import Mapped, Rows
from anymal.data.unread import Unread
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
        media = {ending: found for ending in sample if (found := _modality(ending))}
        named = _Named(sample)
        if isinstance(row.get("messages"), list):
            row["messages"] = map_media(row["messages"], named.fill)
        elif "id" not in row:
            row["id"] = sample.key
        for ending in [ending for ending in media if ending not in named.used]:
            row.setdefault(MEDIA[media[ending]], []).append(data_url(sample[ending]))
        return row

    def where(self, index: int, /) -> str:
        """Return `archive:key` of a sample."""
        return self._samples.where(index)


class _Named:
    """Puts members where messages name them; knows which it has put."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._endings = {name: ending for ending, name in sample.names.items()}
        self.used = set[str]()

    def fill(self, part: Part) -> Part:
        """A part with the member that its URL names; other parts as they are."""
        body = part.get(str(part.get("type")))
        url = body.get("url") if isinstance(body, Mapping) else None
        if not isinstance(body, Mapping) or url not in self._endings:
            return part
        self.used.add(self._endings[url])
        data = data_url(self._sample[self._endings[url]])
        return {**part, part["type"]: {**body, "url": data}}


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
