"""The table of limits in docs/security.md says what the code says.

python -m tests.test_security_table     writes the table anew
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from anymal.media.limits import Limits
from server.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "security.md"
BEGIN = "<!-- limits: tests/test_security_table.py holds this table to the code -->\n"
END = "<!-- end of limits -->"
_IS_LIMIT = re.compile(r"max_|_seconds$|_bytes$|_workers$")


def table() -> str:
    """The table, as it should be."""
    rows = [
        f"| {name} | {default} | {about} |" for name, default, about in (*_settings(), *_media())
    ]
    return "\n".join(["| limit | default | of |", "|---|---|---|", *rows, ""])


def _settings() -> Iterator[tuple[str, str, str]]:
    """Limits of the service; environment variables set them."""
    for name, field in Settings.model_fields.items():
        if _IS_LIMIT.search(name):
            yield f"`ANYMAL_{name.upper()}`", _number(field.default), field.description or ""


def _media() -> Iterator[tuple[str, str, str]]:
    """Limits of media, as the docstring of `Limits` describes them."""
    text = Limits.__doc__ or ""
    entries = re.findall(r"^        (\w+): (.*(?:\n            .*)*)", text, re.MULTILINE)
    about = {name: " ".join(lines.split()).rstrip(".") for name, lines in entries}
    for field in dataclasses.fields(Limits):
        yield f"`Limits.{field.name}`", _number(field.default), about[field.name]


def _number(value: object) -> str:
    if value is None:
        return "chosen by device"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (
        f"{value:,g}"
        if is_number and abs(value) < 1e6
        else f"{value:,}"
        if is_number
        else str(value)
    )


def test_page_has_the_table_that_the_code_gives() -> None:
    _, rest = PAGE.read_text().split(BEGIN)
    found, _ = rest.split(END)
    assert found == table(), "run: python -m tests.test_security_table"


if __name__ == "__main__":
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.split(END)[1])
