"""`anymal data pairs` from answers with scores to records that a stage takes."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anymal.cli import main
from anymal.errors import DataError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main.app, ["data", "pairs", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def bpo(tmp_path: Path) -> Path:
    given = [("A cat.", 2), ("A dog.", 1), ("Fog.", 1)]
    row: dict[str, Any] = {
        "id": "a",
        "image": "a.png",
        "prompt": "<image>\nWhat is there?",
        "completions": [{"response": text, "score": score} for text, score in given],
    }
    path = tmp_path / "bpo.json"
    path.write_text(json.dumps([row]))
    return path


def test_three_scores_become_two_pairs(bpo: Path) -> None:
    out = bpo.parent / "out"
    told = run(str(bpo), "--format", "bpo", "--rule", "unequal", "--out", str(out))
    assert "2 pairs of 1 record" in told
    assert "manifest.jsonl, media: " in told.replace("\n", "")
    lines = (out / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["rejected"] for line in lines] == ["A dog.", "Fog."]


def test_what_makes_no_pair_is_told(bpo: Path) -> None:
    out = str(bpo.parent / "out")
    with pytest.raises(DataError, match="unknown rule 'none'; known: unequal, "):
        run(str(bpo), "--format", "bpo", "--rule", "none", "--out", out)
    with pytest.raises(DataError, match="threshold makes no pair of 1 record"):
        run(str(bpo), "--format", "bpo", "--rule", "threshold", "--out", out)
