"""Commands that are loaded when they are called: help and mistakes cost no import of torch.

Does not define commands. Those of other packages join through the entry points `anymal.commands`.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from anymal.errors import AnymalError

_GROUP = "anymal.commands"


@dataclass(frozen=True, slots=True, kw_only=True)
class LateCommand:
    """Where a command's function is.

    Attributes:
        target: `module:function`; the function is annotated for typer, or is a `typer.Typer`.
        help: The line that `anymal --help` shows.
    """

    target: str
    help: str


_OWN = {
    "cache": LateCommand(
        target="anymal.cli.cache:cache",
        help="Show or clear the merged weights that are kept for the next start.",
    ),
    "eval": LateCommand(
        target="anymal.cli.evaluate:eval_command",
        help="Measure how often a bundle's answers are right.",
    ),
    "eval compare": LateCommand(
        target="anymal.cli.compare:compare_command",
        help="Compare two evaluations of the same questions.",
    ),
    "plan": LateCommand(
        target="anymal.cli.plan:plan",
        help="Say whether a recipe's run fits into memory, and what disk and time it takes.",
    ),
    "data": LateCommand(
        target="anymal.cli.data:data", help="Generate recordings with questions and answers."
    ),
    "data check": LateCommand(
        target="anymal.cli.data_check:check",
        help="Find every problem in a data file, or in those of a recipe.",
    ),
    "data show": LateCommand(
        target="anymal.cli.data_show:show",
        help="Show one row: its words, what is learnt of them, and its media.",
    ),
    "data audit": LateCommand(
        target="anymal.cli.data_audit:audit",
        help="Find media of the evaluation in the training data.",
    ),
    "data import": LateCommand(
        target="anymal.cli.data_import:import_",
        help="Write a data set of any format as our manifest, or as archives.",
    ),
    "data export": LateCommand(
        target="anymal.cli.data_export:export",
        help="Write a data set in the format of another trainer or benchmark tool.",
    ),
    "data synth": LateCommand(
        target="anymal.cli.data_synth:synth",
        help="Have a text model write questions and answers about captioned media.",
    ),
    "data answers": LateCommand(
        target="anymal.cli.data_answers:answers",
        help="Draw several answers of a model to each question.",
    ),
    "data pairs": LateCommand(
        target="anymal.cli.data_pairs:pairs",
        help="Make pairs of a chosen and a rejected answer of several scored ones.",
    ),
}
# Commands of this project's other packages; those of third parties have no line of help here.
_HELP = {
    "train": "Train aligners (and LoRA) as a recipe says.",
    "data encode": "Run a recipe's frozen encoders once and keep their features.",
    "data replies": "Write what a recipe's language model itself replies, to train on.",
    "serve": "Serve a bundle over HTTP, in the shape of OpenAI's chat API.",
    "keys": "Make and take back the keys of a service.",
}


def late_commands() -> dict[str, LateCommand]:
    """All commands that are loaded late, by name; a dot in an entry point's name is a space."""
    joined = {
        name: LateCommand(target=point.value, help=_HELP.get(name, ""))
        for point in entry_points(group=_GROUP)
        for name in [point.name.replace(".", " ")]
    }
    return _OWN | joined


def load_command(name: str) -> Any:
    """Import a late command.

    Raises:
        AnymalError: If the package that brings it is not installed.
    """
    command = late_commands()[name]
    module, _, function = command.target.partition(":")
    try:
        target = getattr(import_module(module), function)
    except ImportError as error:
        raise AnymalError(
            f"'anymal {name}' needs {error.name or module}, which is not installed; "
            "install the whole project: pip install -e ."
        ) from error
    command = _as_click_command(name, target)
    if others := [f"anymal {each}" for each in late_commands() if each.startswith(f"{name} ")]:
        command.epilog = f"See also: {', '.join(others)}"
    return command


def _as_click_command(name: str, target: Any) -> Any:
    if isinstance(target, typer.Typer):
        app = target
    else:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(target)
    command = typer.main.get_command(app)
    command.name = name
    return command


class CommandGroup(TyperGroup):
    """A group some of whose commands are imported only when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """See click."""
        return [*super().list_commands(ctx), *late_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See click; a late command is shown by its line of help."""
        late = late_commands().get(cmd_name)
        if late is None:
            return super().get_command(ctx, cmd_name)
        return TyperCommand(cmd_name, help=late.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """See click; here a late command is imported, one of two words before one of one."""
        late = late_commands()
        for count in (2, 1):
            if (name := " ".join(args[:count])) in late:
                return name, load_command(name), args[count:]
        return super().resolve_command(ctx, args)
