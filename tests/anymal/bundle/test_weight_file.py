"""Tensors come back from their file as they were, or not at all."""

import errno
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from anymal.bundle.weight_file import DamagedError, read_facts, read_tensors, write_tensors

TABLE = torch.randn(7, 5)
TENSORS = {
    "head": TABLE,
    "table": TABLE,
    "half": torch.randn(3, 3).bfloat16(),
    "codes": torch.randint(0, 255, (5, 3), dtype=torch.uint8),
    "few": torch.tensor([1, -2, 3], dtype=torch.int8),
    "one": torch.tensor(2.5),
    "odd": torch.randn(3),
    "none": torch.empty(0),
    "turned": torch.randn(4, 6).T,
}


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    write_tensors(tmp_path / "kept.safetensors", TENSORS, {"from": ["a", 1]})
    return tmp_path / "kept.safetensors"


def test_tensors_come_back_bit_for_bit(path: Path) -> None:
    found = read_tensors(path)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert read_facts(path) == {"from": ["a", 1]}


def test_tensors_begin_where_kernels_read_whole_vectors(path: Path) -> None:
    assert all(tensor.data_ptr() % 64 == 0 for tensor in read_tensors(path).values())


def test_tensors_of_whole_vectors_are_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = []
    path = tmp_path / "kept.safetensors"
    odd = {"a": torch.zeros(3), "c": torch.zeros(7)}
    write_tensors(path, {"b": torch.zeros(64), "d": torch.zeros(2, 32), **odd}, {})
    monkeypatch.setattr(torch.Tensor, "clone", lambda self: copied.append(self.shape) or self)
    read_tensors(path)
    assert copied == [(7,)]  # it follows the other odd one, which is aligned


def test_a_tensor_with_two_names_is_in_the_file_and_in_memory_once(path: Path) -> None:
    found = read_tensors(path)
    assert found["head"].data_ptr() == found["table"].data_ptr()
    assert len(load_file(path)) == len(TENSORS) - 1


def test_safetensors_reads_the_same(path: Path) -> None:
    for name, tensor in load_file(path).items():
        assert torch.equal(tensor, TENSORS[name])


def test_every_byte_of_the_tensors_is_checked(path: Path) -> None:
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in range(start, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedError, match="has changed since it was written"):
            read_tensors(path)


def test_every_byte_of_the_header_is_checked(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(8 + int.from_bytes(whole[:8], "little")):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedError):
            read_tensors(path)


def test_pages_in_another_order_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "kept.safetensors"
    write_tensors(path, {"table": torch.randn(4, 1024)}, {})  # a page to a row
    whole = path.read_bytes()
    start = len(whole) - 4 * 4096
    pages = [whole[place : place + 4096] for place in range(start, len(whole), 4096)]
    path.write_bytes(whole[:start] + pages[0] + pages[2] + pages[1] + pages[3])
    with pytest.raises(DamagedError, match="table has changed since it was written"):
        read_tensors(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file_is_refused(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DamagedError):
        read_tensors(path)


def test_a_file_of_another_writer_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"head": TABLE}, tmp_path / "other.safetensors")
    for read in (read_facts, read_tensors):
        with pytest.raises(DamagedError):
            read(tmp_path / "other.safetensors")


def test_full_disk_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr("anymal.durable.flush", full)
    with pytest.raises(OSError, match="No space left"):
        write_tensors(path, {"head": TABLE + 1}, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_several_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.safetensors"
    table = torch.randn(500, 500)
    writers = [
        threading.Thread(target=write_tensors, args=(path, {"table": table}, {"writer": number}))
        for number in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert torch.equal(read_tensors(path)["table"], table)
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_keeps_what_it_mapped_when_the_file_is_removed(path: Path) -> None:
    found = read_tensors(path)
    path.unlink()
    assert torch.equal(found["head"], TABLE)
