"""Where settings come from, and what is refused."""

from pathlib import Path

import pytest

from anymal.errors import AnymalError
from server.settings import Settings, read_settings


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYMAL_PORT", "9000")
    monkeypatch.setenv("ANYMAL_HOST", "0.0.0.0")
    monkeypatch.setenv("ANYMAL_API_KEY", "sesame")
    monkeypatch.setenv("ANYMAL_DATA", "/somewhere")  # of another command
    settings = read_settings({"port": 9001})
    assert (settings.port, settings.host) == (9001, "0.0.0.0")
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "sesame"
    assert "sesame" not in repr(settings)


@pytest.mark.parametrize(
    "given", [{"port": 99999}, {"api_key": ""}, {"max_requests": 0}, {"prot": 8000}]
)
def test_refused_setting_is_named(given: dict[str, object]) -> None:
    with pytest.raises(AnymalError, match=next(iter(given))):
        read_settings(given)


def test_environment_mistake_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYMAL_PORT", "eighty")
    with pytest.raises(AnymalError, match="port"):
        read_settings({})


@pytest.mark.parametrize("host", ["https://a.test", "a.test/", "*", "::1", "a b", "a.test:x", ""])
def test_host_that_could_never_match_is_refused(host: str) -> None:
    with pytest.raises(AnymalError, match="hosts"):
        read_settings({"hosts": [host]})


def test_hosts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYMAL_HOSTS", "a.test b-1.test:8443 [::1]:80 10.0.0.1")
    assert len(read_settings({}).hosts) == 4


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_every_setting_stands_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    names = [f"ANYMAL_{name.upper()}" for name in Settings.model_fields]
    assert [name for name in names if f"| `{name}` |" not in document] == []


def test_lists_come_from_flags_or_as_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYMAL_ALLOW_MEDIA_HOSTS", " a.test  b.test:8443 ")
    settings = read_settings({"cors_origins": ["https://page.test"]})
    assert settings.allow_media_hosts == ("a.test", "b.test:8443")
    assert settings.cors_origins == ("https://page.test",)
    assert settings.checks == ()
