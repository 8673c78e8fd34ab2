"""A bundle that is loaded to answer, and the weights that are kept of it."""

from pathlib import Path

import torch

from anymal.bundle import weight_cache
from anymal.bundle.load import load_bundle

_WORDS = torch.arange(9) * 7


def scores(bundle: Path, precision: str = "fp32") -> torch.Tensor:
    """Logits of some words, of a bundle that is loaded to answer."""
    llm = load_bundle(bundle, precision=precision, merge_lora=True).model.llm
    places = torch.arange(len(_WORDS))[None]
    with torch.no_grad():
        return llm.head(llm.decode(llm.embed(_WORDS)[None], positions=places)[0])


def kept() -> list[Path]:
    """The files of kept weights."""
    return [each.path for each in weight_cache.kept_files()]
