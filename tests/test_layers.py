"""Imports run one way: encoders, aligners <- anymal <- train, server."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "encoders": ("encoders",),
    "aligners": ("aligners", "encoders.base", "encoders.plugins"),
    "anymal": ("anymal", "encoders", "aligners"),
    "train": ("train", "anymal", "encoders", "aligners"),
    "server": ("server", "anymal", "encoders", "aligners"),
}
SOLE_IMPORTER = {"bitsandbytes": "anymal/llm/load.py", "peft": "anymal/llm/load.py"}


def imported_names(source: str) -> set[str]:
    """Every module named by an import statement, wherever it stands in the file."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            # `from encoders import base` imports encoders.base, so both readings count.
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def is_inside(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def wrong_arrows(package: str, source: str) -> set[str]:
    ours = {name for name in imported_names(source) if is_inside(name, tuple(ALLOWED))}
    return {name for name in ours if not is_inside(name, ALLOWED[package])}


def python_files(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_run_one_way(package: str) -> None:
    files = python_files(package)
    assert files, f"{package} holds no code"
    wrong = {
        str(path.relative_to(ROOT)): names
        for path in files
        if (names := wrong_arrows(package, path.read_text()))
    }
    assert not wrong


@pytest.mark.parametrize("module", SOLE_IMPORTER)
def test_one_file_imports(module: str) -> None:
    importers = {
        str(path.relative_to(ROOT))
        for path in python_files(*ALLOWED)
        if any(is_inside(name, (module,)) for name in imported_names(path.read_text()))
    }
    assert importers == {SOLE_IMPORTER[module]}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("encoders", "import anymal"),
        ("encoders", "from aligners.base import Aligner"),
        ("aligners", "from encoders import vision"),
        ("aligners", "def late():\n    import anymal.errors"),
        ("anymal", "from train import loop"),
        ("server", "import train.cli"),
    ],
)
def test_wrong_arrow_is_seen(package: str, source: str) -> None:
    assert wrong_arrows(package, source)


def test_right_arrow_is_allowed() -> None:
    assert not wrong_arrows("aligners", "from encoders.base import Features")
    assert not wrong_arrows("train", "from anymal.model import AnyMAL\nimport torch")
