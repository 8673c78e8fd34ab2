"""House rules that no linter checks."""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("encoders", "aligners", "anymal", "train", "server", "tests", "benchmarks")
MAX_LINES = 300
# One idea that is longer than that, up to 400 lines, with the reason.
LONGER: dict[str, str] = {}
NAMELESS = {"utils", "helpers", "common", "misc"}
TEXT = {".py", ".md", ".yaml", ".toml", ".html", ".css", ".js", ".jinja"}


def files(*suffixes: str) -> list[Path]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*")]
    found += [*ROOT.glob("*"), *(ROOT / "docs").rglob("*")]
    return sorted(path for path in found if path.suffix in suffixes)


def test_one_idea_fits_300_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files(".py")
    }
    longer = {path for path, length in lengths.items() if length > MAX_LINES}
    assert longer == set(LONGER), "a file is too long, or is named here and need not be"
    assert all(lengths[path] <= 400 for path in longer)


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


# --- the trees in README and docs ---------------------------------------------------------------

LISTED = ("encoders", "aligners", "anymal", "train", "server", "benchmarks")


def tree(document: str, heading: str) -> set[str]:
    """The paths of the first code block below a heading, folders with a slash at their end."""
    text = (ROOT / document).read_text().split(f"## {heading}\n", 1)[1]
    block = text.split("```\n", 2)[1]
    paths: set[str] = set()
    parents: list[str] = []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r"\s{2,}", line.strip())[0].split()
        parents[depth:] = [names[0]]
        paths |= {"".join(parents[:depth]) + name for name in names}
    return paths


def folders() -> set[str]:
    """Every folder that holds files which are kept, as the trees write it."""
    kept = {
        path.parent
        for package in LISTED
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shown = {path for folder in kept for path in (folder, *folder.parents) if ROOT in path.parents}
    names = {f"{path.relative_to(ROOT)}/" for path in shown}
    # The insides of the built-in model, of recipes and of the page's files are data.
    data = ("anymal/tiny/", "anymal/recipe/known_configs/", "train/recipes/")
    return {name for name in names if not name.startswith(data) or name in data}


@pytest.mark.parametrize(
    ("document", "heading"),
    [("README.md", "What is where"), ("docs/architecture.md", "Floor plan")],
)
def test_the_tree_is_the_house(document: str, heading: str) -> None:
    shown = tree(document, heading)
    missing = {path for path in shown if not (ROOT / path).exists()}
    assert missing == set(), "shown, and not there"
    inside = {path for path in shown if path.startswith(tuple(f"{name}/" for name in LISTED))}
    assert {path for path in inside if path.endswith("/")} == folders()
    at_the_root = {f"anymal/{path.name}" for path in (ROOT / "anymal").glob("*.py")}
    assert at_the_root - shown == {"anymal/__init__.py", "anymal/__main__.py"}


def test_the_weights_of_the_built_in_model_are_in_the_changelog() -> None:
    # Weights change with an entry in the changelog, not with an experiment.
    newest = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1]
    weights = (ROOT / "anymal" / "tiny" / "aligners.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() in newest
