"""Bundles to a Hub that is a folder, and back by huggingface_hub's own reading of its cache."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
from typer.testing import CliRunner

from anymal.bundle.load import describe, load_bundle
from anymal.bundle.manifest import bundle_folder
from anymal.cli.main import app
from anymal.errors import BundleError
from anymal.serving.assistant import name_of

NAME = "someone/squares"


class FolderHub:
    """Repositories in the layout of the Hub's cache: blobs, links to them, and names of commits."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: list[tuple[str, bool]] = []

    def _repo(self, repo: str) -> Path:
        return self.root / f"models--{repo.replace('/', '--')}"

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        self.made.append((repo, private))
        for name in ("blobs", "refs", "snapshots/0"):
            (self._repo(repo) / name).mkdir(parents=True, exist_ok=True)
        if not (self._repo(repo) / "refs" / "main").exists():
            (self._repo(repo) / "refs" / "main").write_text("0")
            (self._repo(repo) / "snapshots" / "0" / ".gitattributes").write_text("*.bin lfs")

    def create_branch(self, repo: str, *, branch: str, exist_ok: bool) -> None:
        assert exist_ok
        refs = self._repo(repo) / "refs"
        if not (refs / branch).exists():
            shutil.copy(refs / "main", refs / branch)

    def _commit(self, repo: str, revision: str | None) -> Path:
        refs = self._repo(repo) / "refs"
        return self._repo(repo) / "snapshots" / (refs / (revision or "main")).read_text()

    def list_repo_files(self, repo: str, *, revision: str | None) -> list[str]:
        folder = self._commit(repo, revision)
        return [str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir()]

    def create_commit(
        self, repo: str, operations: list[Any], *, commit_message: str, revision: str | None
    ) -> SimpleNamespace:
        before = self._commit(repo, revision)
        sha = hashlib.sha1(f"{before}{len(operations)}".encode()).hexdigest()
        after = shutil.copytree(before, before.with_name(sha), symlinks=True)
        for operation in operations:
            place = after / operation.path_in_repo
            place.unlink(missing_ok=True)
            if isinstance(operation, CommitOperationDelete):
                continue
            assert isinstance(operation, CommitOperationAdd)
            with operation.as_file() as file:
                data = file.read()
            blob = self._repo(repo) / "blobs" / hashlib.sha256(data).hexdigest()
            blob.write_bytes(data)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(blob)
        (self._repo(repo) / "refs" / (revision or "main")).write_text(sha)
        return SimpleNamespace(commit_url=f"https://hub/{repo}/commit/{sha}")


@pytest.fixture(name="hub")
def _hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderHub:
    hub = FolderHub(tmp_path / "hub")
    monkeypatch.setattr("anymal.bundle.share.HfApi", lambda: hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return hub


def anymal(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_a_bundle_comes_back_byte_for_byte(bundle: Path, hub: FolderHub, tmp_path: Path) -> None:
    out = tmp_path / "pulled"
    done = anymal("bundle", "push", f"{NAME}@v1", "--bundle", bundle, "--allow-hub")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{NAME}@v1: https://hub/{NAME}/commit/")
    assert hub.made == [(NAME, True)]  # private, unless told otherwise
    done = anymal("bundle", "pull", f"{NAME}@v1", "--out", out)
    assert done.stdout == f"bundle: {out}\n"
    card = files_of(out).pop("README.md")
    pulled = {name: data for name, data in files_of(out).items() if data != card}
    assert pulled.pop(".gitattributes") == b"*.bin lfs"
    assert pulled == files_of(bundle)
    assert not any(file.is_symlink() for file in out.rglob("*"))
    assert load_bundle(out).model


def test_a_name_of_the_hub_is_taken_for_a_bundle(
    bundle: Path, hub: FolderHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    anymal("bundle", "push", f"{NAME}@v1", "--bundle", bundle, "--allow-hub")
    there, here = load_bundle(f"{NAME}@v1"), load_bundle(bundle)
    ours, theirs = there.model.trainable_state(), here.model.trainable_state()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert name_of(f"{NAME}@v1") == "squares@v1"
    monkeypatch.chdir(bundle.parent)
    folder = Path("someone") / "squares"
    folder.mkdir(parents=True)  # a folder of that name comes first
    with pytest.raises(BundleError, match="is not a bundle folder"):
        bundle_folder(NAME)


def test_a_second_push_leaves_nothing_of_the_first(
    bundle: Path, hub: FolderHub, tmp_path: Path
) -> None:
    shutil.rmtree(bundle / "lora")
    push = ("bundle", "push", NAME, "--bundle", bundle, "--allow-hub", "--public")
    (bundle / "notes.txt").write_text("of the first")
    assert anymal(*push).exit_code == 0
    (bundle / "notes.txt").unlink()
    (bundle / "README.md").write_text("# our own card")
    assert anymal(*push, "--licence", "MIT").exit_code == 0
    assert hub.made == [(NAME, False)] * 2
    found = files_of(bundle_folder(NAME))
    assert found.pop(".gitattributes")
    assert found == files_of(bundle)


def test_the_card_tells_licence_base_models_and_data(
    bundle: Path, hub: FolderHub, tmp_path: Path
) -> None:
    path = bundle / "bundle.json"
    values = json.loads(path.read_text())
    values["llm"]["path"] = values["recipe"]["llm"]["path"] = "meta/llm"
    values["recipe"]["modalities"]["imu"]["encoder"]["path"] = str(tmp_path / "mine")
    source = {"name": "walks|runs", "origin": "walks.jsonl", "licence": "CC-BY-4.0", "records": 7}
    values["data_sources"] = [source | {"stage": "align"}, source | {"stage": "instruct"}]
    score = {"accuracy": 0.75, "n": 8}
    values["results"] = {
        "tasks": [{"name": "steps", "score": score, "controls": {"blank": {"accuracy": 0.25}}}]
    }
    path.write_text(json.dumps(values))
    done = anymal("bundle", "push", NAME, "--bundle", bundle, "--allow-hub", "--licence", "MIT")
    assert done.stderr.startswith(f"not in it: {tmp_path / 'mine'}, which only this machine has")
    _, head, body = (bundle_folder(NAME) / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head) == {
        **{"license": "mit", "library_name": "anymal", "pipeline_tag": "any-to-any"},
        "tags": ["anymal", "image", "imu"],
        "base_model": ["meta/llm"],
        "data_sources": [{"name": "walks|runs", "licence": "CC-BY-4.0"}],
    }
    assert r"| walks\|runs | CC-BY-4.0 | 7 | instruct |" in body
    assert "| steps | 75.0 | 8 | 25.0 |" in body
    assert f"--bundle {NAME} --allow-hub" in body
    assert str(tmp_path) not in body


def test_the_hub_is_left_alone_unless_allowed(
    bundle: Path, hub: FolderHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = anymal("bundle", "push", NAME, "--bundle", bundle)
    assert "allow that with --allow-hub" in str(done.exception)
    assert hub.made == []
    at = f"{NAME}@v1"
    for words in (("show", at), ("pull", at, "--out", tmp_path / "out")):
        told = str(anymal("bundle", *words).exception)
        assert f"download it (hf download {NAME} --revision v1), or allow that with" in told
        assert "--allow-hub (ANYMAL_ALLOW_HUB=1)" in told
    asked: list[dict[str, Any]] = []

    def download(repo: str, **options: Any) -> str:
        asked.append({"repo": repo, **options})
        return str(bundle)

    monkeypatch.setattr("anymal.recipe.hub.snapshot_download", download)
    assert describe(f"{NAME}@0a1b", allow_hub=True)
    (once,) = asked
    assert (once["repo"], once["revision"], once["local_files_only"]) == (NAME, "0a1b", False)
    assert not any(pattern.endswith((".bin", ".pt", "*")) for pattern in once["allow_patterns"])


def test_a_file_of_the_cache_may_not_lead_out_of_it(
    bundle: Path, hub: FolderHub, tmp_path: Path
) -> None:
    anymal("bundle", "push", NAME, "--bundle", bundle, "--allow-hub")
    (tmp_path / "secret.json").write_text("{}")
    (bundle_folder(NAME) / "llm" / "more.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(BundleError, match="a link that leads out"):
        bundle_folder(NAME)


@pytest.mark.parametrize(
    "name", ["squares", "a/b/c", "someone/", "../squares", "a/b@", "a--b/c", f"a/{'b' * 300}"]
)
def test_what_is_no_name_is_refused(name: str, bundle: Path) -> None:
    done = anymal("bundle", "push", name, "--bundle", bundle, "--allow-hub")
    assert "write ORG/NAME or ORG/NAME@REV" in str(done.exception)


def test_a_licence_that_is_no_name_is_refused(bundle: Path, hub: FolderHub) -> None:
    words = ("--bundle", bundle, "--licence", "free for all", "--allow-hub")
    done = anymal("bundle", "push", NAME, *words)
    assert isinstance(done.exception, BundleError)
    assert "'free for all' is no SPDX name" in str(done.exception)
    assert hub.made == []


def test_a_hub_that_cannot_be_reached_is_said(
    bundle: Path, hub: FolderHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*words: object, **options: object) -> None:
        raise HTTPError("no connection\nmore")

    monkeypatch.setattr(hub, "create_repo", unreachable)
    done = anymal("bundle", "push", NAME, "--bundle", bundle, "--allow-hub")
    assert isinstance(done.exception, BundleError)
    assert "(no connection); log in" in str(done.exception)
    monkeypatch.setattr("anymal.recipe.hub.snapshot_download", unreachable)
    with pytest.raises(BundleError, match=r"may read it \(no connection\)"):
        describe(NAME, allow_hub=True)
