"""The graft benchmark's table says what stayed, and how far LoRA moved the rest."""

from io import StringIO

from rich.console import Console

from benchmarks.graft import as_table


def test_table_shows_shares_and_the_interval() -> None:
    whole = {"identical": 50, "questions": 50, "different_answers": 40}
    change = {"mean": -0.26, "low": -0.38, "high": -0.14}
    row = {"same_words": 37, "same_words_before": 50, "questions": 50, "change": change}
    shown = Console(file=StringIO(), width=120)
    shown.print(as_table({"without_lora": {"nf4": whole}, "with_lora": row}))
    assert isinstance(shown.file, StringIO)
    text = shown.file.getvalue()
    for cell in ("nf4, no LoRA", "50 of 50, bit for bit", "37 of 50", "-26 (-38 to -14) %"):
        assert cell in text
