"""The frozen encoders of a recipe over all of its media, once, into files of features.

Does not read media (see `train.encode.media`) and does not lay out files (see
`anymal.features.writer`). The language model takes no part and is not loaded.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from anymal.errors import DataError, RecipeError
from anymal.features.writer import as_stored, stored_bytes
from anymal.recipe.schema import Recipe
from train.data.prefetch import Prefetch
from train.data.sources import Source, open_data
from train.encode.estimate import Estimate, estimate, num_records
from train.encode.media import Place, distinct_sources, places
from train.encode.worker import Workers
from train.interrupt import Interrupted, StopSignals
from train.progress import EncodeProgress

MAX_THREADS = 16
RECORDS_AHEAD = 2  # read but not yet encoded; the threads that read hold more


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """What the user chose.

    Attributes:
        root: Folder of the cache.
        stages: Names of the stages whose data is encoded; none means all.
        limit: Most records of each source.
        batch_windows: About how many windows (pictures, frames, stretches) one encoder call takes.
        confirm: Called with a sentence about the size; returns whether to continue.
    """

    root: Path
    stages: Sequence[str] = ()
    limit: int | None = None
    batch_windows: int = 16
    confirm: Callable[[str], bool] = lambda text: True


def encode(recipe: Recipe, options: EncodeOptions, *, console: Console) -> bool:
    """Encode what is not encoded yet.

    Args:
        recipe: Gives encoders, data and device.
        options: What the user chose.
        console: Where progress is shown.

    Returns:
        False if `confirm` declined.

    Raises:
        DataError: A record or medium cannot be used, or features do not fit on the disk; what was
            encoded before is kept.
        RecipeError: An encoder cannot be built, or there is no such stage.
        Interrupted: Ctrl-C or SIGTERM; what was encoded before is kept.
    """
    sources = _sources(recipe, options.stages)
    with ExitStack() as stack:
        workers = Workers(recipe, options.root, batch_windows=options.batch_windows, stack=stack)
        with console.status("estimating the size of the features"):
            estimates = _estimate(sources, workers, options)
        if not options.confirm(_check_room(estimates, workers, options)):
            return False
        total = sum(num_records(source, options.limit) for source in sources)
        with StopSignals() as stop, EncodeProgress(console, total=total) as progress:
            _encode_all(_records(sources, options.limit), workers, stop, progress)
    for worker in workers.all():
        console.print(worker.summary())
    return True


def _sources(recipe: Recipe, stages: Sequence[str]) -> list[Source]:
    """The sources of the chosen stages, each once."""
    known = [stage.name for stage in recipe.stages]
    if unknown := [name for name in stages if name not in known]:
        raise RecipeError(f"no stage {', '.join(unknown)}; the recipe has {', '.join(known)}")
    chosen = [stage for stage in recipe.stages if not stages or stage.name in stages]
    return distinct_sources(open_data(recipe.model_copy(update={"stages": chosen})))


def _estimate(
    sources: Sequence[Source], workers: Workers, options: EncodeOptions
) -> list[Estimate]:
    """Estimate the size of all features."""
    reading = workers.reading(lambda name, digest: False)

    def measure(chosen: Sequence[Place]) -> list[int]:
        sizes = []
        for item in map(reading.read, chosen):
            features = workers[item.modality].run([item])
            sizes.append(stored_bytes(as_stored(features, name=item.where)))
        return sizes

    return estimate(sources, limit=options.limit, modality_of=reading.modality, measure=measure)


def _check_room(estimates: Sequence[Estimate], workers: Workers, options: EncodeOptions) -> str:
    """Describe how much will be written; raise if the disk cannot hold it."""
    if not estimates:
        raise DataError("the records of these stages hold no media, so there is nothing to encode")
    there = sum(worker.writer.num_bytes for worker in workers.all())
    total = sum(one.num_bytes for one in estimates)
    free = shutil.disk_usage(options.root).free
    each = ", ".join(
        f"{one.modality} {_size(one.num_bytes)} for {one.num_media:,.0f} media" for one in estimates
    )
    text = (
        f"features take about {_size(total)} ({each}); {_size(there)} are in "
        f"{options.root} already, {_size(free)} are free there"
    )
    if total - there > free:
        raise DataError(
            f"{text}: they do not fit; choose another --out, encode fewer --stage, or the first "
            "records of each source with --limit N (an endless source needs it, and training "
            "then needs a source of that many records)"
        )
    return text


def _records(sources: Sequence[Source], limit: int | None) -> Iterator[list[Place]]:
    """The media of every record."""
    for source in sources:
        for index in range(num_records(source, limit)):
            yield places(source, index)


def _encode_all(
    records: Iterator[list[Place]], workers: Workers, stop: StopSignals, progress: EncodeProgress
) -> None:
    """Encode every record's media; after a signal, what is not encoded is left for the next run."""
    reading = workers.reading(lambda name, digest: workers[name].is_known(digest))
    threads = min(os.cpu_count() or 1, MAX_THREADS)
    with Prefetch(reading.read_all(records, threads=threads), ahead=RECORDS_AHEAD) as feed:
        for items in feed:
            for item in items:
                workers[item.modality].add(item, workers.batch_windows)
            progress.record(len(items))
            if stop.requested is not None:
                raise Interrupted(
                    "Stopped; what was encoded is kept.", exit_code=128 + stop.requested
                )
    for worker in workers.all():
        worker.finish()


def _size(num_bytes: float) -> str:
    """Bytes with a unit."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes / 1e3:.1f} kB"
