"""What another package brings to add a modality: thermal pictures, their encoder and an aligner.

Tests copy it out of the project and install it there.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aligners.base import real_values
from aligners.pooling import pool_features
from anymal.errors import MediaUnsupported
from anymal.media.limits import Limits
from anymal.modality import Medium, Modality
from encoders.base import Features
from encoders.frozen import FrozenEncoder, WindowStates
from encoders.kind import EncoderKind, Unloaded

SIDE = 4
KELVIN = 273.15


def decode(medium: Medium, limits: Limits) -> Any:
    """A saved array of degrees Celsius, or of what the option `unit` says."""
    assert medium.source is not None
    try:
        degrees = np.load(io.BytesIO(medium.source.data), allow_pickle=False)
    except ValueError as error:
        raise MediaUnsupported(medium.name, "no array", "an array saved as .npy") from error
    return degrees - KELVIN if medium.options.get("unit") == "K" else degrees


def blank() -> bytes:
    """A picture as warm as freezing water."""
    file = io.BytesIO()
    np.save(file, np.zeros((SIDE, SIDE)))
    return file.getvalue()


MODALITY = Modality(name="thermal", decode=decode, blank=blank)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The configuration."""

    width: int = 8


class Camera(nn.Module):
    """Reads rows of a picture."""

    def __init__(self, config: Sizes) -> None:
        super().__init__()
        self.config = config
        self.rows = nn.Linear(SIDE, config.width)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """From degrees to `rows` `[1, 4, 4]`, in hundreds."""

    hundred: float = 100.0

    def __call__(self, signal: Any) -> dict[str, Tensor]:
        return {"rows": torch.tensor(signal, dtype=torch.float32)[None] / self.hundred}


@dataclass(frozen=True, kw_only=True)
class ReadRows:
    """Reads rows as `[W, 4, D_enc]`."""

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        return WindowStates(values=model.rows(tensors["rows"]))


def read_config(path: str) -> Sizes:
    """The configuration in a folder."""
    return Sizes(**json.loads(Path(path, "config.json").read_text()))


def build(path: str) -> FrozenEncoder:
    """The encoder in a folder."""
    model = Camera(read_config(path))
    model.load_state_dict(load_file(Path(path, "model.safetensors")))
    return FrozenEncoder(
        kind="thermal_rows",
        model=model,
        preprocessor=Rows(),
        read=ReadRows(),
        width=model.config.width,
    )


def unloaded(config: Sizes, _: Mapping[str, Any]) -> Unloaded:
    """The encoder over one picture."""
    return Unloaded(
        model=Camera(config),
        read=ReadRows(),
        window={"rows": torch.zeros(1, SIDE, SIDE)},
        num_windows=1,
    )


def save_random(config: Sizes, folder: Path) -> nn.Module:
    """Write an encoder of random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    model = Camera(config)
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    return model


KIND = EncoderKind(
    build=build,
    unloaded=unloaded,
    usual_config=Sizes,
    save_random=save_random,
    read_config=read_config,
    tiny_config=Sizes,
)


class Tanh(nn.Module):
    """An aligner: averages through a linear layer, between bounds."""

    def __init__(
        self, *, encoder_dim: int, llm_dim: int, embedding_rms: float, num_tokens: int
    ) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.linear = nn.Linear(encoder_dim, llm_dim)
        self.largest = embedding_rms

    def forward(self, features: Features) -> Tensor:
        """`[M, F, D_enc]` to `[M, Q, D_llm]`; a fixed Q needs no more than values."""
        values = pool_features(real_values(features), features.mask, self.num_tokens)
        return self.largest * torch.tanh(self.linear(values))
