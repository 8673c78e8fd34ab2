"""A decoder that does what its file says: sleep, spin, fill memory, die; tests give it to a pool.

A file that says none of these is decoded as ever.
"""

import logging
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Never

from anymal.decoding.medium import decode_hinted
from anymal.errors import MediaUnsupported
from anymal.media.limits import Limits
from anymal.modality import Medium

WORK = "tests.odd_decoders:decode"
MUCH = 200 * 2**20


class OddError(Exception):
    """Cannot be pickled as it is."""

    def __init__(self, *, number: int) -> None:
        super().__init__(f"number {number}")


def decode(medium: Medium, limits: Limits, *, modality: str, hints: Mapping[str, Any]) -> Any:
    """Do what the file says; a second word is a file to write one's process number to first."""
    assert medium.source is not None
    word, _, told = medium.source.data.partition(b" ")
    if word not in DEEDS:
        return decode_hinted(medium, limits, modality=modality, hints=hints)
    if told:
        path = Path(told.decode())
        path.with_suffix(".part").write_text(str(os.getpid()))
        path.with_suffix(".part").rename(path)
    return DEEDS[word](medium)


def sleep(medium: Medium) -> Never:
    while True:
        time.sleep(60)


def spin(medium: Medium) -> Never:
    while True:
        pass


def fill(medium: Medium) -> Never:
    held = []
    while True:
        held.append(bytes(1_000_000))


def fill_behind_a_mistake(medium: Medium) -> Never:
    """As decoders do that take every failure of a library for a broken file."""
    try:
        fill(medium)
    except MemoryError as error:
        raise MediaUnsupported(medium.name, "something odd", "anything else") from error


def crash(medium: Medium) -> Never:
    os.abort()


def leave(medium: Medium) -> Never:
    os._exit(3)


def refuse(medium: Medium) -> Never:
    raise MediaUnsupported(medium.name, "a refused file", "another")


def read_much_and_refuse(medium: Medium) -> Never:
    """Held by the error's frames."""
    pixels = b"x" * MUCH
    raise MediaUnsupported(medium.name, f"a file of {len(pixels)} bytes", "another")


def break_down(medium: Medium) -> Never:
    raise OddError(number=7)


def tell(medium: Medium) -> str:
    logging.getLogger("anymal.odd").warning("%s: told", medium.name)
    logging.getLogger("anymal.odd").debug("never told")
    warnings.warn("odd", DeprecationWarning, stacklevel=1)
    return "done"


def modules(medium: Medium) -> list[str]:
    import sys

    return sorted(sys.modules)


DEEDS: dict[bytes, Any] = {
    b"sleep": sleep,
    b"spin": spin,
    b"fill": fill,
    b"fill-behind": fill_behind_a_mistake,
    b"crash": crash,
    b"leave": leave,
    b"refuse": refuse,
    b"break": break_down,
    b"much": read_much_and_refuse,
    b"tell": tell,
    b"modules": modules,
}
