"""Where a bundle may be written, and when it is in force."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from anymal.bundle.join import join_bundles
from anymal.bundle.load import describe
from anymal.bundle.save import save_bundle
from anymal.errors import BundleError

if TYPE_CHECKING:
    from anymal.assemble import Assembled


def test_a_folder_with_other_things_is_refused(assembled: "Assembled", tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(BundleError, match="holds something that is not a bundle"):
        save_bundle(assembled, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("out", ["notes.txt", "notes.txt/bundle"])
def test_a_file_in_its_place_is_refused(assembled: "Assembled", tmp_path: Path, out: str) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(BundleError, match=r"notes\.txt' is not a folder; give another"):
        save_bundle(assembled, tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_joining_refuses_a_file_before_it_reads_anything(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(BundleError, match=r"notes\.txt' is not a folder"):
        join_bundles(["not there", "nor this"], tmp_path / "notes.txt")


def test_the_folder_one_stands_in_may_be_it(
    assembled: "Assembled", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert save_bundle(assembled, Path(".")) == tmp_path / "here"
    assert set(describe(tmp_path / "here").modalities) == {"image", "imu"}


def test_all_of_it_is_on_disk_before_it_is_in_force(
    assembled: "Assembled", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, Path]] = []
    replace = os.replace

    def spy(source: Path, target: Path) -> None:
        events.append(("renamed", Path(target)))
        replace(source, target)

    monkeypatch.setattr("anymal.durable.flush", lambda path: events.append(("flushed", path)))
    monkeypatch.setattr(os, "replace", spy)
    folder = save_bundle(assembled, tmp_path / "one")
    draft = tmp_path / ".one.writing"
    at = events.index(("renamed", folder))
    written = {draft, *(draft / path.relative_to(folder) for path in folder.rglob("*"))}
    assert written == {path for _, path in events[:at]}
    assert events[at + 1 :] == [("flushed", tmp_path)]
