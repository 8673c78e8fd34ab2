"""The table of limits in docs/security.md says what the code says.

python -m tests.test_security_table     writes the table anew
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from anymal.media.budget import RequestLimits
from anymal.media.limits import Limits
from anymal.protocol import sizes
from server.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "security.md"
BEGIN = "<!-- limits: tests/test_security_table.py holds this table to the code -->\n"
END = "<!-- end of limits -->"
Row = tuple[str, str, str]
_IS_LIMIT = re.compile(r"max_|_seconds$|_bytes$|_workers$")


def table() -> str:
    """The table, as it should be."""
    found = (*_settings(), *_sizes(), *_fields(RequestLimits), *_fields(Limits))
    rows = [f"| {name} | {default} | {about} |" for name, default, about in found]
    return "\n".join(["| limit | default | of |", "|---|---|---|", *rows, ""])


def _settings() -> Iterator[Row]:
    """Limits of the service; environment variables set them."""
    for name, field in Settings.model_fields.items():
        if _IS_LIMIT.search(name):
            yield f"`ANYMAL_{name.upper()}`", _number(field.default), field.description or ""


def _sizes() -> Iterator[Row]:
    """Limits of the values in a request; its media have their own."""
    for name, value in vars(sizes).items():
        if name.startswith("MAX_"):
            yield f"`{name}`", _number(value), f"in a request: {name[4:].replace('_', ' ').lower()}"


def _fields(limits: type[Limits] | type[RequestLimits]) -> Iterator[Row]:
    """Limits of media, as the docstring of their class describes them."""
    entries = re.findall(
        r"^        (\w+): (.*(?:\n            .*)*)", limits.__doc__ or "", re.MULTILINE
    )
    about = {name: " ".join(lines.split()).rstrip(".") for name, lines in entries}
    for field in dataclasses.fields(limits):
        yield f"`{limits.__name__}.{field.name}`", _number(field.default), about[field.name]


def _number(value: object) -> str:
    if value is None:
        return "as told there"
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
