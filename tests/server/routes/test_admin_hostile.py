"""Bundles of strangers that an administrator adds: each is refused, with the reason."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from anymal.recipe.file import TINY
from server.app import create_app
from server.served.models import Backend
from server.settings import Settings

ADMIN = "/admin/bundles"
KEY = {"authorization": "Bearer sesame"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a bundle below `bundles_dir`."""
    return shutil.copytree(TINY, tmp_path / "bundles" / "strange")


@pytest.fixture
def admin(folder: Path, backend: Backend, make_bridge: Any) -> Iterator[httpx.Client]:
    """A service that really loads."""
    settings = Settings(bundles_dir=str(folder.parent), admin_key="sesame")
    transport = make_bridge(create_app(settings, backend))
    with httpx.Client(transport=transport, base_url="http://anymal", headers=KEY) as client:
        yield client


@pytest.mark.parametrize(
    ("jinja", "words"),
    [
        ("{{ 'a' * 2000000000 }}", "MiB of memory"),
        ("{% include 'bundle.json' %}", "no loader"),
        ("{{ raise_exception('not today') }}", "not today"),
    ],
)
def test_a_hostile_template(folder: Path, admin: httpx.Client, jinja: str, words: str) -> None:
    (folder / "llm" / "chat_template.jinja").write_text(jinja)
    set_llm(folder, template="tokenizer")
    assert words in refusal(admin)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("bundle:../../outside", "leads out of the bundle"),
        ("/etc", "outside of it"),
        ("someone/llm", "--allow-hub"),
    ],
)
def test_a_path_beyond_its_reach(folder: Path, admin: httpx.Client, path: str, words: str) -> None:
    set_llm(folder, path=path)
    assert words in refusal(admin)


def set_llm(folder: Path, **values: str) -> None:
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["recipe"]["llm"] |= values
    (folder / "bundle.json").write_text(json.dumps(manifest))


def refusal(admin: httpx.Client) -> str:
    """What the administrator is told; nothing else has changed."""
    response = admin.post(ADMIN, json={"folder": "strange"})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "folder"), error
    assert error["code"] in ("bundle_error", "recipe_error")
    assert [card["name"] for card in admin.get(ADMIN).json()["data"]] == ["anymal-fake"]
    message: str = error["message"]
    return message
