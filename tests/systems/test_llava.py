"""LLaVA and LLaVA-1.5 (A4, A5): what an imported model computes and says is what its class does."""

from pathlib import Path

from tests.systems.agreement import check_served, imported
from tests.systems.checkpoints import save_llava


def test_it_is_served_as_its_class_generates(tmp_path: Path) -> None:
    folder = save_llava(tmp_path / "llava")
    imported(folder, tmp_path / "bundle")
    check_served(folder, tmp_path / "bundle")
