"""The help of a command names those whose names begin with its own."""

from types import SimpleNamespace

import pytest

from anymal.cli import late_commands


def test_related_commands_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(name="data.fly", value="nowhere:fly")
    monkeypatch.setattr(late_commands, "entry_points", lambda group: [point])
    shown = late_commands.load_command("data").epilog
    assert shown.startswith("See also: anymal data check, anymal data show, ")
    assert shown.endswith(", anymal data fly")
    assert late_commands.load_command("cache").epilog is None
