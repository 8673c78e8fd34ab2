"""The one encoder: a transformers model, its preprocessor, and how to read features off it.

Frozen, unless a stage lets weights of it train. Knows nothing of any particular model; each kind
brings a `read` function.

Shapes: M media items, W windows of all items, P features per window, F features per item,
D_enc encoder width.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from encoders.base import EncoderError, EncoderInputs, Features, LayoutOf, Preprocessor, TimesOf
from encoders.fingerprint import fingerprint

# A model gives all its hidden states, one of which is kept. Hundreds of windows, such as the frames
# of a batch of films, would take more memory so than the language model's own step.
WINDOWS_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowStates:
    """What a model saw in each window.

    Attributes:
        values: `[W, P, D_enc]` float.
        mask: `[W, P]` bool, or None if every feature is real.
        steps: `[W, P]` int64 time inside the window, or None to use the window's index.
        places: `[W, P]` int64, the number of each real feature among those of its media item; None
            if the windows stand one after the other.
    """

    values: Tensor
    mask: Tensor | None = None
    steps: Tensor | None = None
    places: Tensor | None = None


Read = Callable[[Any, Mapping[str, Tensor]], WindowStates]


class FrozenEncoder(nn.Module):
    """An `Encoder` around a pretrained model.

    Args:
        kind: its name in the registry.
        model: the pretrained model; frozen here. Gradients are recorded where its weights ask.
        preprocessor: from a signal to the model's tensors.
        read: from the model and its tensors to features per window; a dataclass of its options.
        width: `D_enc`.
        layout: how many features a medium will have; None if only encoding can tell.
        times: when each feature is seen; None if the kind does not tell.
        ignored_weights: weights that the features do not depend on.
    """

    def __init__(
        self,
        *,
        kind: str,
        model: nn.Module,
        preprocessor: Preprocessor,
        read: Read,
        width: int,
        layout: LayoutOf | None = None,
        times: TimesOf | None = None,
        ignored_weights: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.kind = kind
        self.width = width
        self.preprocessor = preprocessor
        self.layout = layout
        self.times = times
        self.model = model.requires_grad_(False)
        self.read = read
        self._ignored_weights = ignored_weights
        self.renew_fingerprint()
        self.eval()
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):  # 1.2 to 1.8 times as fast on a CPU
                layer.weight.data = layer.weight.data.to(memory_format=torch.channels_last)

    def renew_fingerprint(self) -> None:
        """Take the fingerprint of the weights as they are now: training may have changed them."""
        self.fingerprint = fingerprint(
            self.kind,
            self.model,
            preprocessor=self.preprocessor,
            read=self.read,
            ignored_weights=self._ignored_weights,
        )

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: dropout and batch statistics are off, also where weights train."""
        return super().train(False)

    def forward(self, inputs: EncoderInputs) -> Features:
        """Encode a batch of media, at most `WINDOWS_AT_ONCE` windows at a time.

        Args:
            inputs: preprocessed windows on the model's device.

        Returns:
            Features `[M, F, D_enc]`, in the model's dtype, if it has weights.
        """
        weight = next(self.model.parameters(), None)
        tensors = {
            name: tensor if weight is None or not tensor.is_floating_point() else tensor.to(weight)
            for name, tensor in inputs.tensors.items()
        }
        names = list(tensors)
        pieces = zip(*(torch.split(tensors[name], WINDOWS_AT_ONCE) for name in names), strict=True)
        trains = any(parameter.requires_grad for parameter in self.model.parameters())
        with torch.set_grad_enabled(trains and torch.is_grad_enabled()):
            states = [
                self.read(self.model, dict(zip(names, piece, strict=True))) for piece in pieces
            ]
            return join_windows(_joined(states), inputs.counts)


def hidden_layer(output: Any, layer: int | None) -> Tensor:
    """One hidden state of a transformers output.

    Args:
        output: what the model returned with `output_hidden_states=True`.
        layer: index into `hidden_states`, 0 being the embedding; None is `last_hidden_state`, which
            some models normalise once more than `hidden_states[-1]`.

    Returns:
        The chosen hidden state.

    Raises:
        EncoderError: if the model has no such layer.
    """
    if layer is None:
        return cast(Tensor, output.last_hidden_state)
    states = output.hidden_states
    check_layer(layer, len(states))
    return cast(Tensor, states[layer])


def check_layer(layer: int | None, num_states: int) -> None:
    """Refuse a layer that a model does not have; factories do before anything is encoded.

    Args:
        layer: as in `hidden_layer`.
        num_states: hidden states of the model, the embedding included.

    Raises:
        EncoderError: if the model has no such layer.
    """
    if layer is not None and not -num_states <= layer < num_states:
        raise EncoderError(
            f"layer {layer} does not exist; this model has hidden states "
            f"{-num_states} to {num_states - 1}"
        )


def _joined(states: Sequence[WindowStates]) -> WindowStates:
    """What was seen in several stretches of windows, as one; short ones are filled up."""
    longest = max(one.values.shape[1] for one in states)

    def rows(name: str) -> Any:
        found = [getattr(one, name) for one in states]
        if found[0] is None:
            return None
        return torch.cat([_filled(tensor, longest) for tensor in found])

    return WindowStates(**{field.name: rows(field.name) for field in fields(WindowStates)})


def _filled(rows: Tensor, length: int) -> Tensor:
    """`[W, P, ...]` with zeros, or False, up to `length` features."""
    padding = rows.new_zeros(len(rows), length - rows.shape[1], *rows.shape[2:])
    return torch.cat([rows, padding], dim=1) if padding.numel() else rows


def join_windows(states: WindowStates, counts: Tensor) -> Features:
    """Put the windows of each item one after the other, or each feature into its place.

    Items with fewer features are padded.

    Args:
        states: features of all windows, `[W, P, D_enc]`.
        counts: `[M]` windows per item; they sum to W.

    Returns:
        Features `[M, max(counts) * P, D_enc]`, or as many as the longest item has real ones where
        they have places.
    """
    num_windows, per_window, width = states.values.shape
    assert int(counts.sum()) == num_windows, f"{counts.tolist()} windows, got {num_windows}"
    device = states.values.device
    counts = counts.to(device)
    filled = torch.arange(int(counts.max()), device=device) < counts[:, None]  # [M, max(counts)]
    mask = states.mask
    if mask is None:
        mask = torch.ones(num_windows, per_window, dtype=torch.bool, device=device)
    steps = states.steps
    if steps is None:
        steps = filled.nonzero()[:, 1, None].expand(-1, per_window)
    shape = (*filled.shape, per_window)
    values = states.values.masked_fill(~mask[..., None], 0.0)
    features = Features(
        values=_scatter(values, filled, (*shape, width)).flatten(1, 2),  # [M, F, D_enc]
        mask=_scatter(mask, filled, shape).flatten(1),
        steps=_scatter(steps, filled, shape).flatten(1),
    )
    if states.places is None:
        return features
    return _put(features, _scatter(states.places, filled, shape).flatten(1))


def _scatter(rows: Tensor, filled: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zeros of `shape` whose filled windows hold the given rows, in order."""
    padded = rows.new_zeros(shape)
    padded[filled] = rows
    return padded


def _put(features: Features, places: Tensor) -> Features:
    """Put the real features of each item into their places `[M, F]`."""
    items, numbers = features.mask.nonzero(as_tuple=True)
    places = places[items, numbers]
    shape = (len(features.mask), int(features.mask.sum(dim=1).max()))

    def put(rows: Tensor) -> Tensor:
        placed = rows.new_zeros(*shape, *rows.shape[2:])
        placed[items, places] = rows[items, numbers]
        return placed

    return Features(values=put(features.values), mask=put(features.mask), steps=put(features.steps))
