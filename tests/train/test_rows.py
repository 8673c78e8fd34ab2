"""What a run says about its rows before it trains on them."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from anymal.errors import DataError, RecipeError
from anymal.recipe.schema import load_recipe
from train.errors import TrainingError
from train.metrics import read_metrics
from train.run import run

WriteRecipe = Callable[[Path], Path]


def row(answer: str = "Red.", *, image: str | None = None) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What is it?"}]
    if image is not None:
        parts.insert(0, {"type": "image_url", "image_url": {"url": image}})
    return {
        "messages": [
            {"role": "user", "content": parts},
            {"role": "assistant", "content": answer},
        ]
    }


@pytest.fixture
def align(workshop: Path, write_recipe: WriteRecipe, tmp_path: Path) -> Callable[..., str]:
    """Trains the first stage on some rows, beside the pictures; returns what was shown."""

    def train(*rows: dict[str, Any], checks_rows: bool = True, **changes: Any) -> str:
        manifest = workshop / "squares" / f"{tmp_path.name}.jsonl"
        manifest.write_text("".join(f"{json.dumps(each)}\n" for each in rows))
        overrides = {"stages.align.steps": 4, "stages.align.heldout": "null", **changes}
        whole = load_recipe(
            write_recipe(tmp_path / "run"),
            [
                f"stages.align.data=[{{manifest: {manifest}}}]",
                *(f"{key}={value}" for key, value in overrides.items()),
            ],
        )
        alone = whole.model_copy(update={"stages": whole.stages[:1]})
        shown = io.StringIO()
        console = Console(file=shown, width=300)
        run(alone, resume=False, console=console, checks_rows=checks_rows)
        return shown.getvalue()

    return train


def num_steps(folder: Path) -> int:
    path = folder / "run" / "metrics.jsonl"
    return len(read_metrics(path)) if path.exists() else 0


def test_words_alone_cannot_align(align: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="stage align trains nothing: none of the 16 samples"):
        align(row(), row("Blue."))
    assert not (tmp_path / "run" / "bundle").exists()


def test_empty_answers_are_counted(align: Callable[..., str]) -> None:
    shown = align(row("", image="0.png"), row(" ", image="1.png"), row(image="2.png"))
    assert "2 of 3 rows have an answer without words" in shown


def test_a_broken_or_long_row_shows_before_the_first_step(
    align: Callable[..., str], workshop: Path, tmp_path: Path
) -> None:
    whole = (workshop / "squares" / "0.png").read_bytes()
    (workshop / "squares" / "cut.png").write_bytes(whole[:-20])
    long = row("Red. " * 300, image="1.png")
    rows = [row(image="0.png"), row(image="cut.png"), row(image="1.png"), long]
    with pytest.raises(DataError, match=r"2 of 4 rows cannot be used.*:2: .*:4: "):
        align(*rows)
    assert num_steps(tmp_path) == 0


def test_bad_rows_are_left_out_under_a_limit(align: Callable[..., str], tmp_path: Path) -> None:
    rows = [row(image="0.png"), row("Red. " * 300, image="1.png"), row(image="2.png")]
    assert "left out 1 of 3 rows (max_bad is 1):" in align(*rows, max_bad=1)
    assert num_steps(tmp_path) == 4


def test_without_the_check_nothing_is_left_out(align: Callable[..., str], tmp_path: Path) -> None:
    rows = [row(image="0.png"), row("Red. " * 300, image="1.png")]
    with pytest.raises(RecipeError, match="without --no-check, or set max_bad=0"):
        align(*rows, checks_rows=False, max_bad=1)
    with pytest.raises(DataError, match=r":2: .*takes \d+ tokens"):
        align(*rows, checks_rows=False)
