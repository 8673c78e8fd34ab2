"""Where media are encoded: each modality's encoder, what waits for it, and its files.

Does not find or read media, and does not lay out files.

Shapes: M media items, F features per item, W windows, D_enc encoder width.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import torch
from torch import nn

from anymal.assemble import build_frozen, place_encoder
from anymal.features.writer import FeatureWriter
from anymal.llm.load import compute_dtype
from anymal.media.limits import Limits
from anymal.recipe.schema import EncoderRecipe, Recipe
from encoders.base import Encoder, Features, Preprocessor, stack_inputs
from train.device import device_of
from train.encode.media import Item, Reading
from train.errors import TrainingError


class Bench:
    """One modality: its encoder, what waits for it, and where its features go."""

    def __init__(
        self, name: str, recipe: EncoderRecipe, writer: Callable[[Encoder], FeatureWriter]
    ) -> None:
        self.name = name
        self.encoder = build_frozen(name, recipe)
        self.writer = writer(self.encoder)
        self._new: set[str] = set()
        self._waiting: list[Item] = []
        self._num_media = 0

    def is_known(self, digest: str) -> bool:
        """Whether the features of a medium are stored or on their way."""
        return digest in self._new or digest in self.writer.store

    def add(self, item: Item, batch_windows: int) -> None:
        """Take a medium; a full batch is encoded at once."""
        self._num_media += 1
        if item.tensors is None or self.is_known(item.digest):
            return
        self._new.add(item.digest)
        self._waiting.append(item)
        if sum(_num_windows(waiting) for waiting in self._waiting) >= batch_windows:
            self.finish()

    def finish(self) -> None:
        """Encode what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        features = self.run(waiting)
        for row, item in enumerate(waiting):
            self.writer.add(item.digest, _row(features, row), name=item.where)
        # Only between batches: then a run that goes on after a kill makes the same batches.
        if self.writer.is_full:
            self.writer.flush()

    def run(self, items: Sequence[Item]) -> Features:
        """Encode media; features `[M, F, D_enc]` on the CPU."""
        device = next(cast(nn.Module, self.encoder).parameters()).device
        inputs = stack_inputs([item.tensors for item in items if item.tensors is not None])
        try:
            return self.encoder(inputs.to(device)).to("cpu")
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the {self.name} encoder ran out of memory with {int(inputs.counts.sum())} "
                "windows at once; lower --batch-size (what is encoded already is kept)"
            ) from error

    def summary(self) -> str:
        """A line for the user."""
        new = len(self._new)
        return (
            f"{self.name}: {self._num_media:,} media, {new:,} encoded now, "
            f"{self._num_media - new:,} duplicates or there already; "
            f"{self.writer.num_bytes / 1e6:,.1f} MB in {self.writer.folder}"
        )


class Benches:
    """The modalities of a recipe, each set up when its first medium turns up."""

    def __init__(self, recipe: Recipe, root: Path, *, batch_windows: int, stack: ExitStack) -> None:
        self.batch_windows = batch_windows
        self._recipe, self._root, self._stack = recipe, root, stack
        self._device = device_of(recipe)
        self._benches: dict[str, Bench] = {}
        self._lock = threading.Lock()  # asked by the threads that read media, too

    def __getitem__(self, name: str) -> Bench:
        with self._lock:
            if name not in self._benches:
                self._benches[name] = self._set_up(name)
            return self._benches[name]

    def all(self) -> list[Bench]:
        """Those that are set up."""
        return list(self._benches.values())

    def reading(self, is_known: Callable[[str, str], bool]) -> Reading:
        """How their media are read."""
        return Reading(
            modalities=list(self._recipe.model.modalities),
            preprocessor=self._preprocessor,
            is_known=is_known,
            limits=Limits(),
        )

    def _preprocessor(self, name: str) -> Preprocessor:
        return self[name].encoder.preprocessor

    def _set_up(self, name: str) -> Bench:
        def writer(encoder: Encoder) -> FeatureWriter:
            opened = FeatureWriter(self._root, modality=name, encoder=encoder)
            return self._stack.enter_context(opened)

        bench = Bench(name, self._recipe.model.modalities[name].encoder, writer)
        dtype = compute_dtype(self._recipe.model.llm.precision, self._device)
        place_encoder(cast(nn.Module, bench.encoder), self._device, dtype)
        return bench


def _row(features: Features, row: int) -> Features:
    """One item of a batch, `[1, F, D_enc]`."""
    rows = slice(row, row + 1)
    return Features(
        values=features.values[rows], mask=features.mask[rows], steps=features.steps[rows]
    )


def _num_windows(item: Item) -> int:
    """W of a medium that waits."""
    assert item.tensors, "known media do not wait"
    return len(next(iter(item.tensors.values())))
