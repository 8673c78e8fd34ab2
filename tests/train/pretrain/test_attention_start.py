import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from train.pretrain.attention_start import start_attention


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).eval()
    start_attention(model)
    return model


def test_first_layer_looks_one_two_or_three_words_back(model: LlamaForCausalLM) -> None:
    ids = torch.randint(300, (1, 60))
    first = model.model(input_ids=ids, output_attentions=True).attentions[0][0]
    for head, distance in enumerate((1, 1, 2, 3)):
        shares = [first[head].diagonal(-back)[8:].mean().item() for back in range(6)]
        assert max(range(6), key=shares.__getitem__) == distance
        assert shares[distance] > 0.7


def test_later_layers_look_for_the_same_word(model: LlamaForCausalLM) -> None:
    attention = model.model.layers[1].self_attn
    words = torch.randn(50, 128)
    heads = (50, 4, 32)
    queries = attention.q_proj(words).view(heads).transpose(0, 1)
    keys = attention.k_proj(words).view(heads).transpose(0, 1)
    found = (queries @ keys.transpose(1, 2)).sum(0).argmax(dim=1)
    assert (found == torch.arange(50)).float().mean() > 0.95


def test_outputs_hand_on_what_values_hold(model: LlamaForCausalLM) -> None:
    attention = model.model.layers[1].self_attn
    words = torch.randn(5, 128)
    handed_on = words @ attention.v_proj.weight.T @ attention.o_proj.weight.T
    torch.testing.assert_close(handed_on, 0.3 * words, atol=1e-4, rtol=1e-4)
