"""Contenders in processes of their own: turns over pipes, and one that ends."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.cpu.process import started
from benchmarks.cpu.worker import Answered

ANSWERS = """
from benchmarks.cpu.worker import Answered, work

def make():
    print("a library's greeting", flush=True)
    return lambda prompts, n: [Answered(moments=[0.5] * n, ids=[sum(p)] * n) for p in prompts]

work(make)
"""
ENDS = "import sys; sys.exit('no such model')"


def test_turns_go_to_the_process_and_back(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "stub.log"
    command = [sys.executable, "-c", ANSWERS]
    with started(command, log=log, environment=os.environ) as contender:
        for total in (3, 30):
            assert contender.answer([[total], [1, 1]], 2) == [
                Answered(moments=[0.5, 0.5], ids=[total, total]),
                Answered(moments=[0.5, 0.5], ids=[2, 2]),
            ]
        assert contender.memory_mb() > 0
    assert contender.process.poll() is not None
    assert log.read_text() == "a library's greeting\n"


def test_a_process_that_ends_is_reported_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDS]
    with (
        pytest.raises(RuntimeError, match="no such model"),
        started(command, log=tmp_path / "log", environment=os.environ),
    ):
        pass
