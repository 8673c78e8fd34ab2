from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file

from anymal.recipe.schema import load_recipe
from tests.tiny import save_llm
from train.metrics import read_metrics
from train.run import run

SHORT = ("stages.align.steps=2", "stages.align.warmup_steps=0", "stages.instruct.steps=2")


@pytest.mark.parametrize("precision", ["nf4", "fp32"])
def test_another_llm_trains_without_any_change_of_code(
    tmp_path: Path, write_recipe: Callable[[Path], Path], precision: str
) -> None:
    corpus = ["Quite different words. " * 8]
    other = save_llm(tmp_path / "other", corpus=corpus, vocab_size=400, hidden_size=32)
    recipe = write_recipe(tmp_path / "run")
    swapped = recipe.with_name(f"{precision}-{recipe.name}")
    swapped.write_text(
        recipe.read_text()
        .replace("path: llm", f"path: {other}")
        .replace("precision: fp32", f"precision: {precision}")
    )
    for text, run_dir in ((recipe, "first"), (swapped, "second")):
        settings = load_recipe(text, [*SHORT, f"run_dir={tmp_path / run_dir}"])
        run(settings, resume=False, console=Console(file=StringIO()))
    widths = []
    for name in ("first", "second"):
        assert len(read_metrics(tmp_path / name / "metrics.jsonl")) == 4
        tensors = load_file(tmp_path / name / "bundle" / "aligners.safetensors")
        widths.append(tensors["image.project_out.weight"].shape[0])
    assert widths == [64, 32]
