"""Checks the files of a folder before a library reads them: it may be a stranger's.

Does not read weights or configurations for use. Links must stay inside, files must be ordinary
ones of bounded size, and what they say must name nothing outside of their folder and no code.
"""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymal.errors import BundleError

_MOST_FILES = 10_000
# Of text, in bytes: a tokeniser with a million entries; anything else.
_VOCABULARIES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer.model", "tekken.json")
_VOCABULARY_BYTES, _TEXT_BYTES, _TEMPLATE_BYTES = 64 * 2**20, 16 * 2**20, 2**20
_TEXTS = (".json", ".txt", ".model")
# A value of JSON takes up to 100 times its bytes in memory.
_VOCABULARY_VALUES, _TEXT_VALUES = 8_000_000, 1_000_000
_HEADER_BYTES = 16 * 2**20  # of safetensors: some 100,000 tensors
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_COUNTS, _MOST = ("layers", "depth", "blocks", "experts"), 10_000  # parts of keys
# Of what hears: seconds, bands, samples. Its filters and its silence are made of them at once.
_MOST_OF = {"chunk_length": 3600, "feature_size": 1024, "n_fft": 2**14}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a folder may hold.

    Attributes:
        what: Errors call it so.
        links_into: Folder outside of it that links may lead into; None allows none.
        pickles: Whether pickles may lie there. They may hold code, so nothing should load them
            but tensors alone.
        names_code: Whether configurations may name code (`auto_map`), which nothing should run.
    """

    what: str
    links_into: Path | None = None
    pickles: bool = False
    names_code: bool = False


def check_contents(folder: Path, rules: Rules) -> None:
    """Refuse a folder with a file that reaches beyond it, is too large to read, or names code.

    Args:
        folder: Links resolved.
        rules: What it may hold.

    Raises:
        BundleError: Names the file and what is wrong with it.
    """
    for number, path in enumerate(_walk(folder)):
        name = str(path.relative_to(folder))
        try:
            if number >= _MOST_FILES:
                raise _Refusal(f"is one of more than {_MOST_FILES} files")
            _check_place(folder, path, rules)
            if not path.is_dir():
                _check_file(folder, path, rules)
        except _Refusal as refusal:
            raise BundleError(
                f"the {rules.what} {str(folder)!r} is refused: {name!r} {refusal}"
            ) from refusal.__cause__


def read_json(path: Path, *, is_strict: bool = False) -> Any:
    """Read a JSON file whose size and number of values are bounded.

    Args:
        path: The file.
        is_strict: Refuse repeated keys, NaN and infinities.

    Returns:
        Its value.

    Raises:
        BundleError: It is no ordinary file, or too large.
        ValueError: It is not JSON.
        OSError: It cannot be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, a device never ends
        raise BundleError(f"{path} is not an ordinary file; copy its folder again")
    if found.st_size > _TEXT_BYTES:
        raise BundleError(f"{path} has more than {_TEXT_BYTES} bytes; copy its folder again")
    data = path.read_bytes()
    if _num_values(data) > _TEXT_VALUES:
        raise BundleError(f"{path} holds more than {_TEXT_VALUES} values; copy its folder again")
    try:
        if is_strict:
            return json.loads(data, object_pairs_hook=_each_once, parse_constant=_no_constant)
        return json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _walk(folder: Path) -> Iterator[Path]:
    """Every file and folder below, links not followed."""
    for place, folders, files in os.walk(folder, onerror=_unreadable):
        for name in (*folders, *files):
            yield Path(place) / name


class _Refusal(Exception):
    """What is wrong with a file."""


def _check_file(folder: Path, path: Path, rules: Rules) -> None:
    """Refuse a file for what it is or holds."""
    if path.suffix in _PICKLES and not rules.pickles:
        raise _Refusal("may hold code; convert it to safetensors")
    if path.name == "adapter_config.json" and path.parent.name != "lora":
        raise _Refusal("would load another model; merge the adapter first")
    if path.suffix == ".safetensors":
        _check_header(path)
    elif path.suffix in _TEXTS or path.suffix == ".jinja":
        _check_text(folder, path, rules)


def _check_place(folder: Path, path: Path, rules: Rules) -> None:
    """Refuse links that lead out or nowhere, and what is no file: a pipe would be waited for."""
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError) as error:
        raise _Refusal("leads nowhere") from error
    is_shared = rules.links_into is not None and target.is_relative_to(rules.links_into)
    if not (target.is_relative_to(folder) or is_shared):
        raise _Refusal(f"is a link that leads out of the {rules.what}; copy what it means")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _Refusal("is not an ordinary file")


def _check_header(path: Path) -> None:
    """Refuse a header of safetensors that would fill memory; safetensors itself checks the rest."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > _HEADER_BYTES:
        raise _Refusal(f"cannot be read: its header of {size} bytes is over {_HEADER_BYTES}")


def _check_text(folder: Path, path: Path, rules: Rules) -> None:
    """Refuse text that is too long, and JSON that holds or says too much."""
    is_vocabulary = path.name in _VOCABULARIES
    most = _VOCABULARY_BYTES if is_vocabulary else _TEXT_BYTES
    most = _TEMPLATE_BYTES if path.suffix == ".jinja" else most
    if path.stat().st_size > most:
        raise _Refusal(f"has more than {most} bytes")
    if path.suffix != ".json" or path == folder / "bundle.json":  # that has a reader of its own
        return
    if not is_vocabulary:
        _check_settings(path, rules)
    elif _num_values(path.read_bytes()) > _VOCABULARY_VALUES:
        raise _Refusal(f"holds more than {_VOCABULARY_VALUES} values")


def _check_settings(path: Path, rules: Rules) -> None:
    """Refuse a configuration that names files elsewhere, or code."""
    try:
        value = read_json(path)
    except (ValueError, OSError) as error:
        raise _Refusal(f"cannot be read ({error})") from error
    for key, item in _pairs(value):
        if complaint := _complaint(key, item, rules):
            raise _Refusal(complaint)


def _complaint(key: str, value: Any, rules: Rules) -> str | None:
    """What is wrong with a setting of a checkpoint, if anything is."""
    if key == "auto_map" and not rules.names_code:
        return f"names code (auto_map), which a {rules.what} may not choose"
    if key.endswith("attn_implementation") and "/" in json.dumps(value):
        return f"names code ({key}: {value!r}), which a {rules.what} may not choose"
    if key == "use_pretrained_backbone" and value:
        return f"names another checkpoint ({key})"
    if key == "weight_map" and isinstance(value, dict):
        outside = [file for file in value.values() if not _is_plain(file)]
        return f"names a file outside of its folder: {outside[0]!r}" if outside else None
    if key.endswith("_file") and isinstance(value, str) and not _is_plain(value):
        return f"names a file outside of its folder ({key}: {value!r})"
    is_count = isinstance(value, int) and any(part in key for part in _COUNTS)
    most = _MOST if is_count else _MOST_OF.get(key)
    is_too_much = most is not None and isinstance(value, int | float) and value > most
    return f"says {key}: {value}, more than {most}" if is_too_much else None


def _is_plain(name: Any) -> bool:
    """Whether this is the name of a file, without a folder."""
    return isinstance(name, str) and name not in (".", "..") and not set(name) & set("/\\:\0")


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, however deep."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item.items()
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _num_values(data: bytes) -> int:
    """At least the number of values that JSON holds."""
    return sum(data.count(mark) for mark in (b",", b"[", b"{"))


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON has")


def _unreadable(error: OSError) -> None:
    raise BundleError(f"{error.filename!r} cannot be read; copy the bundle again") from error
