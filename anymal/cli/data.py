"""`anymal data`: generated recordings with questions and answers, as files and a manifest.

Generates only; recordings of people are the user's own to bring.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from anymal.cli.console import plain_console
from anymal.cli.counted import counted
from anymal.errors import DataError
from anymal.playground import sources
from anymal.playground.manifest import write_manifest

_TOPICS: dict[str, Callable[..., sources.LazyRecords]] = {
    "scenes": sources.scenes,
    "clips": sources.clips,
    "sounds": sources.sounds,
    "motions": sources.motions,
    "mixed": sources.mixed,
    "later_turns": sources.later_turns,
}


def data(
    topic: Annotated[str, typer.Argument(help=f"one of {', '.join(_TOPICS)}")],
    out: Annotated[Path, typer.Option(help="folder to write files and manifest.jsonl to")],
    size: Annotated[int, typer.Option(min=1, help="number of records")] = 100,
    split: Annotated[str, typer.Option(help="train or heldout; they never share a seed")] = "train",
    seed: Annotated[int, typer.Option(min=0, help="another seed, other records")] = 0,
) -> None:
    """Generate recordings with questions and answers."""
    if topic not in _TOPICS:
        raise DataError(f"unknown topic '{topic}'; known: {', '.join(_TOPICS)}")
    records = _TOPICS[topic](split=split, size=size, seed=seed)
    manifest = write_manifest(track(records, description=topic, transient=True), out)
    plain_console().print(f"{counted(size, 'record')} in {manifest}")
