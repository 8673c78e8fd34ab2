"""Every command that the documents show exists, with the options they show."""

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from anymal.cli.main import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "train").rglob("*.md"),
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
BLOCK = re.compile(r"^ *```.*?\n(.*?)^ *```", flags=re.MULTILINE | re.DOTALL)
MODULES = "python -m train.pretrain."
PROMPT = re.compile(
    rf"^(?:# *)?(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(?=make |anymal |{re.escape(MODULES)})"
)


def shown_commands(text: str) -> set[str]:
    """Commands in code blocks and in `backquotes`; prose that begins with "make" is none."""
    blocks = "".join(BLOCK.findall(text)).replace("\\\n", " ")
    candidates = [*blocks.splitlines(), *re.findall(r"`([^`\n]+)`", text)]
    return {PROMPT.sub("", line.strip()) for line in candidates if PROMPT.match(line.strip())}


def words_of(command: str) -> list[str]:
    """The words before a pipe, a redirection or a comment."""
    words = shlex.split(command, comments=True)
    ends = {"|", ">", "&", ";", "&&"}
    end = next((at for at, word in enumerate(words) if word in ends), len(words))
    return words[1:end]


def check_anymal(words: list[str]) -> None:
    """Follow sub-commands, then let the last one's parser judge the options."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("anymal", [], resilient_parsing=True)
    while hasattr(command, "resolve_command") and words and not words[0].startswith("-"):
        name, command, words = command.resolve_command(context, words)
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    judge(command, context, words)


def check_module(words: list[str]) -> None:
    """Let the parser of a module's `main` judge the options."""
    module = typer.Typer()
    module.command()(import_module(words[1]).main)
    command = typer.main.get_command(module)
    judge(command, command.make_context("main", [], resilient_parsing=True), words[2:])


def judge(command: Any, context: Any, words: list[str]) -> None:
    context.resilient_parsing = False  # a resilient parser forgives unknown options
    command.make_parser(context).parse_args(args=words)


def check(command: str) -> None:
    if command.startswith("anymal "):
        check_anymal(words_of(command))
    elif command.startswith(MODULES):
        check_module(words_of(command))
    else:
        goals = [word for word in words_of(command) if "=" not in word]
        assert set(goals) <= TARGETS, f"make has no {set(goals) - TARGETS}"


SHOWN = sorted(
    (str(path.relative_to(ROOT)), command)
    for path in DOCUMENTS
    for command in shown_commands(path.read_text())
)


@pytest.mark.parametrize(("document", "command"), SHOWN)
def test_shown_command_exists(document: str, command: str) -> None:
    check(command)


def test_commands_that_make_the_built_in_model_are_among_them() -> None:
    modules = [command for _, command in SHOWN if command.startswith(MODULES)]
    assert len(modules) >= 6


def test_readme_shows_the_first_commands() -> None:
    shown = shown_commands((ROOT / "README.md").read_text())
    goals = {words_of(command)[0] for command in shown if command.startswith("make ")}
    assert {"demo", "test"} <= goals


@pytest.mark.parametrize(
    "command",
    [
        "make demoo",
        "anymal askk hello",
        'anymal ask "Why?" --imagee x.png',
        "python -m train.pretrain.encoders image --stepss 3",
    ],
)
def test_wrong_command_is_seen(command: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|has no"):
        check(command)
