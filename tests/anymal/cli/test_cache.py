"""`anymal cache` says where weights are kept, lists them and removes them."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from anymal.bundle.weight_cache import file_of
from anymal.bundle.weight_file import write_tensors
from anymal.cli.main import app


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def said(*words: str) -> str:
    result = CliRunner().invoke(app, ["cache", *words])
    assert result.exit_code == 0, result.output
    return result.output


def test_where_list_and_clear(tmp_path: Path) -> None:
    assert said() == f"{tmp_path}/anymal/serving-weights: 0 files, 0.0 MiB of 8,192.0 MiB\n"
    path = file_of("a")
    path.parent.mkdir(parents=True)
    write_tensors(path, {"w": torch.zeros(2**18)}, {"precision": "int8", "model": "/models/one"})
    file_of("b").write_bytes(b"damaged")
    assert "2 files, 1.0 MiB" in said()
    listed = said("list").splitlines()
    assert len(listed) == 2
    assert any("1.0 MiB" in line and line.endswith("int8  /models/one") for line in listed)
    assert any("cannot be read" in line for line in listed)
    assert said("clear") == "removed 1.0 MiB\n"
    assert said("list") == ""
