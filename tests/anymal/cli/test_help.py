"""The help of every command is written for users, not taken from a docstring for developers."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.testing import CliRunner

from anymal.cli import late_commands, main

DOCSTRING_HEADINGS = re.compile(r"\b(Args|Raises|Returns|Yields):")


def paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words that call a command and each of its commands."""
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from paths(child, (*path, name))


def test_help_shows_no_docstring_headings() -> None:
    found = list(paths(typer.main.get_command(main.app)))
    for name in late_commands.late_commands():
        found += paths(late_commands.load_command(name), tuple(name.split()))
    assert {(), ("bundle", "show"), ("data",), ("data", "encode"), ("keys", "new")} <= set(found)
    for words in found:
        done = CliRunner().invoke(main.app, [*words, "--help"], catch_exceptions=False)
        assert done.exit_code == 0, words
        assert not DOCSTRING_HEADINGS.search(done.stdout), words
