"""Keys: what is stored of them, whom they let in, and the commands that make them."""

import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anymal.errors import AnymalError
from server.edge.key_file import read_key_file
from server.edge.keys import Keyring
from server.keys_cli import keys

run = CliRunner().invoke


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def make(path: Path, name: str, *flags: str) -> str:
    done = run(keys, ["new", name, *flags, "--keys-file", str(path)], catch_exceptions=False)
    return done.stdout.strip()


def test_new_key_is_shown_once_and_only_its_hash_is_stored(path: Path) -> None:
    key, other = make(path, "ada"), make(path, "bob")
    assert key.startswith("anymal-")
    assert len(key) > 40
    assert key != other
    stored = path.read_text()
    assert key not in stored
    assert key.removeprefix("anymal-") not in stored
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = json.loads(stored)["keys"]
    assert first["salt"] != second["salt"]
    assert os.listdir(path.parent) == ["keys.json"]


def test_keyring_finds_the_holder_and_the_rights(path: Path) -> None:
    plain = make(path, "ada", "--requests-per-minute", "30", "--max-concurrent", "2")
    trusted = make(path, "bob", "--admin", "--embeds")
    ring = Keyring(path=path, api_key="sesame", admin_key="open")
    ada, bob = ring.find(plain), ring.find(trusted)
    assert ada is not None
    assert bob is not None
    assert (ada.name, ada.is_admin, ada.may_send_embeds) == ("ada", False, False)
    assert (ada.requests_per_minute, ada.max_concurrent) == (30, 2)
    assert (bob.name, bob.is_admin, bob.may_send_embeds) == ("bob", True, True)
    assert ring.find("sesame").is_admin is False  # type: ignore[union-attr]
    assert ring.find("open").is_admin is True  # type: ignore[union-attr]
    for wrong in ("", "anymal-", plain[:-1], plain + "x", "ada", "sesame "):
        assert ring.find(wrong) is None


def test_every_key_is_compared_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [make(path, name) for name in ("ada", "bob", "eve")]
    ring = Keyring(path=path, api_key="sesame")
    compared: list[tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr("server.edge.keys.hmac.compare_digest", compare)
    for key in (given[0], "wrong"):
        compared.clear()
        ring.find(key)
        assert len(compared) == 4
        assert {len(side) for pair in compared for side in pair} == {32}


def test_key_that_is_taken_back_opens_nothing_without_a_restart(path: Path) -> None:
    key = make(path, "ada")
    make(path, "bob")
    ring = Keyring(path=path)
    assert ring.find(key) is not None
    assert run(keys, ["remove", "ada", "--keys-file", str(path)]).exit_code == 0
    assert ring.find(key) is None


def test_file_that_breaks_leaves_the_keys_as_they_were(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = make(path, "ada")
    ring = Keyring(path=path)
    path.write_text("{")
    assert ring.find(key) is not None
    assert ring.find(key) is not None
    assert caplog.text.count("keys were not changed") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("{}", "keys"),
        ('{"keys": [{"name": "a"}]}', "salt"),
        ('{"keys": [{"name": "a b", "salt": "", "sha256": ""}]}', "name"),
        ('{"keys": [], "more": 1}', "more"),
    ],
)
def test_file_that_is_none_is_refused(path: Path, content: str, message: str) -> None:
    path.write_text(content)
    with pytest.raises(AnymalError, match=message):
        Keyring(path=path)


def test_names_stand_once(path: Path) -> None:
    make(path, "ada")
    with pytest.raises(AnymalError, match="named 'ada' already"):
        make(path, "ada")
    entry = json.loads(path.read_text())["keys"][0]
    path.write_text(json.dumps({"keys": [entry, entry]}))
    with pytest.raises(AnymalError, match="twice"):
        read_key_file(path)


def test_missing_file_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(AnymalError, match="anymal keys new NAME"):
        Keyring(path=path)


@pytest.mark.parametrize("flags", [["--requests-per-minute", "0"], ["--max-concurrent", "-1"]])
def test_limit_that_is_none_is_refused(path: Path, flags: list[str]) -> None:
    with pytest.raises(AnymalError, match=r"requests_per_minute|max_concurrent"):
        make(path, "ada", *flags)
    assert not path.exists()


def test_list_and_remove(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYMAL_KEYS_FILE", str(path))
    key = run(keys, ["new", "ada", "--admin"]).stdout.strip()
    listed = run(keys, ["list"]).stdout
    assert listed == "ada\tis_admin=True\n"
    assert key not in listed
    with pytest.raises(AnymalError, match="there: ada"):
        run(keys, ["remove", "bob"], catch_exceptions=False)


def test_without_keys_the_ring_is_open() -> None:
    assert Keyring().is_open
    assert Keyring().is_bare
    assert not Keyring(admin_key="open").is_open
    assert Keyring(admin_key="open", is_open=True).is_open
    assert not Keyring(admin_key="open", is_open=True).is_bare
    assert not Keyring(api_key="sesame").is_open
    assert Keyring().find("") is None
