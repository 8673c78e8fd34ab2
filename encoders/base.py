"""The roles of the encoder room: what goes into an encoder and what comes out.

Holds no model and no preprocessing; those live in one file per kind.

Shapes: M media items of one modality in the batch, W windows (an image or a part of it, a video
frame, a clip, a stretch of sound or motion), F features per item, D_enc encoder width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class EncoderError(ValueError):
    """A mistake in how an encoder was named, configured or fed; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """What an encoder saw in each media item.

    Attributes:
        values: `[M, F, D_enc]` float; zero where the mask is False.
        mask: `[M, F]` bool, True where the feature covers real input.
        steps: `[M, F]` int64, when the feature was seen: 0 for an image, the frame index for a
            video, the window index for sound and motion.
        layouts: of each item, where they were told before it was encoded.
        ticks: of each item, `[N]` int64: at which tick of a clock each of its real features was
            seen; None for an item that is on no clock, or where none is.
        words: ids of the words beside each item, for aligners that read them; encoders make none.
    """

    values: Tensor
    mask: Tensor
    steps: Tensor
    layouts: "tuple[Layout, ...] | None" = None
    ticks: "tuple[Tensor | None, ...] | None" = None
    words: tuple[tuple[int, ...], ...] | None = None

    def to(self, device: torch.device | str) -> "Features":
        """The same features on another device."""
        return replace(
            self,
            values=self.values.to(device),
            mask=self.mask.to(device),
            steps=self.steps.to(device),
        )

    def each(self) -> "list[Features]":
        """The features of every item by itself, without what lies behind its last real one."""
        ends = self.mask.long().cumsum(dim=1).argmax(dim=1) + 1
        return [
            Features(
                values=self.values[number : number + 1, :end].clone(),
                mask=self.mask[number : number + 1, :end].clone(),
                steps=self.steps[number : number + 1, :end].clone(),
                layouts=self.layouts and self.layouts[number : number + 1],
                words=self.words and self.words[number : number + 1],
            )
            for number, end in enumerate(ends.tolist())
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return self.values.nbytes + self.mask.nbytes + self.steps.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How many features of a medium are real and how they stand, known before it is encoded.

    Attributes:
        views: views one after the other, all alike: one of a picture, the frames of a film.
        before: features of each view that stand in no row, such as a class token; they come first.
        rows: rows of features that follow them.
        columns: features of each row.
    """

    views: int = 1
    before: int = 0
    rows: int = 0
    columns: int = 0

    @property
    def count(self) -> int:
        """How many features there are."""
        return self.views * (self.before + self.rows * self.columns)


# From the preprocessed tensors of one medium, each `[W, ...]`, to its layout. Needs no weights.
LayoutOf = Callable[[Mapping[str, Tensor]], Layout]
# From a signal and its preprocessed tensors to the time at which each real feature is seen: `[N]`
# float64 seconds from the beginning of the signal, in the order of features. Needs no weights.
TimesOf = Callable[[Any, Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncoderInputs:
    """Preprocessed media of a batch, ready for one encoder.

    Attributes:
        tensors: each `[W_total, ...]`, the windows of all items one after the other.
        counts: `[M]` int64, how many windows each item has.
        layouts: of each item, for the aligner; encoders do not need them.
        ticks: likewise; see `Features`.
        words: beside each item, likewise.
    """

    tensors: dict[str, Tensor]
    counts: Tensor
    layouts: tuple[Layout, ...] | None = None
    ticks: tuple[Tensor | None, ...] | None = None
    words: tuple[tuple[int, ...], ...] | None = None

    def to(self, device: torch.device | str) -> "EncoderInputs":
        """The same inputs on another device."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return replace(self, tensors=tensors, counts=self.counts.to(device))

    def told_of(self, features: Features) -> Features:
        """The features of these inputs, with what was told of the items before."""
        return replace(features, layouts=self.layouts, words=self.words, ticks=self.ticks)


class Preprocessor(Protocol):
    """Turns one signal into tensors `[W, ...]`, all with the same W >= 1.

    Runs on the CPU, is deterministic, needs no weights and can be pickled.
    """

    def __call__(self, signal: Any) -> dict[str, Tensor]:
        """Preprocess one signal."""
        ...


class Encoder(Protocol):
    """A feature extractor (an `nn.Module`).

    Its `layout` counts the features inside the mask before they are made. It is None where only
    encoding can tell; aligners then give every medium the same number of soft tokens. An encoder
    may also have `times`, a `TimesOf`; without it, its media cannot stand on a clock.

    It stays in eval mode. `forward` records gradients only where a stage lets its weights train;
    `renew_fingerprint` then tells what it has become.
    """

    width: int
    preprocessor: Preprocessor
    fingerprint: str
    layout: LayoutOf | None

    def __call__(self, inputs: EncoderInputs) -> Features:
        """Encode a batch of preprocessed media."""
        ...

    def renew_fingerprint(self) -> None:
        """Take the fingerprint of the weights as they are now."""
        ...


def stack_features(items: Sequence[Features]) -> Features:
    """Features of several media in one, padded to the longest.

    Args:
        items: of one item each, from one encoder; at least one.

    Returns:
        `[M, F, D_enc]`, without words; padding is outside the mask.
    """
    values, mask, steps = (
        pad_sequence([getattr(item, name)[0] for item in items], batch_first=True)
        for name in ("values", "mask", "steps")
    )
    layouts = tuple(layout for item in items for layout in item.layouts or ())
    told = layouts if len(layouts) == len(items) else None
    return Features(values=values, mask=mask, steps=steps, layouts=told)


def stack_inputs(items: Sequence[dict[str, Tensor]]) -> EncoderInputs:
    """Concatenate the windows of several preprocessed items.

    Args:
        items: one dict per media item, as a `Preprocessor` returned it.

    Returns:
        The inputs of one encoder call.

    Raises:
        EncoderError: if there is no item, or if items of different preprocessors are mixed.
    """
    if not items:
        raise EncoderError("no media items were given; an encoder call needs at least one")
    names = set(items[0])
    for item in items:
        if set(item) != names:
            raise EncoderError(
                f"cannot batch items with tensors {sorted(names)} and {sorted(item)}; "
                "preprocess all of them with the same encoder's preprocessor"
            )
        lengths = {name: len(tensor) for name, tensor in item.items()}
        assert len(set(lengths.values())) == 1, f"window counts differ: {lengths}"
    tensors = {name: torch.cat([item[name] for item in items]) for name in items[0]}
    counts = [len(next(iter(item.values()))) for item in items]
    return EncoderInputs(tensors=tensors, counts=torch.tensor(counts, dtype=torch.int64))
