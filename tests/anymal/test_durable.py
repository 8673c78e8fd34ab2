"""Files and folders are replaced whole, and only once their content is on disk."""

import os
from pathlib import Path

import pytest

from anymal import durable
from anymal.durable import LEFTOVERS, write_file, write_folder


@pytest.fixture(name="events")
def _events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is flushed and renamed, in order, by name."""
    events: list[tuple[str, str]] = []
    replace = os.replace

    def spy(source: Path, target: Path) -> None:
        events.append(("rename", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(durable, "flush", lambda path: events.append(("flush", path.name)))
    monkeypatch.setattr(os, "replace", spy)
    return events


def test_a_file_is_on_disk_before_it_takes_its_place(
    tmp_path: Path, events: list[tuple[str, str]]
) -> None:
    path = tmp_path / "one"
    path.write_bytes(b"old")
    with write_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
        [draft] = tmp_path.glob(LEFTOVERS)
    assert path.read_bytes() == b"new"
    assert events == [("flush", draft.name), ("rename", "one"), ("flush", tmp_path.name)]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_file_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "one"
    path.write_bytes(b"old")

    def fail() -> None:
        with write_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    with write_file(tmp_path / "keys", mode=0o600) as file:
        [draft] = tmp_path.iterdir()
        assert draft.stat().st_mode & 0o777 == 0o600
        file.write(b"secret")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600


def test_two_may_replace_a_file_at_the_same_time(tmp_path: Path) -> None:
    with write_file(tmp_path / "one") as slow:
        slow.write(b"slow")
        with write_file(tmp_path / "one") as fast:
            fast.write(b"fast")
        assert (tmp_path / "one").read_bytes() == b"fast"
    assert (tmp_path / "one").read_bytes() == b"slow"


def test_a_folder_is_on_disk_before_it_takes_its_place(
    tmp_path: Path, events: list[tuple[str, str]]
) -> None:
    path = tmp_path / "new" / "one"
    with write_folder(path) as draft:
        (draft / "inner").mkdir()
        (draft / "inner" / "file").write_text("text")
        assert not path.exists()
    assert (path / "inner" / "file").read_text() == "text"
    at = events.index(("rename", "one"))
    assert set(events[:at]) == {("flush", name) for name in ("inner", "file", draft.name)}
    assert events[at + 1 :] == [("flush", "new")]


def test_a_folder_is_replaced_and_nothing_of_the_old_one_stays(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with write_folder(tmp_path / "one") as draft:
            (draft / name).write_text(name)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["one", "one/new"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_folder_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    with write_folder(tmp_path / "one") as draft:
        (draft / "file").write_text("old")

    def fail() -> None:
        with write_folder(tmp_path / "one") as draft:
            (draft / "file").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one" / "file").read_text() == "old"


def test_what_a_killed_process_left_is_not_mixed_in(tmp_path: Path) -> None:
    for leftover in (".one.writing", ".one.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "stale").write_text("half")
    with write_folder(tmp_path / "one") as draft:
        (draft / "file").write_text("whole")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["one", "one/file"]


def test_a_folder_that_was_set_aside_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one"
    path.mkdir()
    (path / "file").write_text("old")
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        if Path(source).name.endswith(".writing"):
            raise OSError("no room")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no room"), write_folder(path):
        pass
    assert [inner.name for inner in tmp_path.iterdir()] == ["one"]
    assert (path / "file").read_text() == "old"


def test_a_process_that_died_between_two_renames_lost_nothing(tmp_path: Path) -> None:
    (tmp_path / ".one.old").mkdir()
    (tmp_path / ".one.old" / "file").write_text("old")
    with pytest.raises(KeyboardInterrupt), write_folder(tmp_path / "one"):
        raise KeyboardInterrupt
    assert (tmp_path / "one" / "file").read_text() == "old"
