"""Turns on a CPU: the engine answers as `generate` does; rates and ratios by hand."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.cpu.contenders import GENERATE, LLAMA, OURS
from benchmarks.cpu.engine import by_engine
from benchmarks.cpu.generate import by_generate
from benchmarks.cpu.rounds import last_line, side_by_side, summary
from benchmarks.cpu.worker import Answer, Answered
from benchmarks.cpu.workloads import WORKLOADS, Workload, decode_rate, prefill_rate, throughput
from tests.tiny import VOCABULARY, save_llm

SMALL = {
    "decode_1": Workload(num_streams=1, num_prompt=5, num_new=6, rate=decode_rate),
    "prefill": Workload(num_streams=1, num_prompt=20, num_new=2, rate=prefill_rate),
    "throughput_8": Workload(num_streams=3, num_prompt=5, num_new=4, rate=throughput),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llm(tmp_path_factory.mktemp("model"))


def stub(prompts: Sequence[Sequence[int]], num_new: int) -> list[Answered]:
    """Says the length of its prompt, four tokens a second."""
    return [
        Answered(moments=[0.25 * (1 + at) for at in range(num_new)], ids=[len(ids)] * num_new)
        for ids in prompts
    ]


def test_the_engine_and_generate_say_the_same_and_a_stub_keeps_its_pace(model: Path) -> None:
    engine, running = by_engine(str(model), precision="fp32", context=64)
    answers: dict[str, Answer] = {
        OURS["fp32"]: engine,
        GENERATE: by_generate(str(model)),
        LLAMA: stub,
    }
    contenders = {name: SimpleNamespace(answer=answer) for name, answer in answers.items()}
    with closing(running):
        *_, rows = side_by_side(
            contenders, vocab_size=VOCABULARY, rounds=2, seconds=60, workloads=SMALL
        )
        prompts = SMALL["throughput_8"].prompts(VOCABULARY, seed="again")
        said, expected = (answers[name](prompts, 8) for name in (OURS["fp32"], GENERATE))
    assert [each.ids for each in said] == [each.ids for each in expected]
    assert all(len(each.moments) == 8 for each in (*said, *expected))
    assert len(rows) == 2 * 3 * 3
    found = summary(rows)["contenders"]
    assert found[GENERATE]["begins_as_fp32"] == "10 of 10"
    assert found[LLAMA] == {
        "decode_1": 4.0,
        "prefill": 80.0,  # 20 tokens in a quarter of a second
        "throughput_8": 12.0,
        "begins_as_fp32": found[LLAMA]["begins_as_fp32"],
    }


def test_rates_count_what_their_names_say() -> None:
    one = Answered(moments=[0.5, 0.6, 0.7], ids=[1, 2, 3])
    two = Answered(moments=[0.5, 1.0], ids=[1, 2])
    assert decode_rate([[0] * 10], [one]) == pytest.approx(10)
    assert prefill_rate([[0] * 10], [one]) == pytest.approx(20)
    assert throughput([[0], [0]], [one, two]) == pytest.approx(5)


def test_no_two_prompts_of_a_run_are_alike() -> None:
    drawn = (w.prompts(VOCABULARY, seed=f"{n} {r}") for n, w in WORKLOADS.items() for r in range(3))
    prompts = [tuple(ids[:16]) for turn in drawn for ids in turn]
    assert len(set(prompts)) == len(prompts)


def rows_of(**rates: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Rows in which every figure has the same rates, one a round, and first tokens differ."""
    names = {"fp32": OURS["fp32"], "bf16": OURS["bf16"], "llama": LLAMA, "generate": GENERATE}
    for name, values in rates.items():
        for number, rate, figure in zip(count(1), values, WORKLOADS, strict=False):
            yield from (
                {
                    "round": number,
                    "figure": figure,
                    "contender": names[name],
                    "tokens_per_s": rate,
                    "first_ids": [number if name != "llama" else 1],
                    "probe_ms": 1.0,
                }
                for figure in WORKLOADS
            )


def test_ratios_are_of_medians_of_the_precision_that_decodes_fastest() -> None:
    rows = list(rows_of(fp32=(1, 10, 11), bf16=(30, 5, 31), llama=(60, 59, 1), generate=(8, 9, 3)))
    found = summary(rows)
    assert found["contenders"][OURS["fp32"]]["decode_1"] == 10
    assert found["contenders"][LLAMA]["begins_as_fp32"] == "3 of 9"
    assert last_line(found) == {
        "precision": "bf16",
        "decode_1_vs_today_fp32": 3.0,
        "decode_1_vs_llama_cpp": 0.508,
        "throughput_8_vs_llama_cpp": 0.508,
        "prefill_vs_llama_cpp": 0.508,
        "decode_1_vs_generate": 3.75,
    }


def test_ratios_to_who_did_not_take_part_are_left_empty() -> None:
    line = last_line(summary(list(rows_of(bf16=(1, 2, 3), generate=(1, 2, 3)))))
    assert line["decode_1_vs_generate"] == 1
    assert line["decode_1_vs_today_fp32"] is None
    assert line["decode_1_vs_llama_cpp"] is None
