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


# Tests and benchmarks are not installed, so their folders need not be packages.
@pytest.mark.parametrize("package", [one for one in PACKAGES if one not in ("tests", "benchmarks")])
def test_every_folder_of_code_is_a_package(package: str) -> None:
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert folders, f"no code in {package}"
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
