"""LLaMA-Adapter V2 (A19 of the methods), as its recipe builds it.

Works when: its two stages train weights that have none in common and are all that it declares;
zero biases leave logits as they were. The prefix is in `test_llama_adapter.py`, the queries and
blocks in `tests/aligners`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anymal.collate import collate
from anymal.recipe.trains import rules_of
from tests.systems.beside import RED, bare_logits, logits, read, small

BIASED = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def test_its_stages_train_what_it_declares_and_begin_as_the_model_is(
    tmp_path: Path, talk: Callable[..., dict[str, Any]]
) -> None:
    assembled, recipe = small("llama_adapter_v2", tmp_path), read("llama_adapter_v2")
    model = assembled.model.float()
    sample = assembled.processor(talk("What colour is it?", "Red.", images=[RED]))
    trained = []
    for stage in recipe.stages:
        model.set_trainable([rule.what for rule in rules_of(stage, recipe.model)])
        trained.append({name for name, p in model.named_parameters() if p.requires_grad})
    own = [name for name, _ in model.named_parameters()]
    assert trained[0] == {name for name in own if name.startswith(("aligners.", "side."))}
    norms = {name for name in own if name.startswith("llm.") and "norm" in name}
    layers = range(model.llm.model.config.num_hidden_layers)
    biases = {f"llm.model.model.layers.{i}.{name}.bias" for i in layers for name in BIASED}
    assert len(norms) == 2 * len(layers) + 1
    assert trained[1] == norms | biases
    found = dict(model.named_parameters())
    assert not any(found[name].any() for name in biases)
    # The gates of the side are zero too, so all of it is the language model as it was.
    torch.testing.assert_close(logits(assembled, [sample])[0], bare_logits(assembled, sample))
    loss: Any = model.loss(collate([sample], pad_id=0)).total
    loss.backward()
    assert [name for name in trained[1] if not _has_gradient(found[name])] == []
    assert [name for name in own if _has_gradient(found[name]) and name not in trained[1]] == []


def _has_gradient(parameter: nn.Parameter) -> bool:
    return parameter.grad is not None and bool(parameter.grad.any())
