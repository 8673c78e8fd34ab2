"""Validation errors as plain messages of bounded length.

Does not validate; it reads what pydantic found, and of that the first problem only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# In the words of JSON: pydantic's name types of Python.
_WORDS = {
    "extra_forbidden": "this key is not known; remove it or correct its spelling",
    "model_type": "this should be an object",
    "model_attributes_type": "this should be an object",
    "dict_type": "this should be an object",
    "list_type": "this should be a list",
    "tuple_type": "this should be a list",
    "string_type": "this should be text",
    "bool_type": "this should be true or false",
    "bool_parsing": "this should be true or false",
    "int_type": "this should be a whole number",
    "int_parsing": "this should be a whole number",
    "int_parsing_size": "this number is too large",
    "int_from_float": "this should be a whole number",
    "float_type": "this should be a number",
    "float_parsing": "this should be a number",
    "union_tag_not_found": "this should be an object with a type, such as text or image_url",
    "none_required": "this should be null",
}

# Types of parts that become parts of another type before they are validated.
_TRANSLATED = ("file", "input_text", "input_image", "input_file", "output_text", "refusal")
_MOST_CHARACTERS = 500  # of a message, which may quote what was sent
_MOST_OF_A_KEY = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyProblem:
    """The first problem of a body.

    Attributes:
        message: What is wrong, with the key.
        param: Path of the key, such as `messages.0.content.1.type`; None for the whole body.
        code: Short name of the kind of problem.
    """

    message: str
    param: str | None
    code: str


def explain(problems: Sequence[Mapping[str, Any]], given: Any) -> BodyProblem:
    """Say the first problem.

    Args:
        problems: What `ValidationError.errors()` returned: few, however large the value was. Lists
            of our models stop at their first one, and an object's many unknown keys are one.
        given: The value that was validated.

    Returns:
        The problem, its key and its kind.
    """
    first = problems[0]
    if "param" in first.get("ctx", {}):  # raised by our validators; it names its key already
        return BodyProblem(
            message=_cut(first["msg"]), param=_cut(first["ctx"]["param"]), code=first["type"]
        )
    message = _WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
    if first["type"] == "union_tag_invalid":
        context = first["ctx"]
        message = f"the type {context['tag']!r} is not known; send {context['expected_tags']}"
    param = _path(first["loc"], given, is_missing=first["type"] == "missing")
    return BodyProblem(
        message=_cut(f"{param}: {message}" if param else message),
        param=param or None,
        code=first["type"],
    )


def _cut(text: str, most: int = _MOST_CHARACTERS) -> str:
    """The beginning of a long text."""
    return text if len(text) <= most else f"{text[:most]}..."


def _path(location: Sequence[int | str], given: Any, *, is_missing: bool) -> str:
    """The location without the names that pydantic adds for members of a union."""
    steps = []
    is_tag_due = True  # a part's type stands once in a location before the part's own keys
    for index, step in enumerate(location):
        kind = given.get("type") if isinstance(given, Mapping) else None
        if is_tag_due and kind is not None and kind in (step, *_TRANSLATED):
            is_tag_due = False
        elif _is_key_of(given, step):
            given, is_tag_due = given[step], True
            steps.append(_cut(str(step), _MOST_OF_A_KEY))
        elif is_missing and index == len(location) - 1:
            steps.append(_cut(str(step), _MOST_OF_A_KEY))
    return ".".join(steps)


def _is_key_of(given: Any, step: int | str) -> bool:
    if isinstance(given, Mapping):
        return step in given
    return isinstance(given, list) and isinstance(step, int) and step < len(given)
