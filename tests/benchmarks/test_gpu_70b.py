"""The GPU benchmark from end to end, on a CPU and a tiny shape."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu_70b
from benchmarks.gpu_memory import attempt

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


def test_all_cases_run_and_trainers_agree(rows: list[dict[str, Any]]) -> None:
    assert [row for row in rows if "out_of_memory" in row] == []
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
    answered = {(row["case"], row["who"]) for row in rows if row["case"] in ("decode", "prefill")}
    assert len(answered) == 4
    searched = [row["samples"] for row in rows if row["case"] == "largest micro-batch"]
    assert searched == [4, 4]


def test_lack_of_memory_is_a_result() -> None:
    def work() -> dict[str, Any]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    found = attempt(work, torch.device("cpu"))
    assert found["out_of_memory"] is True
