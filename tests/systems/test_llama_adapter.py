"""LLaMA-Adapter (A18 of the methods), as its recipe builds it.

Works when: at first the logits are the bare language model's exactly; only prompts, gates and the
projection of pictures train; a text without pictures reads the prompts too. Parity with
`peft.AdaptionPrompt`, and one prompt's term, are in `tests/anymal/side`.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from anymal.assemble import Assembled
from tests.systems.beside import (
    BLUE,
    RED,
    bare_logits,
    gradients,
    logits,
    open_gates,
    read,
    small,
    trained,
)

Talk = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", name="adapter")
def _adapter(tmp_path_factory: pytest.TempPathFactory) -> Assembled:
    return small("llama_adapter", tmp_path_factory.mktemp("llama_adapter"))


def test_at_first_it_is_the_language_model_and_gates_learn(adapter: Assembled, talk: Talk) -> None:
    samples = [
        adapter.processor(talk("What is it?", "Red.", images=[RED])),
        adapter.processor(talk("What is red?", "A colour.")),
    ]
    for sample in samples:
        assert torch.equal(logits(adapter, [sample])[0], bare_logits(adapter, sample))
    gates = {name for name in trained(adapter) if name.endswith(".gate")}
    assert set(gradients(adapter, samples)) == gates != set()


def test_only_prompts_gates_and_the_projection_train(adapter: Assembled, talk: Talk) -> None:
    kinds = {name.rpartition(".")[2] for name in trained(adapter) if name.startswith("side.")}
    assert kinds == {"prompts", "gate"}
    others = {name for name in trained(adapter) if not name.startswith("side.")}
    assert others == {name for name, _ in adapter.model.named_parameters() if "aligners" in name}
    side = read("llama_adapter").model.side
    assert side is not None
    assert (side.options["num_tokens"], side.options["layers"]) == (10, 30)


def test_every_word_reads_every_picture(adapter: Assembled, talk: Talk) -> None:
    open_gates(adapter)
    samples = [
        adapter.processor(talk("What is it?", "Red.", images=[colour])) for colour in (RED, BLUE)
    ]
    one, other = logits(adapter, samples)
    assert not torch.isclose(one, other).all(dim=-1).any()
