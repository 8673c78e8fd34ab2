"""The Q-Former, compared with transformers' classes of BLIP-2 and InstructBLIP."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import (
    Blip2QFormerConfig,
    Blip2QFormerModel,
    InstructBlipQFormerConfig,
    InstructBlipQFormerModel,
)

from aligners.limits import AlignerError
from aligners.qformer import QFormer
from encoders.base import Features

MakeFeatures = Callable[..., Features]
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 20,
    "encoder_hidden_size": 12,
}
WORDS = ((3, 4, 5), (6,), (7, 8))


def qformer(**options: object) -> QFormer:
    sizes = {"encoder_dim": 12, "llm_dim": 20, "embedding_rms": 0.02, "num_tokens": 4}
    own = {"layers": 3, "width": 16, "num_heads": 2, "mult": 2, "max_words": 20}
    return QFormer(**(sizes | own | options))  # type: ignore[arg-type]


def widened(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


def test_without_words_it_is_blip2s(make_features: MakeFeatures) -> None:
    oracle = widened(Blip2QFormerModel(Blip2QFormerConfig(**SIZES)))
    ours = qformer(norm="layer", start="plain").eval()
    weights = oracle.state_dict()
    for name in [name for name in weights if name.startswith("layernorm.")]:
        weights[f"embeddings.{name}"] = weights.pop(name)
    ours.qformer.load_state_dict(weights)
    features = make_features(3, 10, 12)
    theirs = oracle(
        query_embeds=ours.queries.expand(3, -1, -1),
        encoder_hidden_states=ours.norm(features.values),
        encoder_attention_mask=features.mask.long(),
    ).last_hidden_state
    torch.testing.assert_close(ours(features), ours.project(theirs), atol=1e-5, rtol=1e-5)


def test_with_words_it_is_instructblips(make_features: MakeFeatures) -> None:
    oracle = widened(InstructBlipQFormerModel(InstructBlipQFormerConfig(**SIZES)))
    ours = qformer(vocab_size=50, start="plain").eval()
    ours.qformer.load_state_dict(oracle.state_dict())
    features = replace(make_features(3, 10, 12), words=WORDS)
    made = ours(features)
    for number, words in enumerate(WORDS):  # one by one, without any padding
        kept = features.mask[number]
        theirs = oracle(
            input_ids=torch.tensor([words]),
            query_embeds=ours.queries[None],
            encoder_hidden_states=features.values[number : number + 1, kept],
        ).last_hidden_state[:, :4]
        wanted = ours.project(theirs)[0]
        torch.testing.assert_close(made[number], wanted, atol=1e-5, rtol=1e-5)


def test_another_question_gives_other_soft_tokens(make_features: MakeFeatures) -> None:
    features = make_features(1, 10, 12, has_gaps=False)
    reading, deaf = qformer(vocab_size=50).eval(), qformer().eval()
    one, two = (replace(features, words=(words,)) for words in WORDS[:2])
    assert not torch.allclose(reading(one), reading(two), atol=1e-4)
    assert torch.equal(deaf(one), deaf(two))


def test_a_reader_wants_words(make_features: MakeFeatures) -> None:
    with pytest.raises(AlignerError, match="reads words, and none came"):
        qformer(vocab_size=50)(make_features(2, 10, 12))


@pytest.mark.parametrize("vocab_size", [None, 50])
def test_masked_features_never_matter_and_every_weight_trains(
    make_features: MakeFeatures, vocab_size: int | None
) -> None:
    aligner = qformer(vocab_size=vocab_size, norm="layer")
    features = replace(make_features(3, 10, 12), words=WORDS)
    junk = torch.where(features.mask[..., None], features.values, torch.nan)
    assert torch.equal(aligner(features), aligner(replace(features, values=junk)))
    (aligner(features) * torch.randn(20)).sum().backward()
    # Of the last layer, no query reads what became of the words; of the keys, a bias moves nothing.
    idle = ("layer.2.intermediate.", "layer.2.output.", "key.bias")
    without = {n for n, p in aligner.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name for name in without if not any(part in name for part in idle)} == set()
    if vocab_size is None:
        names = [name for name, _ in aligner.named_parameters()]
        assert not any("intermediate." in name or "word_embeddings" in name for name in names)


def test_it_starts_as_large_as_words_and_drops_in_training_alone(
    make_features: MakeFeatures,
) -> None:
    torch.manual_seed(0)
    qformer(dropout=0.5)
    after = torch.rand(1)
    torch.manual_seed(0)
    qformer()
    assert torch.equal(torch.rand(1), after)
    aligner, features = qformer(dropout=0.5), make_features(8, 10, 12, has_gaps=False)
    assert not torch.equal(aligner(features), aligner(features))
    aligner.eval()
    assert torch.equal(aligner(features), aligner(features))
    assert 0.015 < float(aligner(features).detach().square().mean().sqrt()) < 0.025
