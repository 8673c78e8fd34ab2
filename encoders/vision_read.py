"""What is read off a vision tower: which layers, which tokens, and what is done with them.

Loads no model and prepares no picture.

Shapes: W pictures, P features per picture, h x w patch grid, D_enc width.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.base import EncoderError
from encoders.fingerprint import ADDED
from encoders.frozen import WindowStates, hidden_layer

Order = Literal["raster", "blocks"]

_NORMS = ("post_layernorm", "layernorm", "norm")  # what transformers calls a tower's last norm
_SIDE = 2  # of a square, if nothing else is said


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTokens:
    """Reads the features of pictures as `[W, P, D_enc]`, by these options in this order.

    Attributes:
        layer: index into the model's `hidden_states`, 0 being the embedding; None is
            `last_hidden_state`; several are joined in width, in the order given.
        pooled: one feature for each picture instead of tokens, as the tower itself pools them.
        post_norm: apply the tower's own last norm to each layer.
        drop_cls: leave out what precedes the patches (class, distillation and register tokens).
        pool: average the patch grid to `pool x pool`; None keeps every patch.
        order: `raster`, or `blocks`: square after square, each in raster order, for an aligner
            that merges the features of a square.
        block_size: side of a square in patches.
        projected: apply the projection into the space that pictures share with words.
        unit: scale each feature to length 1.

    Raises:
        EncoderError: options do not fit together.
    """

    layer: int | Sequence[int] | None
    drop_cls: bool
    pool: int | None
    pooled: bool = field(default=False, metadata=ADDED)
    post_norm: bool = field(default=False, metadata=ADDED)
    order: Order = field(default="raster", metadata=ADDED)
    block_size: int = field(default=_SIDE, metadata=ADDED)
    projected: bool = field(default=False, metadata=ADDED)
    unit: bool = field(default=False, metadata=ADDED)

    def __post_init__(self) -> None:
        """Refuse options that do not fit together."""
        layers, in_blocks = self.layers, self.order == "blocks"
        if self.layer is not None and not (layers and all(type(one) is int for one in layers)):
            raise EncoderError(f"layer: {self.layer!r} must be a number, some numbers, or null")
        if self.order not in get_args(Order):
            raise EncoderError(f"unknown order '{self.order}'; known: {', '.join(get_args(Order))}")
        if self.pool is not None and self.pool < 1:
            raise EncoderError(f"pool={self.pool} must be at least 1")
        if self.block_size < _SIDE:
            raise EncoderError(f"block_size={self.block_size} must be at least {_SIDE}")
        takes_tokens = self.post_norm or self.pool is not None or in_blocks
        misfits = {
            "pooled: true reads what follows the last layer; set layer: null": self.pooled
            and self.layer is not None,
            "pooled: true gives one feature; leave out post_norm, pool and order": self.pooled
            and takes_tokens,
            "post_norm: true needs a layer to apply to; layer: -1 is the last": self.post_norm
            and self.layer is None,
            "projected: true takes one layer, not several": self.projected and len(layers) > 1,
            "order: blocks takes patches alone; set drop_cls: true": in_blocks
            and not self.drop_cls,
            "block_size is the side of a square; set order: blocks": self.block_size != _SIDE
            and not in_blocks,
        }
        for message in (text for text, holds in misfits.items() if holds):
            raise EncoderError(message)

    @property
    def layers(self) -> list[int | None]:
        """The layers that are joined."""
        return [*self.layer] if isinstance(self.layer, Sequence) else [self.layer]

    def tower(self, model: Any) -> Any:
        """The vision tower of a model, which may stand beside its projection."""
        return model.vision_model if self.projected else model

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read preprocessed pictures."""
        tower = self.tower(model)
        output = _run(tower, tensors, output_hidden_states=self.layer is not None)
        states = (
            self._pooled(tower, output) if self.pooled else self._tokens(tower, output, tensors)
        )
        values = states.values
        if self.projected:
            values = model.visual_projection(values)
        return replace(states, values=F.normalize(values, dim=-1) if self.unit else values)

    def _pooled(self, tower: nn.Module, output: Any) -> WindowStates:
        """`[W, 1, D_enc]`."""
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            raise EncoderError(
                f"pooled: true: {type(tower).__name__} does not pool; leave it out, or average "
                "patches with pool: 1"
            )
        return WindowStates(values=pooled.flatten(1)[:, None])  # convolutions give [W, D_enc, 1, 1]

    def _tokens(self, tower: nn.Module, output: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """`[W, P, D_enc]`."""
        hidden = self._hidden(tower, output)
        if hidden.ndim == 4:  # convolutional: [W, D_enc, h, w]
            return WindowStates(values=self._patches(hidden))
        if "spatial_shapes" in tensors:
            return self._ragged(hidden, tensors)
        height, width = _grid(tower, tensors["pixel_values"])
        num_prefix = hidden.shape[1] - height * width
        if num_prefix < 0:
            raise EncoderError(
                f"{type(tower).__name__} has {hidden.shape[1]} tokens at layer {self.layer} for "
                f"{height} x {width} patches; choose a model that keeps its patch grid"
            )
        prefix, patches = hidden[:, :num_prefix], hidden[:, num_prefix:]
        grid = patches.transpose(1, 2).reshape(len(patches), -1, height, width)  # [W, D_enc, h, w]
        patches = self._patches(grid)
        return WindowStates(values=patches if self.drop_cls else torch.cat([prefix, patches], 1))

    def _hidden(self, tower: nn.Module, output: Any) -> Tensor:
        """The chosen layers, side by side: `[W, P, D_enc]`, or a map of a convolution."""
        states = [hidden_layer(output, layer) for layer in self.layers]
        if states[0].ndim == 4 and (len(states) > 1 or self.post_norm):
            raise EncoderError(
                f"{type(tower).__name__} is convolutional; give one layer, without post_norm"
            )
        if self.post_norm:
            norm = last_norm(tower)
            states = [norm(state) for state in states]
        return states[0] if len(states) == 1 else torch.cat(states, dim=-1)

    def _patches(self, grid: Tensor) -> Tensor:
        """`[W, D_enc, h, w]` to `[W, P, D_enc]`, pooled and in squares if asked."""
        if self.pool is not None:
            if self.pool > min(grid.shape[2:]):
                raise EncoderError(
                    f"pool={self.pool} is larger than the patch grid {tuple(grid.shape[2:])}; "
                    "choose a smaller one or leave it out"
                )
            grid = F.adaptive_avg_pool2d(grid, self.pool)
        if self.order == "blocks":
            grid = _in_squares(grid, self.block_size)
        return grid.flatten(2).transpose(1, 2)

    def _ragged(self, hidden: Tensor, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Tokens of pictures that keep their aspect ratio, each with its own grid."""
        if self.pool is None:
            if self.order == "blocks":
                raise EncoderError(
                    "order: blocks needs pictures of one size, and this checkpoint keeps their "
                    "aspect ratio; set pool, or leave order out"
                )
            return WindowStates(values=hidden, mask=tensors["pixel_attention_mask"].bool())
        pooled = []
        for tokens, (height, width) in zip(hidden, tensors["spatial_shapes"].tolist(), strict=True):
            grid = tokens[: height * width].T.reshape(1, -1, height, width)
            pooled.append(self._patches(grid))
        return WindowStates(values=torch.cat(pooled))


def last_norm(tower: Any) -> nn.Module:
    """The norm that follows a tower's last layer.

    Raises:
        EncoderError: if it has none.
    """
    for name in _NORMS:
        norm = getattr(tower, name, None)
        if isinstance(norm, nn.Module) and not isinstance(norm, nn.Identity):
            return norm
    raise EncoderError(
        f"post_norm: true: {type(tower).__name__} has no norm after its last layer; leave it out"
    )


def check_post_norm(read: ReadTokens, model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Refuse to apply the last norm twice: some models give its output as their last layer.

    Args:
        read: what is read.
        model: the model.
        tensors: any preprocessed picture.

    Raises:
        EncoderError: if a layer that is read has been normalised already.
    """
    if not read.post_norm:
        return
    tower = read.tower(model)
    made: list[Tensor] = []
    with last_norm(tower).register_forward_hook(lambda _norm, _given, out: made.append(out)):
        output = _run(tower, tensors, output_hidden_states=True)
    for layer in read.layers:
        if any(hidden_layer(output, layer) is normed for normed in made):
            raise EncoderError(
                f"layer {layer} of {type(tower).__name__} is normalised already; leave post_norm "
                "out"
            )


def _run(tower: Any, tensors: Mapping[str, Tensor], *, output_hidden_states: bool) -> Any:
    """What a tower makes of pictures, of whatever size."""
    resizing = _resizing(tower, tensors["pixel_values"])
    return tower(**tensors, **resizing, output_hidden_states=output_hidden_states)


def _resizing(tower: Any, pixels: Tensor) -> dict[str, bool]:
    """Asks for interpolated positions where pictures are not of the model's own size."""
    own = getattr(tower.config, "image_size", None)
    expected = (own, own) if isinstance(own, int) else tuple(own or ())
    takes_option = "interpolate_pos_encoding" in inspect.signature(tower.forward).parameters
    if takes_option and pixels.ndim == 4 and tuple(pixels.shape[2:]) != expected:
        return {"interpolate_pos_encoding": True}
    return {}


def _grid(tower: Any, pixels: Tensor) -> tuple[int, int]:
    """Rows and columns of patches."""
    patch = getattr(tower.config, "patch_size", None)
    if patch is None:
        raise EncoderError(
            f"{type(tower).__name__} has no patch_size; choose a ViT-like or convolutional model"
        )
    rows, columns = (patch, patch) if isinstance(patch, int) else patch
    return pixels.shape[2] // rows, pixels.shape[3] // columns


def _in_squares(grid: Tensor, side: int) -> Tensor:
    """`[W, D_enc, h, w]` to `[W, D_enc, h / side, w * side]`, the squares of a row one by one."""
    height, width = grid.shape[2:]
    if height % side or width % side:
        raise EncoderError(
            f"order: blocks: a patch grid of {height} x {width} does not divide into squares of "
            f"{side}; choose another size, pool or block_size"
        )
    rows = grid.reshape(*grid.shape[:2], height // side, side, width // side, side)
    return rows.transpose(3, 4).flatten(3)
