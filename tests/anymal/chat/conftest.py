"""The tiny model's tokeniser."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer


@pytest.fixture(name="tokenizer")
def _tokenizer(checkpoints: SimpleNamespace) -> Any:
    return AutoTokenizer.from_pretrained(checkpoints.llm)
