"""The client needs httpx and pydantic, and nothing else of what the package depends on.

A virtual environment is built of links to those two, what they need themselves, and `anymal`; in it
a program of its own asks a server of the standard library.
"""

import subprocess
import sysconfig
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROGRAM = Path(__file__).with_name("bare_client.py")


def with_needs(*names: str) -> dict[str, Distribution]:
    """Distributions by name, with all that they cannot do without."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found[name] = distribution(name)
        needs = [Requirement(text) for text in found[name].requires or ()]
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate()]
    return found


def top_level(found: Distribution) -> set[Path]:
    """What a distribution put into the folder of packages."""
    home = Path(str(found.locate_file("")))
    firsts = {file.parts[0] for file in found.files or ()}
    return {home / first for first in firsts if first not in ("..", "__pycache__")}


def test_client_works_with_httpx_and_pydantic_alone(tmp_path: Path) -> None:
    needed = with_needs("httpx", "pydantic")
    assert "numpy" not in needed
    venv.create(tmp_path / "bare", symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    paths = {"base": str(tmp_path / "bare"), "platbase": str(tmp_path / "bare")}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    for one in needed.values():
        for path in top_level(one):
            (packages / path.name).symlink_to(path)
    (packages / "anymal").symlink_to(ROOT / "anymal")
    done = subprocess.run(
        [python, "-I", "-W", "error", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "answered"
