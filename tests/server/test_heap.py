"""Large blocks go back to the system once they are freed, whatever was freed before."""

import os
import subprocess
import sys

import pytest

BLOCK = 8 * 2**20
PROGRAM = f"""
import os
from pathlib import Path
from server.heap import map_large_blocks

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

if not map_large_blocks():
    print("none")
    raise SystemExit
b"x" * {BLOCK + 2**20}  # freed at once, from which glibc learns to keep such blocks
before = held()
blocks = []
for _ in range(20):
    blocks.append(b"x" * {BLOCK})
    blocks.append(bytes(100_000))  # stays, and stands behind it
del blocks[::2]
print(held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_blocks_between_kept_ones_go_back() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    if ended.stdout == "none\n":
        pytest.skip("the C library has no such option")
    assert int(ended.stdout) < 2 * BLOCK
