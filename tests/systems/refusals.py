"""How a checkpoint is refused, which leaves everything as it was."""

from pathlib import Path

import pytest

from anymal.errors import AnymalError
from anymal.published.importing import import_model


def refusal(folder: Path, *, bundle: Path | None = None) -> str:
    """How a checkpoint is refused, which leaves everything as it was."""
    before = tree(folder.parent)
    with pytest.raises(AnymalError) as refused:
        import_model(folder, bundle or folder.parent / "new" / "bundle", tell=lambda _: None)
    assert tree(folder.parent) == before
    message = str(refused.value)
    assert "\n" not in message
    return message


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))
