"""LLaMA-Adapter V2 (arXiv 2304.15010), language path: biases and norms, zero at first."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from anymal.assemble import build
from anymal.collate import collate
from tests.anymal.asking import next_logits

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

PHASES = (["aligners.*"], ["llm.norms", "llm.biases"])
BIASED = ["self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


def test_its_phases_train_what_it_declares_and_begin_as_the_model_is(
    model_recipe: "Callable[..., ModelRecipe]", talk: Callable[..., dict[str, Any]]
) -> None:
    plain = model_recipe("image", precision="nf4")
    names = [name.rpartition(".")[2] for name in BIASED]
    torch.manual_seed(0)
    before = build(plain)
    torch.manual_seed(0)
    assembled = build(plain.model_copy(update={"biases": names}))
    record = talk("What colour is it?", images=[(250, 10, 10)])
    with torch.no_grad():  # zero biases change nothing
        ours, theirs = (
            next_logits(each, each.processor(record, generate=True)) for each in (assembled, before)
        )
    assert torch.equal(ours, theirs)
    model, trained = assembled.model, []
    for phase in PHASES:
        model.set_trainable(phase)
        trained.append({name for name, p in model.named_parameters() if p.requires_grad})
    layer = "llm.model.model.layers"
    declared = {f"{layer}.{i}.{name}.bias" for i in range(2) for name in BIASED}
    declared |= {
        f"{layer}.{i}.{norm}.weight"
        for i in range(2)
        for norm in ("input_layernorm", "post_attention_layernorm")
    }
    declared.add("llm.model.model.norm.weight")
    assert trained[1] == declared
    assert trained[0] == {n for n, _ in model.named_parameters() if n.startswith("aligners.")}
    # Gradients pass 4-bit layers into every one of them.
    sample = assembled.processor(talk("What?", "Red.", images=[(250, 10, 10)]))
    loss: Any = model.loss(collate([sample], pad_id=0)).total
    loss.backward()
    parameters: dict[str, Any] = dict(model.named_parameters())
    assert [name for name in declared if not parameters[name].grad.any()] == []
