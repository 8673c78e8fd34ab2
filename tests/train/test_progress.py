import io

import pytest
from rich.console import Console

from anymal.cli.console import plain_console
from train.metrics import StepMetrics
from train.progress import RunProgress


def step(number: int, heldout: float | None = None) -> StepMetrics:
    return StepMetrics(
        stage="align",
        step=number,
        loss=0.25,
        lr=1e-3,
        tokens=10,
        targets=3,
        tokens_per_s=12345.6,
        grad_norm=1.0,
        memory=3 * 2**29,
        heldout_loss=heldout,
    )


def show(*, is_terminal: bool) -> str:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=is_terminal, highlight=False, width=140)
    with RunProgress(console, total_steps=200) as progress:
        progress.skip_to(100)
        for number in range(1, 101):
            progress.step(step(number, heldout=0.5 if number == 7 else None))
    return shown.getvalue()


def test_a_terminal_sees_a_bar_with_all_numbers() -> None:
    shown = show(is_terminal=True)
    for part in (
        "align",
        "200/200",
        "loss 0.2500",
        "12,346 tokens/s",
        "1.5 GiB",
        "held-out loss 0.5",
    ):
        assert part in shown


def test_a_log_file_sees_a_few_lines() -> None:
    lines = show(is_terminal=False).splitlines()
    assert len(lines) == 11  # every tenth step, and the held-out loss
    assert lines[0] == "align step 7: held-out loss 0.5000"
    assert lines[1] == "align step 10: loss 0.2500  12,346 tokens/s  1.5 GiB"


@pytest.mark.parametrize("text", ["[red]not markup[/red]", "weights 7,680/7,680"])
def test_lines_are_shown_as_they_are(text: str) -> None:
    shown = io.StringIO()
    with RunProgress(plain_console(file=shown, width=40), total_steps=1) as progress:
        progress.say(text)
    assert shown.getvalue().strip() == text
