"""`anymal cache`: where weights are kept for the next start, what is there, and how to clear it.

Does not decide what is kept (see `anymal.bundle.kept_weights`).
"""

from datetime import datetime

import typer

from anymal.bundle import weight_cache
from anymal.bundle.weight_file import DamagedError, read_facts
from anymal.cli.counted import counted

cache = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Show or clear the merged weights that are kept for the next start.",
)


@cache.callback(invoke_without_command=True)
def _size(context: typer.Context) -> None:
    """Show or clear the merged weights that are kept for the next start.

    ANYMAL_KEPT_WEIGHTS_BYTES sets the most bytes to keep; 0 keeps and uses none.
    """
    if context.invoked_subcommand is not None:
        return
    kept = weight_cache.kept_files()
    held, most = sum(each.num_bytes for each in kept), weight_cache.most_bytes()
    files = counted(len(kept), "file")
    typer.echo(f"{weight_cache.weights_folder()}: {files}, {_mib(held)} of {_mib(most)}")


@cache.command("list")
def list_files() -> None:
    """List the files: size, last use, precision and language model; the next to go first."""
    for kept in weight_cache.kept_files():
        used = datetime.fromtimestamp(kept.used).strftime("%Y-%m-%d %H:%M")
        try:
            facts = read_facts(kept.path)
            what = f"{facts['precision']}  {facts['model']}"
        except (OSError, KeyError, DamagedError) as error:
            what = f"cannot be read ({error})"
        typer.echo(f"{_mib(kept.num_bytes):>12}  {used}  {what}")


@cache.command("clear")
def clear_files() -> None:
    """Remove all files; they are made again when they are needed."""
    typer.echo(f"removed {_mib(weight_cache.clear())}")


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.1f} MiB"
