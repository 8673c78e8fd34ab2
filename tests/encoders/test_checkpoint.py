import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ViTModel

from encoders.base import EncoderError, stack_inputs
from encoders.checkpoint import load_checkpoint
from encoders.outline import outline
from encoders.registry import build_encoder
from encoders.signals import Signal

Find = Callable[[str], str]


def test_missing_weight_is_refused(checkpoint: Find, tmp_path: Path) -> None:
    model = ViTModel.from_pretrained(checkpoint("vit"))
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    del weights["layernorm.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"lacks 1 weights of ViTModel.*'layernorm\.weight'"):
        load_checkpoint(ViTModel, str(tmp_path))


@pytest.mark.parametrize(("kind", "name"), [("vision", "vit"), ("whisper", "whisper")])
@pytest.mark.parametrize("num_bytes", [0, 100, 9000])
def test_cut_weights_are_one_clear_error(
    checkpoint: Find, tmp_path: Path, kind: str, name: str, num_bytes: int
) -> None:
    path = Path(shutil.copytree(checkpoint(name), tmp_path / name))
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:num_bytes])
    with pytest.raises(EncoderError, match=f"{name}' cannot be read as .* of encoder '{kind}'"):
        build_encoder(kind, str(path))


@pytest.mark.parametrize("change", [{"model_type": "alien"}, {"model_type": None}])
def test_foreign_configuration_is_one_clear_error(
    checkpoint: Find, tmp_path: Path, change: dict[str, str | None]
) -> None:
    path = Path(shutil.copytree(checkpoint("vit"), tmp_path / "vit"))
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | change))
    for read in (
        lambda: build_encoder("vision", str(path)),
        lambda: outline("vision", None, str(path)),
    ):
        with pytest.raises(EncoderError, match=r"vit' cannot be read as .*; give the") as error:
            read()
        assert "\n" not in str(error.value)


def test_weights_of_other_sizes_are_one_clear_error(checkpoint: Find, tmp_path: Path) -> None:
    path = Path(shutil.copytree(checkpoint("vit"), tmp_path / "vit"))
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"intermediate_size": 26}))
    with pytest.raises(EncoderError, match="vit' cannot be read as"):
        build_encoder("vision", str(path))


def test_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="nowhere' cannot be read as"):
        build_encoder("vision", str(tmp_path / "nowhere"))


def test_half_precision_checkpoint_loads_in_float32(checkpoint: Find, tmp_path: Path) -> None:
    ViTModel.from_pretrained(checkpoint("vit")).to(torch.float16).save_pretrained(tmp_path)
    model = load_checkpoint(ViTModel, str(tmp_path)).model
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_encoder_runs_in_the_dtype_it_is_moved_to(
    checkpoint: Find, signals: Callable[[str], list[Signal]]
) -> None:
    encoder = build_encoder("vision", checkpoint("vit"))
    assert isinstance(encoder, torch.nn.Module)
    encoder.to(torch.bfloat16)
    inputs = stack_inputs([encoder.preprocessor(signal) for signal in signals("vision")])
    assert encoder(inputs).values.dtype == torch.bfloat16
