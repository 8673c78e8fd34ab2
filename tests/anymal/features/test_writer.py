from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from anymal.errors import DataError
from anymal.features import writer as module
from anymal.features.writer import FeatureWriter, as_stored
from encoders.base import Features

ENCODER: Any = SimpleNamespace(fingerprint="ab" * 32, width=4)
KEYS = [f"{number:064x}" for number in range(6)]


def features(value: float, length: int = 2, padding: int = 0) -> Features:
    values = torch.full((1, length + padding, 4), float(value))
    mask = torch.arange(length + padding)[None] < length
    return Features(values=values * mask[..., None], mask=mask, steps=torch.zeros_like(mask).long())


def writer(root: Path) -> FeatureWriter:
    return FeatureWriter(root, modality="image", encoder=ENCODER)


def test_files_go_on_after_those_that_are_there(tmp_path: Path) -> None:
    for first in (0, 3):
        with writer(tmp_path) as opened:
            for number in range(first, first + 3):
                assert KEYS[number] not in opened.store
                opened.add(KEYS[number], features(number), name="x")
    opened = writer(tmp_path)
    assert [path.name for path in sorted(opened.folder.iterdir())] == [
        "00000.safetensors",
        "00001.safetensors",
    ]
    for number, key in enumerate(KEYS):
        assert opened.store.item(key, name="x")[0]["features.values"][0, 0] == number


def test_a_folder_that_nothing_was_written_to_does_not_stay(tmp_path: Path) -> None:
    with writer(tmp_path) as opened:
        assert opened.folder.is_dir()
    assert not opened.folder.exists()


def test_what_is_held_is_written_when_something_else_breaks(tmp_path: Path) -> None:
    def breaks() -> None:
        with writer(tmp_path) as opened:
            opened.add(KEYS[0], features(1), name="x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()
    assert KEYS[0] in writer(tmp_path).store


def test_is_full_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two features of four halves, a mask and a step each; a key and an end.
    monkeypatch.setattr(module, "SHARD_BYTES", 2 * (2 * (8 + 1 + 8) + 32 + 8))
    with writer(tmp_path) as opened:
        opened.add(KEYS[0], features(1), name="x")
        assert not opened.is_full
        opened.add(KEYS[1], features(1), name="x")
        assert opened.is_full
        opened.flush()
        assert not opened.is_full


def test_padding_at_the_end_is_not_stored() -> None:
    stored = as_stored(features(1.5, length=3, padding=5), name="x")
    assert stored.values.shape == (1, 3, 4)
    assert stored.values.dtype == torch.float16
    assert bool(stored.mask.all())
    nothing = as_stored(features(0, length=0, padding=5), name="x")
    assert nothing.mask.tolist() == [[False]]


@pytest.mark.parametrize("value", [70000.0, float("nan"), float("inf")])
def test_what_float16_does_not_hold_is_refused(value: float) -> None:
    given = features(1)
    given.values[0, 1, 2] = value
    with pytest.raises(DataError, match=r"b\.png has a feature of .* float16 holds up to 65504"):
        as_stored(given, name="b.png")


def test_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    with writer(tmp_path) as opened:
        leftover = opened.folder / ".00000.safetensors.1a2b3c4d.writing"
        leftover.write_bytes(b"half")
    with writer(tmp_path):
        assert not leftover.exists()


def test_two_writers_do_not_share_a_folder(tmp_path: Path) -> None:
    with writer(tmp_path):
        with pytest.raises(DataError, match="another `anymal data encode` writes"):
            writer(tmp_path)
        FeatureWriter(tmp_path, modality="audio", encoder=ENCODER)
    writer(tmp_path)


def test_a_full_disk_is_told_before_a_file_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(DataError, match=r"is full.*run the same command"), writer(tmp_path) as own:
        own.add(KEYS[0], features(1), name="x")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose another --out"):
        writer(tmp_path / "file")
