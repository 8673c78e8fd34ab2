"""The GPU benchmark from end to end, on a CPU and a tiny shape."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from anymal.errors import AnymalError
from benchmarks import gpu_70b
from benchmarks.gpu.memory import attempt, pass_of, plan_of, planned_bytes
from benchmarks.gpu.shape import shape_of
from benchmarks.gpu.train import Done

CPU = torch.device("cpu")

# What the plain recipe calls in newer versions of transformers.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    out = tmp_path / "gpu.json"
    command = ["gpu_70b", "--shape", "tiny", "--device", "cpu", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    gpu_70b.main()
    results = json.loads(out.read_text())
    assert results["shape"] == "tiny"
    return list(results["rows"])


@pytest.mark.slow
def test_all_cases_run_and_trainers_agree(rows: list[dict[str, Any]]) -> None:
    assert [row for row in rows if "out_of_memory" in row or "error" in row] == []
    trained = [row for row in rows if row["case"] == "train" and "positions" in row]
    for row in trained:
        same = [
            other
            for other in trained
            if (other["lora"], other["tokens"]) == (row["lora"], row["tokens"])
        ]
        assert {other["who"] for other in same} == {"ours", "transformers + peft"}
        losses = [other["loss"] for other in same]
        assert max(losses) - min(losses) < 2e-3
        assert len({other["positions"] for other in same}) == 1
    assert {row["run"] / row["positions"] for row in trained if row["lora"]} == {1.0}
    shares = {row["who"]: row["run"] / row["positions"] for row in trained if not row["lora"]}
    # 8 of 64 words are the same in every sample; ours reads them once, as it warms up.
    assert shares == {"ours": 0.875, "transformers + peft": 1.0}
    for row in trained:
        assert row["tokens_per_s"] == pytest.approx(row["run"] / row["seconds"], rel=0.01)
    answered = {(row["case"], row["who"]) for row in rows if row["case"] in ("decode", "prompt")}
    assert len(answered) == 4
    searched = [row["samples"] for row in rows if row["case"] == "largest micro-batch"]
    assert searched == [4, 4]


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), {"out_of_memory": True}),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
            {"out_of_memory": True},
        ),
        (RuntimeError("no kernel\nlong story"), {"error": "no kernel"}),
        (AnymalError("the loss is nan"), {"error": "the loss is nan"}),
    ],
)
def test_what_fails_is_the_result_of_its_case(error: Exception, result: dict[str, Any]) -> None:
    def work() -> dict[str, Any]:
        raise error

    found = attempt(work, CPU)
    del found["seconds"]
    assert found == result


def test_mistakes_are_not_results() -> None:
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: {"ratio": 1 / 0}, CPU)


def test_a_gpu_is_named_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert gpu_70b.device_of("cuda") == torch.device("cuda:1")  # a limit of memory needs it
    assert gpu_70b.device_of("cpu") == CPU


def test_what_the_device_takes_for_itself_is_not_compared_with_what_torch_allocates() -> None:
    shape = shape_of("tiny")
    plan = plan_of(shape, torch.device("cuda"), lora=True)
    run = pass_of(shape, 2)
    overhead = plan.held()["overhead"]
    assert overhead > 0
    assert planned_bytes(plan, run) == plan.total(run) - overhead


def searched(monkeypatch: pytest.MonkeyPatch, step: Callable[[int], Done]) -> dict[str, Any]:
    """The first row of a search among at most four samples, with a step that is a fake."""
    trainer = {"ours": lambda *_, **__: step}
    monkeypatch.setattr(gpu_70b, "_TRAINERS", trainer)
    tiny = shape_of("tiny")
    one_layer = LlamaConfig(**(tiny.config.to_dict() | {"num_hidden_layers": 1}))
    shape = dataclasses.replace(tiny, config=one_layer)
    bench: Any = gpu_70b.Bench(shape=shape, device=CPU, base=None)  # type: ignore[arg-type]
    (row,) = gpu_70b.micro_batches(bench)
    return row


def test_the_row_of_a_search_has_the_figures_of_the_best_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def step(number: int) -> Done:
        if number > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Done(loss=float(number), positions=1, run=1)

    row = searched(monkeypatch, step)
    assert (row["samples"], row["loss"]) == (2, 2.0)
    assert "out_of_memory" not in row


def test_a_search_tells_of_an_error_that_is_not_lack_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def step(number: int) -> Done:
        if number > 2:
            raise RuntimeError("no kernel")
        return Done(loss=1.0, positions=1, run=1)

    assert searched(monkeypatch, step)["error"] == "no kernel"
