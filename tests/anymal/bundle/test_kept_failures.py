"""Weights that cannot be kept or used are made at each start, and the log says why."""

import errno
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from anymal.bundle import kept_weights, weight_cache
from anymal.bundle.weight_file import read_facts, read_tensors, write_tensors
from tests.anymal.bundle.kept import kept, scores

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(name="bundle")
def _bundle(nf4_bundle: Path) -> Path:
    return nf4_bundle


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def corrupt(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 4
    path.write_bytes(whole)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def of_others(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path)


def without_a_fact(path: Path) -> None:
    facts = read_facts(path)
    del facts["embeddings"]
    write_tensors(path, read_tensors(path), facts)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncate, corrupt, empty, of_others, without_a_fact, a_folder])
def test_a_damaged_file_is_made_again_and_the_log_says_why(
    bundle: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    made = scores(bundle)
    (path,) = kept()
    damage(path)
    assert torch.equal(scores(bundle), made)
    said = [each.message for each in caplog.records if "made again" in each.message]
    assert len(said) == 1
    assert str(path) in said[0]
    if damage is not a_folder:
        caplog.clear()
        assert torch.equal(scores(bundle), made)
        assert not caplog.records


def test_weights_under_the_name_of_others_are_not_used(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = scores(bundle)
    (first,) = kept()
    scores(bundle, "bf16")
    (second,) = set(kept()) - {first}
    shutil.copyfile(second, first)
    assert torch.equal(scores(bundle), made)
    assert "was made from other files" in caplog.text


def test_full_disk_is_reported_and_answers_are_the_same(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("anymal.durable.flush", full)
        made = scores(bundle)
    said = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "No space left" in said[0]
    assert list(weight_cache.weights_folder().iterdir()) == []
    assert torch.equal(scores(bundle), made)


def test_a_home_that_cannot_be_written_is_reported(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = scores(bundle)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert torch.equal(scores(bundle), made)
    said = [each.message for each in caplog.records if "are not kept" in each.message]
    assert len(said) == 1


def test_weights_in_a_folder_that_is_open_to_all_are_not_used(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = scores(bundle)
    weight_cache.weights_folder().chmod(0o777)
    assert torch.equal(scores(bundle), made)
    said = [each.message for each in caplog.records if "others can put files" in each.message]
    assert ["are made again" in each for each in said] == [True, False]  # and not kept either


def test_a_bundle_that_is_only_read(bundle: Path, no_checkpoint: Callable[[], None]) -> None:
    def state() -> list[Any]:
        stats = [(path, path.stat()) for path in sorted(bundle.rglob("*"))]
        return [(str(path), stat.st_mode, stat.st_mtime_ns) for path, stat in stats]

    for path in (bundle, *bundle.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state()  # which root could change all the same
    made = scores(bundle)
    no_checkpoint()
    assert torch.equal(scores(bundle), made)
    assert state() == before


def test_what_is_over_the_bound_is_reported(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(weight_cache.VARIABLE, "1000")
    scores(bundle)
    assert kept() == []
    assert f"{weight_cache.VARIABLE} allows 1,000" in caplog.text


def test_what_changed_while_it_was_read_is_not_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    digests = iter(("a" * 64, "b" * 64))
    monkeypatch.setattr(kept_weights, "_digest", lambda *_: next(digests))
    scores(bundle)
    assert kept() == []
    assert "changed while it was read" in caplog.text


def test_0_bytes_switch_it_off(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scores(bundle)
    (path,) = kept()
    empty(path)  # which would be reported
    monkeypatch.setenv(weight_cache.VARIABLE, "0")
    assert torch.equal(scores(bundle), made)
    assert path.stat().st_size == 0
