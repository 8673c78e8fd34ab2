"""Encodes media: for each modality its encoder, the media that wait for it, and its files.

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
from anymal.decoding.choice import decoder
from anymal.features.writer import FeatureWriter
from anymal.llm.precision import compute_dtype
from anymal.media.limits import Limits
from anymal.recipe.schema import EncoderRecipe, Recipe
from encoders.base import Encoder, Features, Preprocessor, stack_inputs
from train.device import device_of
from train.encode.media import Item, Reading
from train.errors import TrainingError


class Worker:
    """One modality: its encoder, the media that wait for it, and the writer of its features."""

    def __init__(
        self,
        name: str,
        recipe: EncoderRecipe,
        writer: Callable[[Encoder], FeatureWriter],
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.name = name
        self.encoder = build_frozen(name, recipe)
        self._device = device
        place_encoder(cast(nn.Module, self.encoder), device, dtype)
        self.writer = writer(self.encoder)
        self._new: set[str] = set()
        self._waiting: list[Item] = []
        self._num_media = 0

    def is_known(self, digest: str) -> bool:
        """Whether the features of a medium are stored or about to be."""
        return digest in self._new or digest in self.writer.store

    def add(self, item: Item, batch_windows: int) -> None:
        """Add a medium; encode as soon as a batch is full."""
        self._num_media += 1
        if item.tensors is None or self.is_known(item.digest):
            return
        self._new.add(item.digest)
        self._waiting.append(item)
        if sum(_num_windows(waiting) for waiting in self._waiting) >= batch_windows:
            self.finish()

    def finish(self) -> None:
        """Encode the media that wait."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        features = self.run(waiting)
        for row, item in enumerate(waiting):
            assert item.tensors, "known media do not wait"
            layout = None if self.encoder.layout is None else self.encoder.layout(item.tensors)
            self.writer.add(item.digest, _row(features, row), name=item.where, layout=layout)
        # Only between batches, so that a run that continues after a kill makes the same batches.
        if self.writer.is_full:
            self.writer.flush()

    def run(self, items: Sequence[Item]) -> Features:
        """Encode media; features `[M, F, D_enc]` on the CPU."""
        inputs = stack_inputs([item.tensors for item in items if item.tensors is not None])
        try:
            return self.encoder(inputs.to(self._device)).to("cpu")
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the {self.name} encoder ran out of memory with {int(inputs.counts.sum())} "
                "windows at once; lower --batch-size (features that are written already are kept)"
            ) from error

    def summary(self) -> str:
        """A line for the user."""
        new = len(self._new)
        return (
            f"{self.name}: {self._num_media:,} media, {new:,} encoded now, "
            f"{self._num_media - new:,} duplicates or already there; "
            f"{self.writer.num_bytes / 1e6:,.1f} MB in {self.writer.folder}"
        )


class Workers:
    """The workers of a recipe's modalities, each set up for its first medium."""

    def __init__(self, recipe: Recipe, root: Path, *, batch_windows: int, stack: ExitStack) -> None:
        self.batch_windows = batch_windows
        self._recipe, self._root, self._stack = recipe, root, stack
        self._device = device_of(recipe)
        self._decode = stack.enter_context(decoder(recipe.decode_workers))
        self._workers: dict[str, Worker] = {}
        self._lock = threading.Lock()  # the threads that read media use it, too

    def __getitem__(self, name: str) -> Worker:
        with self._lock:
            if name not in self._workers:
                self._workers[name] = self._set_up(name)
            return self._workers[name]

    def all(self) -> list[Worker]:
        """All that are set up."""
        return list(self._workers.values())

    def reading(self, is_known: Callable[[str, str], bool]) -> Reading:
        """How their media are read."""
        return Reading(
            modalities=list(self._recipe.model.modalities),
            preprocessor=self._preprocessor,
            is_known=is_known,
            limits=Limits(),
            decode=self._decode,
        )

    def _preprocessor(self, name: str) -> Preprocessor:
        return self[name].encoder.preprocessor

    def _set_up(self, name: str) -> Worker:
        def writer(encoder: Encoder) -> FeatureWriter:
            opened = FeatureWriter(self._root, modality=name, encoder=encoder)
            return self._stack.enter_context(opened)

        model = self._recipe.model
        return Worker(
            name,
            model.modalities[name].encoder,
            writer,
            device=self._device,
            dtype=compute_dtype(model.llm.precision, self._device),
        )


def _row(features: Features, row: int) -> Features:
    """One item of a batch, `[1, F, D_enc]`."""
    rows = slice(row, row + 1)
    return Features(
        values=features.values[rows], mask=features.mask[rows], steps=features.steps[rows]
    )


def _num_windows(item: Item) -> int:
    """W of a waiting medium."""
    assert item.tensors, "known media do not wait"
    return len(next(iter(item.tensors.values())))
