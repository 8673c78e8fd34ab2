"""Packed rows compute what the model computes alone, or the model is not run packed."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from anymal.engine.build import build_engine
from anymal.engine.events import Event, Finished, TextDelta
from anymal.engine.prompt import EmbeddingSpan, Prompt, TokenSpan
from anymal.engine.sampling import Sampling
from anymal.errors import EngineError
from anymal.llm.packable import Unpackable, check_same

IdsOf = Callable[[Sequence[Event]], list[int]]


def words(*ids: int) -> Prompt:
    return Prompt(spans=(TokenSpan(ids=ids),))


GEMMA: dict[str, Any] = {"head_dim": 8, "sliding_window": 64, "attn_implementation": "eager"}
PROMPTS = [words(*range(2, 2 + length)) for length in (1, 5, 18, 40)]


def answers(bench: Any, ids_of: IdsOf, runner: Any = None, **options: Any) -> list[list[int]]:
    engine = bench.engine(runner, step_tokens=24, beside_decode=9)
    streams = [engine.submit(each, Sampling(max_tokens=8, **options)) for each in PROMPTS]
    found = [ids_of(list(stream)) for stream in streams]
    engine.close()
    return found


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("qwen2", {"use_sliding_window": False}),
        ("mistral", {"sliding_window": 11}),
        ("qwen3", {"head_dim": 16}),
        ("gpt_neox", {"num_key_value_heads": None}),
        ("cohere", {"logit_scale": 0.5}),
    ],
)
def test_other_architectures_answer_as_transformers_does(
    bench: Any, ids_of: IdsOf, kind: str, changes: dict[str, Any]
) -> None:
    own = bench(kind, **changes)
    assert answers(own, ids_of) == [own.expected(prompt, 8) for prompt in PROMPTS]


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("gemma2", GEMMA, "softcap"),
        ("bloom", {"attn_implementation": "eager"}, "cannot be told positions"),
        ("falcon", {"alibi": True, "new_decoder_architecture": False}, "a mask of its own"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}},
            "longest sequence of a batch",
        ),
    ],
)
def test_model_that_packing_would_get_wrong_is_refused(
    bench: Any, kind: str, changes: dict[str, Any], reason: str
) -> None:
    own = bench(kind, **changes)
    before = own.llm.model.config._attn_implementation
    with pytest.raises(Unpackable, match=reason):
        own.runner()
    assert own.llm.model.config._attn_implementation == before


def test_refused_model_is_served_unpacked_and_the_log_says_so(
    bench: Any, ids_of: IdsOf, caplog: pytest.LogCaptureFixture
) -> None:
    own = bench("gemma2", **GEMMA)
    own.llm.tokenizer.decode = lambda ids, **_: "".join(f"{id_} " for id_ in ids)
    with caplog.at_level(logging.WARNING):
        engine = build_engine(own.llm, stop_ids=[], max_tokens=256)
    assert "not batched" in caplog.text
    assert "softcap" in caplog.text
    streams = [engine.submit(prompt, Sampling(max_tokens=8)) for prompt in PROMPTS]
    assert [ids_of(list(stream)) for stream in streams] == [
        own.expected(prompt, 8) for prompt in PROMPTS
    ]
    engine.close()


def test_runner_that_cannot_pack_gives_the_same_answers(llama: Any, ids_of: IdsOf) -> None:
    assert answers(llama, ids_of, llama.runner(packed=False)) == answers(llama, ids_of)


def test_model_is_what_it_was_outside_a_step(llama: Any) -> None:
    rows = llama.rows(PROMPTS[2])[None]
    padded = torch.cat([torch.zeros_like(rows[:, :4]), rows], dim=1)
    mask = torch.ones(padded.shape[:2], dtype=torch.bool)
    mask[:, :4] = False
    places = torch.arange(rows.shape[1])[None]
    alone = llama.llm.decode(rows, positions=places, cache=None)
    llama.runner()
    shifted = torch.cat([torch.zeros(1, 4, dtype=torch.int64), places], dim=1)
    again = llama.llm.model.base_model(
        inputs_embeds=padded, attention_mask=mask.long(), position_ids=shifted
    ).last_hidden_state
    torch.testing.assert_close(again[:, 4:], alone)


def test_sampled_answers_are_the_same_alone_and_together(llama: Any, ids_of: IdsOf) -> None:
    options: dict[str, Any] = {"temperature": 1.0, "seed": 5, "top_p": 0.9}
    options |= {"presence_penalty": 0.5, "repetition_penalty": 1.2}
    together = answers(llama, ids_of, **options)
    engine = llama.engine()
    alone = [
        ids_of(list(engine.submit(prompt, Sampling(max_tokens=8, **options)))) for prompt in PROMPTS
    ]
    engine.close()
    assert together == alone
    assert together != answers(llama, ids_of, **(options | {"seed": 6}))


def test_answer_ends_at_a_stop_id_unless_told_to_go_on(llama: Any, ids_of: IdsOf) -> None:
    (whole,) = [llama.expected(PROMPTS[1], 8)]
    stop = next(id_ for id_ in whole[1:] if id_ != whole[0])
    engine = llama.engine(llama.runner(stop_ids=[stop]))
    ended = list(engine.submit(PROMPTS[1], Sampling(max_tokens=8)))
    assert ids_of(ended) == whole[: whole.index(stop)]
    assert ended[-1].reason == "stop"
    assert ids_of(list(engine.submit(PROMPTS[1], Sampling(max_tokens=8, ignore_eos=True)))) == whole
    engine.close()


def test_logprobs_are_those_of_the_model(llama: Any) -> None:
    engine = llama.engine()
    first, *_ = engine.submit(PROMPTS[2], Sampling(max_tokens=2, logprobs=3))
    engine.close()
    rows = llama.rows(PROMPTS[2])[None]
    with torch.no_grad():
        expected = llama.llm.model(inputs_embeds=rows).logits[0, -1].log_softmax(dim=-1)
    values, ids = expected.topk(3)
    assert isinstance(first, TextDelta)
    assert [int(token) for token, _, _ in first.logprobs[0].top] == ids.tolist()
    assert [each[2] for each in first.logprobs[0].top] == pytest.approx(values.tolist(), abs=1e-4)
    assert first.logprobs[0].logprob == pytest.approx(float(values[0]), abs=1e-4)


def test_scores_that_are_not_finite_fail_their_own_request_only(llama: Any, ids_of: IdsOf) -> None:
    broken = EmbeddingSpan(
        embeddings=torch.full((20, 32), float("nan")), digest="nan", kind="image"
    )
    engine = llama.engine()
    stream = engine.submit(Prompt(spans=(broken,)), Sampling(max_tokens=3))
    others = [engine.submit(prompt, Sampling(max_tokens=8)) for prompt in PROMPTS]
    with pytest.raises(EngineError, match="not finite"):
        list(stream)
    later = [engine.submit(prompt, Sampling(max_tokens=8)) for prompt in PROMPTS]
    expected = [llama.expected(prompt, 8) for prompt in PROMPTS]
    for streams in (others, later):
        assert [ids_of(list(stream)) for stream in streams] == expected
    engine.close()


@pytest.mark.parametrize(
    ("prompt", "match"),
    [
        (words(3, 61), "id 61; allowed: 0 to 60"),
        (
            Prompt(spans=(EmbeddingSpan(embeddings=torch.zeros(4, 5), digest="0", kind="embeds"),)),
            r"shape \[4, 5\]; allowed: \[positions, 32\]",
        ),
    ],
)
def test_prompt_that_the_model_cannot_read_is_refused(
    llama: Any, prompt: Prompt, match: str
) -> None:
    engine = llama.engine()
    with pytest.raises(EngineError, match=match):
        next(engine.submit(prompt, Sampling()))
    engine.close()


def test_repeated_prompt_is_found_and_answered_alike(llama: Any, ids_of: IdsOf) -> None:
    engine = llama.engine()
    first, again = (list(engine.submit(PROMPTS[3], Sampling(max_tokens=8))) for _ in range(2))
    engine.close()
    assert ids_of(first) == ids_of(again)
    assert isinstance(again[-1], Finished)
    assert again[-1].counts.cached == 32


# --- adapters and quantised weights -------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_unmerged_adapters_and_quantised_weights_answer_as_transformers_does(
    checkpoints: Any, bench_of: Any, ids_of: IdsOf, precision: Any
) -> None:
    from anymal.llm.load import load_llm
    from anymal.llm.lora import LoraOptions

    llm = load_llm(str(checkpoints.llm), precision=precision, lora=LoraOptions(r=4, alpha=64))
    own = bench_of(llm)
    plain = own.runner().root
    for parameter in llm.lora_parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    llm.model.generation_config.eos_token_id = None
    llm.use_lora(True)
    runner = own.runner()
    assert runner.root != plain, "adapters change what keys and values are"
    assert answers(own, ids_of, runner, ignore_eos=True) == [
        own.expected(prompt, 8) for prompt in PROMPTS
    ]


def test_a_word_of_zeros_is_the_same_as_itself_and_as_nothing_else() -> None:
    alone = torch.stack([torch.zeros(4), torch.ones(4)])
    check_same(alone.clone(), alone, is_exact=True)
    for wrong in (torch.ones(2, 4), alone * torch.nan):
        with pytest.raises(Unpackable):
            check_same(wrong, alone, is_exact=True)


def test_rounding_may_move_one_of_the_first_words_far_but_not_most_and_none_later() -> None:
    alone = torch.ones(11, 4)
    one, most, last, lost = (alone.clone() for _ in range(4))
    one[1] *= 2
    most[1:7] *= 2
    last[-1] *= 2
    lost[-1] = torch.nan
    check_same(one, alone, is_exact=False)
    for packed, is_exact in ((one, True), (most, False), (last, False), (lost, False)):
        with pytest.raises(Unpackable):
            check_same(packed, alone, is_exact=is_exact)
