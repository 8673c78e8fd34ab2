from typing import Any

import pytest
import torch

from aligners.limits import AlignerError
from aligners.registry import ALIGNERS, build_aligner
from encoders.base import Features, Layout

SIZES = {"encoder_dim": 8, "llm_dim": 12, "embedding_rms": 0.02}


@pytest.mark.parametrize("kind", ALIGNERS)
def test_every_kind_is_built(kind: str) -> None:
    options = {"num_heads": 2} if kind in {"joint", "qformer"} else {}
    options |= {"width": 8, "layers": 1} if kind == "qformer" else {}
    assert build_aligner(kind, **SIZES, num_tokens=2, **options).num_tokens == 2


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("percever", {}, ["'percever'", "perceiver, linear, mlp"]),
        ("linear", {"depth": 3}, ["'depth'", "'linear'", "known: normalise"]),
        ("perceiver", {"num_tokens": 0}, ["is 0", "1 to 4096"]),
        ("perceiver", {"num_tokens": 4097}, ["4097", "1 to 4096"]),
        ("perceiver", {"num_tokens": None}, ["null", "'perceiver'", "fixed number: 1 to 4096"]),
        ("expand", {"num_tokens": None}, ["null", "'expand'", "fixed number"]),
        ("mlp", {"num_tokens": 5000}, ["5000", "1 to 4096", "null"]),
        ("perceiver", {"depth": 0}, ["depth is 0", "at least 1"]),
        ("perceiver", {"num_heads": 0}, ["num_heads is 0", "at least 1"]),
        ("perceiver", {"head_dim": -8}, ["head_dim is -8", "at least 1"]),
        ("perceiver", {"hidden_dim": 0}, ["hidden_dim is 0", "at least 1"]),
        ("perceiver", {"hidden_dim": "wide"}, ["'wide'", "a number, llm or null"]),
        ("perceiver", {"mult": -1}, ["mult is -1", "at least 0"]),
        ("perceiver", {"num_steps": -1}, ["num_steps is -1", "at least 0"]),
        ("perceiver", {"activation": "tanh"}, ["'tanh'", "known: gelu, silu, relu"]),
        ("perceiver", {"norm": "batch"}, ["unknown norm", "'batch'", "none, standard, layer, rms"]),
        ("perceiver", {"key_heads": 3}, ["key_heads is 3", "divide num_heads, 8"]),
        ("perceiver", {"project_out": False}, ["width 8", "hidden_dim: llm"]),
        ("perceiver", {"positions": "learnt"}, ["'learnt'", "none, sincos2d"]),
        ("perceiver", {"positions": "sincos2d", "num_tokens": 6}, ["square", "num_tokens is 6"]),
        ("qformer", {"num_heads": 7}, ["num_heads is 7", "divide the width, 768"]),
        ("qformer", {"vocab_size": 0}, ["vocab_size is 0", "at least 1"]),
        ("qformer", {"dropout": 1.0}, ["dropout is 1.0", "less than 1"]),
        ("joint", {"num_heads": 3}, ["num_heads is 3", "divide the width, 8"]),
    ],
)
def test_mistake_is_named(kind: str, options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(AlignerError) as error:
        build_aligner(kind, **SIZES, **options)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_null_is_one_soft_token_for_each_feature(kind: str) -> None:
    aligner: Any = build_aligner(kind, **SIZES, num_tokens=None)
    mask = torch.tensor([[True, False, True], [False, True, False]])
    values = torch.randn(2, 3, 8)
    steps = torch.zeros(2, 3, dtype=torch.int64)
    made = aligner(Features(values=values, mask=mask, steps=steps))
    assert made.counts() == [2, 1]
    assert made.flat().shape == (3, 12)
    alone = aligner(Features(values=values[:1, [0, 2]], mask=mask[:1, [0, 2]], steps=steps[:1, :2]))
    torch.testing.assert_close(made.flat()[:2], alone.flat())
    assert aligner.count(Layout(views=2, before=1, rows=3, columns=4)) == 26
