"""Who takes part: every precision of the engine, and llama.cpp where it can."""

from pathlib import Path

import pytest

from anymal.llm.merge_lora import MERGED_PRECISIONS
from benchmarks.cpu.contenders import GENERATE, LLAMA, OURS, Setting, commands, why_no_llama


def interpreter(folder: Path, status: int) -> str:
    """One that can import llama_cpp, or cannot."""
    script = folder / "python"
    script.write_text(f"#!/bin/sh\nexit {status}\n")
    script.chmod(0o755)
    return str(script)


def setting(folder: Path, *, gguf: Path | None, status: int = 0) -> Setting:
    return Setting(
        model=folder,
        gguf=gguf,
        precisions=MERGED_PRECISIONS,
        threads=1,
        llama_python=interpreter(folder, status),
    )


def test_all_take_part_where_llama_cpp_can(tmp_path: Path) -> None:
    able = setting(tmp_path, gguf=tmp_path / "model.gguf")
    assert why_no_llama(able) is None
    assert list(commands(able)) == [*OURS.values(), GENERATE, LLAMA]
    assert commands(able)[LLAMA][0] == able.llama_python


@pytest.mark.parametrize(
    ("gguf", "status", "advice"),
    [
        (Path("model.gguf"), 1, "python -m pip install llama-cpp-python"),
        (None, 0, "GGUF=FILE"),
    ],
)
def test_llama_cpp_is_left_out_with_the_next_step(
    tmp_path: Path, gguf: Path | None, status: int, advice: str
) -> None:
    unable = setting(tmp_path, gguf=gguf, status=status)
    assert advice in str(why_no_llama(unable))
    assert list(commands(unable)) == [*OURS.values(), GENERATE]
