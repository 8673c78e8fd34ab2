"""Who takes part in the comparison on a CPU, as commands; and who cannot, and what to do for that.

Does not run them.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anymal.llm.merge_lora import MERGED_PRECISIONS
from benchmarks.cpu.workloads import WORKLOADS

OURS = {precision: f"this engine, {precision}" for precision in MERGED_PRECISIONS}
"""The name of this project's engine by precision."""
GENERATE, LLAMA = "transformers generate, fp32", "llama.cpp"

_NUM_STREAMS = max(each.num_streams for each in WORKLOADS.values())
_CONTEXT = max(each.num_prompt + each.num_new for each in WORKLOADS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all contenders share.

    Attributes:
        model: Folder of the language model, in Hugging Face's format.
        gguf: The same model for llama.cpp, if there is one.
        precisions: Of this project's engine.
        threads: Of each contender.
        llama_python: Interpreter that has `llama_cpp`; may be another environment's.
    """

    model: Path
    gguf: Path | None
    precisions: Sequence[str]
    threads: int
    llama_python: str = sys.executable


def commands(setting: Setting) -> dict[str, list[str]]:
    """How to run each contender that can run.

    Args:
        setting: What they share.

    Returns:
        Commands by name.
    """
    model, threads = str(setting.model.resolve()), ["--threads", str(setting.threads)]
    context = ["--context", str(_CONTEXT)]
    run = [sys.executable, "-m"]
    found = {
        OURS[each]: [*run, "benchmarks.cpu.engine", model, "--precision", each, *context, *threads]
        for each in setting.precisions
    }
    found[GENERATE] = [*run, "benchmarks.cpu.generate", model, *threads]
    if why_no_llama(setting) is None:
        run = [
            setting.llama_python,
            "-m",
            "benchmarks.cpu.llama",
            str(Path(setting.gguf).resolve()),
        ]
        found[LLAMA] = [*run, "--streams", str(_NUM_STREAMS), *context, *threads]
    return found


def why_no_llama(setting: Setting) -> str | None:
    """Why llama.cpp is left out, and what to do; None where it takes part.

    Args:
        setting: What contenders share.

    Returns:
        A message.
    """
    python = setting.llama_python
    if setting.gguf is None:
        return (
            f"{LLAMA} is left out: it reads only GGUF files. Make one from the same model with its "
            "convert_hf_to_gguf.py and llama-quantize, then: make bench-cpu MODEL=DIR GGUF=FILE"
        )
    if subprocess.run([python, "-c", "import llama_cpp"], capture_output=True).returncode:
        return f"{LLAMA} is left out: it is not installed. {python} -m pip install llama-cpp-python"
    return None
