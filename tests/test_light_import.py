"""A client on a small machine pays for no torch."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "matplotlib", "pandas", "av", "fastapi")


@pytest.mark.parametrize(
    "module", ["anymal", "anymal.client", "anymal.protocol.requests", "anymal.cli.main"]
)
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
