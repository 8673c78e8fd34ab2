"""Processes that make the same weights at once leave one whole file, which the next one maps."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.anymal.bundle.kept import kept

# Given two files, it makes one and waits for the other before it writes weights.
_START = """
import sys, time
from pathlib import Path
from anymal.bundle import weight_cache
from anymal.bundle.load import load_bundle

bundle, *places = sys.argv[1:]
make_room = weight_cache.make_room

def make_room_together(num_bytes):
    own, other = map(Path, places)
    own.touch()
    while not other.exists():
        time.sleep(0.01)
    return make_room(num_bytes)

weight_cache.make_room = make_room_together
llm = load_bundle(bundle, precision="int8", merge_lora=True).model.llm
print(sum(float(tensor.double().sum()) for tensor in llm.model.state_dict().values()))
print([name for name in ("bitsandbytes", "peft") if name in sys.modules])
"""


def start(bundle: Path, *places: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _START, *map(str, (bundle, *places))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache")
def test_two_processes_at_once_then_one_that_needs_no_bitsandbytes(
    nf4_bundle: Path, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    both = [start(nf4_bundle, one, other), start(nf4_bundle, other, one)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all("not kept" not in errors for _, errors in said)
    assert len(kept()) == 1
    third = start(nf4_bundle)  # which has no places, and would fail if it had to write
    found, _ = third.communicate(timeout=120)
    sums = [out.splitlines()[0] for out, _ in said]
    assert sums[0] == sums[1]
    assert found.splitlines() == [sums[0], "[]"]
