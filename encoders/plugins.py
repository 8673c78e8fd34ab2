"""Encoders, aligners and modalities of other packages, by entry point or as `module:name`.

Who decides which code is imported:

- An entry point belongs to a package that the operator installed, so recipes and bundles may both
  name it.
- `module:name` imports any module. A recipe may name one, as it may name a data source: it is a
  file of the user's own.
- A bundle may come from somewhere else. Before one is built, `check_installed` refuses every
  `module:name` that no installed package registers as an entry point.
"""

import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

Part = TypeVar("Part")

_MODULE_AND_NAME = re.compile(r"\w+(\.\w+)*:\w+")


class PluginError(ValueError):
    """A name leads to no part; the message says what is known and how to name other parts."""


def find(
    name: str,
    own: Mapping[str, Part],
    *,
    what: str,
    group: str,
    wanted: Any,
    takes_modules: bool = True,
) -> Part:
    """Find a part by name: the project's own, an entry point, or `module:name`.

    Args:
        name: of the part.
        own: the project's parts.
        what: what errors call such a part.
        group: of the entry points.
        wanted: class of the parts.
        takes_modules: whether `module:name` is accepted.

    Raises:
        PluginError: if there is none, it cannot be imported, or it is something else.
    """
    if name in own:
        return own[name]
    points = _points(group, tuple(sys.path))
    point = points.get(name)
    if point is None and takes_modules and _MODULE_AND_NAME.fullmatch(name):
        point = EntryPoint(name, name, group)
    if point is None:
        known = ", ".join([*own, *(other for other in points if other not in own)])
        hint = " or as module:name" if takes_modules else ""
        raise PluginError(
            f"unknown {what} {name!r}; known: {known}; name one of another package by its entry "
            f"point in the group {group!r}{hint}"
        )
    try:
        part = point.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{what} {name!r} cannot be imported from {point.value!r}: {error}"
        ) from error
    if not isinstance(part, wanted):
        raise PluginError(
            f"{what} {name!r}: {point.value!r} is of type {type(part).__name__}, "
            f"not {wanted.__name__}"
        )
    found: Part = part
    return found


def check_installed(name: str, *, what: str, group: str) -> None:
    """Refuse a `module:name` that no installed package registers as an entry point.

    Args:
        name: of a part, from a file that is not trusted to import modules.
        what: what errors call such a part.
        group: of the entry points.

    Raises:
        PluginError: if it is such a name.
    """
    points = _points(group, tuple(sys.path)).values()
    if ":" in name and name not in {f"{point.module}:{point.attr}" for point in points}:
        raise PluginError(
            f"{what} {name!r} is not imported, because a bundle may not choose which code runs; "
            f"install a package that registers it: an entry point {name!r} in the group {group!r}"
        )


@cache
def _points(group: str, _search_path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Entry points by name; listed once for each search path, since listing reads many files."""
    return {point.name: point for point in entry_points(group=group)}
