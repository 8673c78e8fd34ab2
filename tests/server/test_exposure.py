"""A service does not open itself to the network by accident."""

import re
from pathlib import Path

import pytest

from anymal.errors import AnymalError
from server.cli import serve
from server.edge.keys import Keyring
from server.exposure import check_exposure, tell_of_short_keys, with_key
from server.settings import Settings, read_settings

EVERYWHERE = ("0.0.0.0", "::", "", "192.168.1.5", "fd00::5", "box.lan", "localhost.lan")


@pytest.mark.parametrize("host", EVERYWHERE)
def test_other_machines_need_keys_or_open(host: str) -> None:
    with pytest.raises(AnymalError, match=re.escape(f"--host {host} ")) as refused:
        check_exposure(Settings(host=host))
    assert "--open" in str(refused.value)
    assert "anymal keys new NAME" in str(refused.value)
    assert "\n" not in str(refused.value)
    settings = ({"open": True}, {"api_key": "a"}, {"admin_key": "a"}, {"keys_file": "keys.json"})
    for given in settings:
        check_exposure(Settings(host=host, **given))  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_needs_none(host: str) -> None:
    check_exposure(Settings(host=host))


def test_the_command_refuses_before_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYMAL_HOST", "0.0.0.0")
    with pytest.raises(AnymalError, match="--open"):
        serve()


def test_the_command_shows_the_key_that_it_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stop(Exception):
        pass

    def stop(settings: Settings, **options: object) -> None:
        assert settings.api_key is not None
        used.append(settings.api_key.get_secret_value())
        raise Stop

    used: list[str] = []
    monkeypatch.setattr("server.app.create_app", stop)
    monkeypatch.setattr("server.logs.configure_logging", lambda *given, **options: None)
    monkeypatch.setenv("ANYMAL_GENERATE_KEY", "1")  # as the image sets it
    with pytest.raises(Stop):
        serve(host="0.0.0.0")
    told = capsys.readouterr()
    assert told.out.count(used[0]) == 1
    assert used[0] not in told.err


def test_the_image_starts_with_a_key_and_open_only_if_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = (Path(__file__).parents[2] / "Dockerfile").read_text()
    for name, value in re.findall(r"\b(ANYMAL_\w+)=(\S+)$", image, re.MULTILINE):
        monkeypatch.setenv(name, value)
    host = re.search(r'"--host", "([^"]+)"', image)
    assert host is not None
    shown: list[str] = []
    settings = with_key(read_settings({"host": host[1]}), show=shown.append)
    check_exposure(settings)
    assert settings.api_key is not None
    assert len(shown) == 1
    monkeypatch.setenv("ANYMAL_OPEN", "1")
    settings = with_key(read_settings({"host": host[1]}), show=shown.append)
    check_exposure(settings)
    assert settings.api_key is None
    assert len(shown) == 1


def test_generated_key_is_new_at_each_start_and_opens_the_service() -> None:
    shown: list[str] = []
    made = [with_key(Settings(generate_key=True), show=shown.append) for _ in range(2)]
    keys = [settings.api_key.get_secret_value() for settings in made if settings.api_key]
    assert len(set(keys)) == 2
    assert [key in line for key, line in zip(keys, shown, strict=True)] == [True, True]
    assert "ANYMAL_OPEN=1" in shown[0]
    assert not Keyring(api_key=keys[0]).is_open
    assert keys[0] not in repr(made[0])


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"generate_key": True, "open": True},
        {"generate_key": True, "api_key": "a"},
        {"generate_key": True, "admin_key": "a"},
        {"generate_key": True, "keys_file": "keys.json"},
    ],
)
def test_no_key_is_made_where_none_is_missing(given: dict[str, object]) -> None:
    settings = Settings(**given)  # type: ignore[arg-type]
    assert with_key(settings, show=pytest.fail) is settings


def test_short_keys_are_told_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    tell_of_short_keys(Settings(api_key="sesame", admin_key="0123456789abcdef"))
    (line,) = caplog.messages
    assert line.startswith("api_key has fewer than 16 characters")
    assert "sesame" not in line
