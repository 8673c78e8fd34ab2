"""The prompt formats that come with the package: one Jinja file each, in `formats`.

Does not render them; `anymal.chat.jinja` reads them as it reads a tokeniser's own.

Besides what chat templates of transformers see, a format sees `media[i]` and `words[i]`, the two
halves of message `i`, and `end_of_answer`.

A format says what is learnt. That is the content of each answer; what the format writes before it
and not where an answer is to be generated; and what it writes after it up to the first special
token, or up to `end_of_answer`. Where only the last answer has an `end_of_answer`, the others end
with a special token, at which the model stops. Where no special token ends an answer, the model
stops at the text itself.
"""

from functools import cache
from pathlib import Path

from anymal.errors import RecipeError

_FOLDER = Path(__file__).parent / "formats"


@cache
def format_names() -> tuple[str, ...]:
    """The formats, in the order of the alphabet."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.jinja")))


def format_source(name: str) -> str:
    """Read a format.

    Args:
        name: One of `format_names`.

    Returns:
        Jinja.

    Raises:
        RecipeError: There is none of this name.
    """
    if name not in format_names():
        raise RecipeError(
            f"unknown template {name!r}; known: tokenizer, {', '.join(format_names())}"
        )
    return (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


def next_step() -> str:
    """What to do about a chat template that cannot be used."""
    *names, last = format_names()
    return f"set llm.template to {', '.join(names)} or {last}"
