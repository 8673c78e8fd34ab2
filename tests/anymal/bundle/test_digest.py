from pathlib import Path

import pytest

from anymal.bundle import digest
from anymal.bundle.digest import bundle_digest
from anymal.errors import BundleError


@pytest.fixture(autouse=True)
def any_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "bundle_folder", Path)


def bundle(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    first = bundle(tmp_path / "a", manifest="{}", llm_weights="1")
    copy = bundle(tmp_path / "b", llm_weights="1", manifest="{}")
    assert bundle_digest(first) == bundle_digest(copy)
    others = [
        bundle(tmp_path / "c", manifest="{}", llm_weights="2"),
        bundle(tmp_path / "d", manifest="{}", lora_weights="1"),
        bundle(tmp_path / "e", manifest="{}"),
    ]
    assert len({bundle_digest(folder) for folder in (first, *others)}) == 4


def test_a_folder_without_a_manifest_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with pytest.raises(BundleError, match="not a bundle folder"):
        bundle_digest(tmp_path)
