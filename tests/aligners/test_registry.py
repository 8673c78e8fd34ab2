import pytest

from aligners.base import AlignerError
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
    ],
)
def test_mistake_is_named(kind: str, options: dict[str, int], words: list[str]) -> None:
    with pytest.raises(AlignerError) as error:
        build_aligner(kind, **SIZES, **options)
    for word in words:
        assert word in str(error.value)
