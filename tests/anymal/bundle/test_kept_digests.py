"""A file that has changed has another digest, hashed whole or in pieces."""

import os
from pathlib import Path

import pytest
import torch

from anymal.bundle import kept_weights
from tests.tiny import save_llm


@pytest.mark.usefixtures("large")
def test_a_write_to_a_large_file_is_seen_even_with_its_time_put_back(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(50_000))
    before, facts = path.stat(), kept_weights._of_file(path)
    assert kept_weights._of_file(path) == facts
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # which goes on in ticks
        with path.open("r+b") as file:
            file.seek(20_000)  # in none of the two pieces
            file.write(b"1")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kept_weights._of_file(path) != facts


@pytest.mark.usefixtures("large")
def test_other_weights_with_equal_times_differ_in_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_weights, "_PIECES", 5)
    facts = []
    path = tmp_path / "large.bin"
    for seed in (0, 1):
        torch.manual_seed(seed)
        path.write_bytes(torch.randn(10_000).numpy().tobytes())
        facts.append(kept_weights._of_file(path)[-1])
    assert facts[0] != facts[1]


def test_files_in_folders_inside_count_because_an_index_can_name_them(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    inner = tmp_path / "shards" / "model-00001-of-00001.safetensors"
    for path in (inner, tmp_path / "config.json"):
        path.touch()
    assert kept_weights._files(tmp_path) == [tmp_path / "config.json", inner]


def test_two_checkpoints_of_one_size_are_told_apart(tmp_path: Path) -> None:
    files = [save_llm(tmp_path / str(seed), seed=seed) / "model.safetensors" for seed in (0, 1)]
    assert files[0].stat().st_size == files[1].stat().st_size
    assert kept_weights._of_file(files[0]) != kept_weights._of_file(files[1])
