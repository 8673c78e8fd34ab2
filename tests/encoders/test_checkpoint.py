from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ViTModel

from encoders.base import EncoderError, stack_inputs
from encoders.checkpoint import load_checkpoint
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
