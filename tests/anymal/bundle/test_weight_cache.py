"""The folder of kept weights holds no more than it may, and forgets what was used least."""

import os
import stat
from pathlib import Path

import pytest

from anymal.bundle import weight_cache
from anymal.errors import BundleError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def put(name: str, *, size: int, used: float) -> Path:
    path = weight_cache.file_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (used, used))
    return path


def names() -> list[str]:
    return [kept.path.stem for kept in weight_cache.kept_files()]


def test_what_was_used_least_recently_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weight_cache.VARIABLE, "100")
    old = put("old", size=40, used=1)
    put("newer", size=30, used=2)
    put("newest", size=30, used=3)
    weight_cache.note_use(old)
    assert names() == ["newer", "newest", "old"]
    assert weight_cache.make_room(50)
    assert names() == ["old"]


def test_nothing_goes_for_what_never_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weight_cache.VARIABLE, "100")
    put("old", size=40, used=1)
    assert not weight_cache.make_room(101)
    assert names() == ["old"]


def test_leftovers_of_killed_writers_go_and_running_writers_stay() -> None:
    path = put("kept", size=1, used=1)
    left, running = (path.with_name(f".{name}.writing") for name in ("left", "running"))
    left.write_bytes(b"1")
    running.write_bytes(b"1")
    os.utime(left, (1, 1))
    assert weight_cache.make_room(1)
    assert sorted(each.name for each in path.parent.iterdir()) == [running.name, path.name]


def test_clear_removes_all() -> None:
    put("one", size=3, used=1)
    put("two", size=4, used=1)
    assert weight_cache.clear() == 7
    assert names() == []


def test_a_folder_that_is_not_there_is_empty() -> None:
    assert weight_cache.kept_files() == []
    assert weight_cache.clear() == 0


def test_a_folder_of_its_user_alone_is_made_and_accepted() -> None:
    assert weight_cache.make_room(1)
    assert stat.S_IMODE(weight_cache.weights_folder().stat().st_mode) == 0o700
    weight_cache.check_own()


def test_a_folder_that_is_open_to_all_is_refused() -> None:
    weight_cache.make_room(1)
    weight_cache.weights_folder().chmod(0o1777)
    for refuse in (weight_cache.check_own, lambda: weight_cache.make_room(1)):
        with pytest.raises(PermissionError, match="others can put files into"):
            refuse()


def test_a_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    weight_cache.make_room(1)
    if os.getuid() == 0:
        os.chown(weight_cache.weights_folder(), 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError, match="others can put files into"):
        weight_cache.check_own()


def test_what_is_no_number_of_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weight_cache.VARIABLE, "much")
    with pytest.raises(BundleError, match="give a number of bytes, or 0"):
        weight_cache.most_bytes()
