"""What an encoder would be, before any weight is loaded: its parameters, its width, its features.

Builds the real model without memory for its weights and reads one blank window with the code that
reads features. Loads no weights and decodes no media.

Shapes: W windows, P features per window, F features per item, D_enc encoder width.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from encoders.base import EncoderError, Layout
from encoders.checkpoint import reading
from encoders.kind import Unloaded
from encoders.registry import check_options, encoder_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """Sizes of an encoder.

    Attributes:
        num_parameters: weights of the model, without heads that are not loaded.
        width: D_enc.
        layout: of the longest media item.
        num_windows: windows of the longest media item.
        model: without memory for its weights.
        encode: reads one blank window with it, `[1, P, D_enc]`.
    """

    num_parameters: int
    width: int
    layout: Layout
    num_windows: int
    model: nn.Module
    encode: Callable[[], Tensor]

    @property
    def num_features(self) -> int:
        """F of the longest media item."""
        return self.layout.count


def outline(kind: str, config: Any | None, path: str | None, **options: Any) -> Outline:
    """Work out an encoder's sizes from its configuration.

    Where `path` is a folder, the size of pictures is that of the processor in it. Of a Hub id, it
    is the configuration's, as published checkpoints have it.

    Args:
        kind: as in `encoders.registry.encoder_kind`.
        config: the checkpoint's configuration; None takes `EncoderKind.config` of the path.
        path: a local folder or a Hub id; None for a kind that needs none.
        options: keyword arguments of the kind's `build`.

    Returns:
        The outline; the same numbers as the encoder that `build_encoder` would return.

    Raises:
        EncoderError: if the kind or an option is unknown or does not fit, the configuration cannot
            be read, or the sizes cannot be told without the checkpoint.
    """
    found = encoder_kind(kind)
    check_options(kind, found, path, options)
    bound = inspect.signature(found.build).bind(path, **options)
    bound.apply_defaults()
    with reading(kind, path), torch.device("meta"), torch.no_grad():
        config = found.config(path) if config is None else config
        encoder = found.unloaded(config, bound.arguments)
        num_windows = encoder.num_windows
        if num_windows < 1:
            raise EncoderError(
                f"encoder '{kind}' looks at {num_windows} windows of a media item; raise "
                "max_windows, num_frames or num_clips to at least 1"
            )
        states = encoder.read(encoder.model.eval(), encoder.window).values
    _, per_window, width = states.shape
    return Outline(
        num_parameters=sum(parameter.numel() for parameter in encoder.model.parameters()),
        width=width,
        layout=_longest(encoder, per_window),
        num_windows=num_windows,
        model=encoder.model,
        encode=lambda: encoder.read(encoder.model, encoder.window).values,
    )


def _longest(encoder: Unloaded, per_window: int) -> Layout:
    """The layout of the longest media item."""
    if encoder.longest is not None:
        return encoder.longest(per_window)
    if encoder.layout is not None and (grid := encoder.layout(encoder.window)).count <= per_window:
        return replace(grid, views=encoder.num_windows, before=per_window - grid.count)
    return Layout(views=encoder.num_windows, before=per_window)
