import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from train.pretrain.attention_start import start_attention

WORDS, LENGTH = 200, 30


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=192,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=6,
        attention_bias=True,
        initializer_range=0.06,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).eval()
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.15)
    start_attention(model)
    return model


def attentions(model: LlamaForCausalLM, ids: Tensor) -> tuple[Tensor, ...]:
    """Shares of attention `[heads, S, S]` of each layer."""
    return tuple(layer[0] for layer in model.model(ids, output_attentions=True).attentions)


def list_and_word(asked: int) -> Tensor:
    """A list of different words, and one of them again."""
    listed = torch.randperm(WORDS)[:LENGTH]
    return torch.cat([listed, listed[asked : asked + 1]])[None]


def test_first_layer_looks_one_two_or_three_words_back(model: LlamaForCausalLM) -> None:
    first = attentions(model, torch.randint(WORDS, (1, 60)))[0]
    for head, distance in enumerate((1, 2, 3)):
        shares = [first[head].diagonal(-back)[8:].mean().item() for back in range(6)]
        assert max(range(6), key=shares.__getitem__) == distance
        assert shares[distance] > 0.6


@pytest.mark.parametrize(("head", "distance"), [(0, 1), (1, 2), (2, 3), (3, 0), (4, 0), (5, 0)])
def test_second_layer_finds_what_followed_a_word_or_the_word_itself(
    model: LlamaForCausalLM, head: int, distance: int
) -> None:
    asked = range(4, 20)
    found = [attentions(model, list_and_word(i))[1][head, -1, :LENGTH].argmax() for i in asked]
    hits = [int(where) == i + distance for i, where in zip(asked, found, strict=True)]
    assert sum(hits) / len(hits) > 0.8


def reads_and_writes(model: LlamaForCausalLM, layer: int, head: int) -> tuple[Tensor, Tensor]:
    """The directions that a head reads and writes, unit vectors, `[32, 192]` each."""
    attention, rows = model.model.layers[layer].self_attn, slice(head * 32, (head + 1) * 32)
    written = attention.o_proj.weight[:, rows].T
    return attention.v_proj.weight[rows], written / written.norm(dim=1, keepdim=True)


def test_each_layer_reads_what_the_one_before_noted(model: LlamaForCausalLM) -> None:
    word, _ = reads_and_writes(model, 0, 0)
    (after, what_is_said), (before, _) = (reads_and_writes(model, 2, head) for head in range(2))
    for head in range(3):
        _, seen = reads_and_writes(model, 0, head)
        pairs = [
            (reads_and_writes(model, 1, head), (word, after)),
            (reads_and_writes(model, 1, head + 3), (seen, before)),
        ]
        for found, wanted in pairs:
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(what_is_said, word, atol=1e-4, rtol=0)
    for one, other in [(word, after), (word, before), (after, before)]:
        assert (one @ other.T).abs().max() < 1e-4
