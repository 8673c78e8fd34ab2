"""House rules that no linter checks."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("encoders", "aligners", "anymal", "train", "server", "tests", "benchmarks")
MAX_LINES = 300
NAMELESS = {"utils", "helpers", "common", "misc"}
TEXT = {".py", ".md", ".yaml", ".toml", ".html", ".css", ".js"}


def files(*suffixes: str) -> list[Path]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*")]
    found += [*ROOT.glob("*"), *(ROOT / "docs").rglob("*")]
    return sorted(path for path in found if path.suffix in suffixes)


def test_one_idea_fits_300_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in files(".py")}
    assert {str(path): length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_a_file_is_named_for_its_idea() -> None:
    assert [str(path) for path in files(".py") if path.stem in NAMELESS] == []


def test_text_is_ascii() -> None:
    assert [str(path) for path in files(*TEXT) if not path.read_bytes().isascii()] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_code_is_a_package(package: str) -> None:
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    needed = {folder for folder in folders if package not in ("tests", "benchmarks")}
    assert [str(folder) for folder in needed if not (folder / "__init__.py").exists()] == []
