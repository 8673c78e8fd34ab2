import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from encoders.fingerprint import module_digest, plain_settings
from encoders.registry import build_encoder
from encoders.vision_read import ReadTokens

Find = Callable[[str], str]


def copy_of(path: str, folder: Path) -> Path:
    return Path(shutil.copytree(path, folder / "copy"))


def change_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("kind", ["whisper", "ast", "clap", "imu_transformer", "imu2clip"])
def test_weights_change_it(checkpoint: Find, tmp_path: Path, kind: str) -> None:
    path = copy_of(checkpoint(kind), tmp_path)
    file = path / "model.safetensors"
    weights = load_file(file)
    kernels = [name for name in weights if "decoder" not in name and name.endswith("weight")]
    name = next(name for name in kernels if weights[name].ndim > 2)
    weights[name].view(-1)[0] += 1e-6
    save_file(weights, file, metadata={"format": "pt"})
    changed = build_encoder(kind, str(path)).fingerprint
    assert changed != build_encoder(kind, checkpoint(kind)).fingerprint


@pytest.mark.parametrize(
    ("kind", "name", "changes"),
    [
        ("vision", "clip", {"image_mean": [0.1, 0.2, 0.3]}),
        ("vision", "resnet", {"crop_pct": 0.5}),
        ("videomae", "videomae", {"do_normalize": False}),
        ("ast", "ast", {"mean": 0.0}),
        ("clap", "clap", {"truncation": "fusion"}),
        ("whisper", "whisper", {"n_fft": 512}),
    ],
)
def test_preprocessing_changes_it(
    checkpoint: Find, tmp_path: Path, kind: str, name: str, changes: dict[str, Any]
) -> None:
    path = copy_of(checkpoint(name), tmp_path)
    change_json(path / "preprocessor_config.json", **changes)
    changed = build_encoder(kind, str(path)).fingerprint
    assert changed != build_encoder(kind, checkpoint(name)).fingerprint


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("vision", "clip", {"size": 48}),
        ("frames", "clip", {"num_frames": 3}),
        ("whisper", "whisper", {"window_s": 0.5}),
        ("imu_transformer", "imu_transformer", {"hop_s": 0.5}),
        ("vision", "clip", {"layer": -1}),
        ("vision", "clip", {"pool": 2}),
        ("vision", "clip", {"drop_cls": False}),
        ("vision", "clip", {"layer": [-2, -1]}),
        ("vision", "clip", {"post_norm": True}),
        ("vision", "clip", {"projected": True}),
        ("vision", "clip", {"unit": True}),
        ("vision", "clip", {"order": "blocks"}),
        ("vision", "clip", {"order": "blocks", "block_size": 4}),
        ("vision", "clip", {"layer": None, "pooled": True}),
        ("videomae", "videomae", {"layer": 1}),
    ],
)
def test_options_change_it(checkpoint: Find, kind: str, name: str, options: dict[str, Any]) -> None:
    path = checkpoint(name)
    assert build_encoder(kind, path, **options).fingerprint != build_encoder(kind, path).fingerprint


def test_options_that_came_later_are_left_out_unless_used() -> None:
    plain = ReadTokens(layer=-2, drop_cls=True, pool=None)
    assert plain_settings(plain) == {"type": "ReadTokens", "layer": -2, "drop_cls": True}
    assert plain_settings(replace(plain, unit=True)) == plain_settings(plain) | {"unit": True}


def test_place_and_provenance_do_not_change_it(checkpoint: Find, tmp_path: Path) -> None:
    path = copy_of(checkpoint("clip"), tmp_path)
    change_json(path / "config.json", transformers_version="4.0.0", _name_or_path="elsewhere")
    moved = build_encoder("vision", str(path)).fingerprint
    assert moved == build_encoder("vision", checkpoint("clip")).fingerprint


def test_it_is_of_the_checkpoint_not_of_the_copy_in_memory(checkpoint: Find) -> None:
    encoder = build_encoder("vision", checkpoint("clip"))
    assert isinstance(encoder, torch.nn.Module)
    before = encoder.fingerprint
    assert encoder.to(torch.bfloat16).fingerprint == before  # type: ignore[union-attr]


@dataclass(frozen=True)
class Sizes:
    """Options of a module."""

    widths: tuple[int, ...]


class Chosen(torch.nn.Module):
    """A module that has no weights and prints no options."""

    def __init__(self, option: Any) -> None:
        super().__init__()
        self.option = option


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        ((1, 2), (2, 1)),
        ([1, None], [1, 0]),
        ({"rate": 1}, {"rate": 2}),
        (Sizes((1, 2)), Sizes((1, 3))),
    ],
)
def test_a_modules_options_change_its_digest(one: Any, other: Any) -> None:
    assert module_digest(Chosen(one)) != module_digest(Chosen(other))
    assert module_digest(Chosen(one)) == module_digest(Chosen(one))


def test_what_is_no_option_does_not_change_a_modules_digest() -> None:
    assert module_digest(Chosen([object()])) == module_digest(Chosen([object()]))
