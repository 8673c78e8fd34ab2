"""Plans of answering: counted against real tensors, and a 7B model in six gigabytes."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from anymal.cli.main import app
from anymal.llm.load import load_llm, without_progress
from anymal.llm.merge_lora import MERGED_PRECISIONS, merge
from anymal.plan.language_model import read_language_model
from anymal.plan.serving import merged_bytes
from tests.tiny import save_llm

GB = 1e9


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("precision", MERGED_PRECISIONS)
@pytest.mark.parametrize("is_tied", [True, False])
def test_what_is_held_is_what_was_planned(tmp_path: Path, precision: str, is_tied: bool) -> None:
    with without_progress():
        save_llm(tmp_path, tie_word_embeddings=is_tied, hidden_size=48, intermediate_size=100)
        sizes = read_language_model(str(tmp_path))
    merged = merge(load_llm(str(tmp_path), precision="fp32"), precision=precision)
    held = {tensor.data_ptr(): tensor.nbytes for tensor in merged.model.state_dict().values()}
    assert merged_bytes(sizes, precision) == sum(held.values())


def write(folder: Path, encoder: str, llm: str) -> str:
    recipe: dict[str, Any] = {
        "run_dir": "run",
        "model": {
            "llm": {"path": llm, "template": "llama2"},
            "modalities": {"image": {"encoder": {"kind": "vision", "path": encoder}}},
        },
        "stages": [
            {
                "name": "align",
                "kind": "align",
                "data": [{"manifest": "none.jsonl"}],
                "steps": 1,
                "batch_size": 1,
                "lr": 1e-4,
            }
        ],
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    return str(path)


def test_a_model_of_seven_billion_answers_in_six_gigabytes(
    checkpoints: SimpleNamespace, tmp_path: Path
) -> None:
    path = write(tmp_path, str(checkpoints.vision), "meta-llama/Llama-2-7b-chat-hf")
    result = CliRunner().invoke(app, ["plan", path, "--serve", "int4", "--memory", "6GB", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    # 6.476 billion weights of 5 bits, and 2 times 131 million words of 8.
    assert told["parts"]["llm"] == pytest.approx(6.476e9 * 5 / 8 + 262e6, rel=0.005)
    assert told["planned_bytes"] < 6 * GB
    result = CliRunner().invoke(app, ["plan", path, "--serve", "int8", "--memory", "6GB"])
    assert result.exit_code == 1
    assert "answering at int8 takes 7.3 GB of 6.0 GB; try --serve int4" in str(result.exception)
    result = CliRunner().invoke(app, ["plan", path, "--serve", "int4", "--memory", "4GB"])
    assert "of 4.0 GB; use a smaller model.llm.path" in str(result.exception)
