"""Prompts beside attention are what PEFT's AdaptionPrompt computes, media added to them."""

import pytest
import torch
from peft import AdaptionPromptConfig, get_peft_model
from torch import Tensor
from transformers import LlamaForCausalLM

from anymal.errors import DataError, RecipeError
from anymal.llm.packing import allow_packing
from anymal.sample import Sample
from anymal.side.prefix import Prefix
from anymal.side.sizes import DecoderSizes
from tests.anymal.side.models import (
    HEADS,
    LAYERS,
    WIDTH,
    beside,
    llama,
    logits,
    open_gates,
    sample,
    samples,
)

PROMPTS, ADAPTED = 6, 3
DECODER = DecoderSizes(
    num_layers=LAYERS, hidden_dim=WIDTH, num_heads=HEADS, head_dim=WIDTH // HEADS
)


def prefix(gate: str = "per_layer") -> Prefix:
    torch.manual_seed(2)
    side = Prefix(sizes=DECODER, num_tokens=PROMPTS, layers=ADAPTED, gate=gate)  # type: ignore[arg-type]
    open_gates(side)
    return side


@torch.no_grad()
def theirs(model: LlamaForCausalLM, side: Prefix, given: Sample) -> Tensor:
    """Logits of PEFT's, whose gate is one number for each layer and has no tanh."""
    config = AdaptionPromptConfig(
        adapter_len=PROMPTS,
        adapter_layers=ADAPTED,
        target_modules="self_attn",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config).eval()
    said = sum(
        (item.tensors["value"][0] for item in given.media.get("image", [])), torch.zeros(1, WIDTH)
    )
    for name, own in side.layers.items():
        attention = adapted.base_model.model.model.layers[int(name)].self_attn
        attention.adaption_prompt.copy_((own.prompts + said)[None])
        attention.adaption_gate.copy_(own.gate.tanh())
    out: Tensor = adapted(input_ids=given.ids[None]).logits[0]
    adapted.base_model.disable_adapter_layers()
    return out


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("num_tokens", [1, PROMPTS])
@pytest.mark.parametrize("heads_that_answer", [HEADS, HEADS // 2])
def test_logits_are_those_of_peft_alone_side_by_side_and_packed(
    num_tokens: int, heads_that_answer: int
) -> None:
    side = prefix()
    chosen = samples(WIDTH, num_tokens)
    changes = {"num_key_value_heads": heads_that_answer}
    wanted = [theirs(llama(**changes), side, each) for each in chosen]
    model = beside(llama(**changes), side)
    allow_packing(model.llm)
    together = logits(model, chosen)
    packed = logits(model, chosen, is_packed=True)
    for number, each in enumerate(chosen):
        size = float(wanted[number].abs().max())
        for own in (logits(model, [each])[0], together[number], packed[number]):
            assert float((own - wanted[number]).abs().max()) < 1e-5 * size, number


def test_one_prompt_adds_its_value_times_the_gate() -> None:
    torch.manual_seed(2)
    side = Prefix(sizes=DECODER, num_tokens=1, layers=1)
    open_gates(side)
    model = llama()
    attention = model.model.layers[-1].self_attn
    own = side.layers[str(LAYERS - 1)]
    value = attention.v_proj(own.prompts).view(HEADS, -1)
    seen: list[Tensor] = []
    attention.o_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    given = sample([5, 9, 7], {})
    logits(beside(model, side), [given])
    logits(beside(model, None), [given])
    with_prompt, without = (each for each in seen if each.shape[1] == 3)
    wanted = (own.gate.tanh()[:, None] * value).flatten()
    torch.testing.assert_close(with_prompt - without, wanted.expand(1, 3, -1), atol=1e-6, rtol=1e-5)


def test_media_that_are_no_prompts_are_refused() -> None:
    model = beside(llama(), prefix())
    with pytest.raises(DataError, match="each takes 1 soft token or 6"):
        logits(model, [sample([5, 9], {1: torch.zeros(4, WIDTH)})])


def test_more_layers_than_there_are_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"model.side.layers is 5, but the language model has 4"):
        Prefix(sizes=DECODER, layers=5)


def test_layers_without_keys_of_their_own_are_refused() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=1, n_positions=8))
    side = Prefix(sizes=DecoderSizes(num_layers=1, hidden_dim=8, num_heads=1, head_dim=8))
    with pytest.raises(RecipeError, match="k_proj and v_proj, which GPT2Block"):
        side.check(list(model.transformer.h))
