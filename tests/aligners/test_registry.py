from typing import Any

import pytest

from aligners.limits import AlignerError
from aligners.registry import ALIGNERS, build_aligner

SIZES = {"encoder_dim": 8, "llm_dim": 12, "embedding_rms": 0.02}


@pytest.mark.parametrize("kind", ALIGNERS)
def test_every_kind_is_built(kind: str) -> None:
    assert build_aligner(kind, **SIZES, num_tokens=32).num_tokens == 32


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("percever", {}, ["'percever'", "perceiver, linear, mlp"]),
        ("linear", {"depth": 3}, ["'depth'", "'linear'", "known: normalise"]),
        ("perceiver", {"num_tokens": 31}, ["31", "32 to 256"]),
        ("perceiver", {"num_tokens": 257}, ["257", "32 to 256"]),
        ("perceiver", {"depth": 0}, ["depth is 0", "at least 1"]),
        ("perceiver", {"num_heads": 0}, ["num_heads is 0", "at least 1"]),
        ("perceiver", {"head_dim": -8}, ["head_dim is -8", "at least 1"]),
        ("perceiver", {"hidden_dim": 0}, ["hidden_dim is 0", "at least 1"]),
        ("perceiver", {"mult": 0}, ["mult is 0", "at least 1"]),
        ("perceiver", {"num_steps": -1}, ["num_steps is -1", "at least 0"]),
        ("perceiver", {"activation": "silu"}, ["'silu'", "known: gelu, relu"]),
    ],
)
def test_mistake_is_named(kind: str, options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(AlignerError) as error:
        build_aligner(kind, **SIZES, **options)
    for word in words:
        assert word in str(error.value)
