"""What the project asks of an encoder kind: one record, declared in the kind's own file.

Adding a kind is such a file and one line in `encoders.registry`. Builds nothing itself.

Shapes: W windows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig

from encoders.base import Encoder, EncoderError, Layout, LayoutOf
from encoders.frozen import Read


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unloaded:
    """An encoder without its weights, as `encoders.outline` measures it.

    Attributes:
        model: on the meta device.
        read: how features are read off it.
        window: one blank window of its input, each tensor `[1, ...]`.
        num_windows: windows of the longest media item.
        layout: rows and columns of the window's features; None where they stand in no rows.
        longest: the layout of the longest media item, where its windows become one; from how many
            features a window has.
    """

    model: nn.Module
    read: Read
    window: Mapping[str, Tensor]
    num_windows: int
    layout: LayoutOf | None = None
    longest: Callable[[int], Layout] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderKind:
    """A kind of encoder.

    Attributes:
        build: from the path of a checkpoint, and options as keyword arguments, to the encoder. A
            mistake is an `EncoderError`.
        unloaded: from a configuration, and `path` with all options of `build`, to the encoder
            without weights; runs under `torch.device("meta")`.
        usual_config: the configuration that checkpoints of this kind usually have.
        save_random: write a checkpoint of random weights of a configuration, with its
            preprocessing, into a folder, and return its model; for `anymal train --dry-run`.
        read_config: read the configuration in a folder; None where it is one of transformers'.
        tiny_config: a small configuration for a dry run; None where it has transformers' names of
            sizes, which the dry run shrinks by itself.
        has_weights: whether there is anything to load; a kind without needs no path.
    """

    build: Callable[..., Encoder]
    unloaded: Callable[[Any, Mapping[str, Any]], Unloaded]
    usual_config: Callable[[], Any]
    save_random: Callable[[Any, Path], nn.Module]
    read_config: Callable[[str], Any] | None = None
    tiny_config: Callable[[], Any] | None = None
    has_weights: bool = True

    def config(self, path: str | None) -> Any:
        """The configuration of a checkpoint.

        Args:
            path: a local folder. A kind with `read_config` has its usual configuration elsewhere.

        Raises:
            EncoderError: if the configuration is one of transformers' and `path` is no folder.
        """
        if path is not None and Path(path).is_dir():
            return (self.read_config or AutoConfig.from_pretrained)(path)
        if self.read_config is None:
            raise EncoderError(f"'{path}' is no local folder; give the configuration as well")
        return self.usual_config()
