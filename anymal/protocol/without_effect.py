"""The one table of fields that stock clients send and that change nothing here.

A request may hold them; they are taken out before it is validated, and the service names them in
its answer. Any other field that is not declared is refused. Does not know HTTP.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

Rows = Mapping[str, tuple[Any, ...] | None]
"""Fields, with the values that ask for nothing which is not done; None means every value does."""

REQUEST: Rows = {
    # The caller's own marks, and wishes that do not reach the answer.
    "user": None,
    "metadata": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "service_tier": None,
    "store": None,
    "prediction": None,
    "request_id": None,
    "priority": None,
    "keep_alive": None,
    # For models that think, or that take other media settings; this one has neither.
    "reasoning_effort": None,
    "include_reasoning": None,
    "verbosity": None,
    "chat_template_kwargs": ({}, {"enable_thinking": False}, {"thinking": False}),
    "enable_thinking": (False,),
    "media_io_kwargs": None,
    "mm_processor_kwargs": None,
    "fps": None,
    "min_pixels": None,
    "max_pixels": None,
    # How other servers turn tokens into text; answers here hold no special tokens.
    "skip_special_tokens": None,
    "spaces_between_special_tokens": None,
    "include_stop_str_in_output": (False,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "add_special_tokens": (False,),
    "echo": (False,),
    # Features that are not there.
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": None,
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "logit_bias": ({},),
    "best_of": (1,),
    "num_beams": (1,),
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "min_tokens": (0,),
    "stop_token_ids": ([],),
    "typical_p": (1,),
}
STREAM_OPTIONS: Rows = {"include_obfuscation": None, "continuous_usage_stats": (False,)}
_OF_BOTH = (
    *("user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
    *("service_tier", "store", "parallel_tool_calls", "tools", "tool_choice"),
)
RESPONSE: Rows = {
    **{name: REQUEST[name] for name in _OF_BOTH},
    "prompt_cache_options": None,
    "reasoning": None,
    "max_tool_calls": None,
    "background": (False,),
    "truncation": ("disabled",),
}
RESPONSE_TEXT: Rows = {"format": ({"type": "text"},), "verbosity": None}
MESSAGE: Rows = {
    "name": None,
    "id": None,
    "uuid": None,
    "cache_control": None,
    # Of an answer that is sent back.
    "annotations": None,
    "reasoning": None,
    "reasoning_content": None,
    "reasoning_details": None,
    "thinking_blocks": None,
    "provider_specific_fields": None,
    "tool_calls": ([],),
}
# Of an item of `POST /v1/responses`; it declares `id`.
ITEM: Rows = {**{name: MESSAGE[name] for name in MESSAGE if name != "id"}, "phase": None}
_DETAIL = ("auto", "low", "high", "original")
PART: Rows = {
    "id": None,
    "uuid": None,
    "cache_control": None,
    "prompt_cache_breakpoint": None,
    "annotations": None,
    "detail": _DETAIL,
}
MEDIUM: Rows = {
    "detail": _DETAIL,
    "uuid": None,
    "fps": None,
    "nframes": None,
    "min_pixels": None,
    "max_pixels": None,
    "total_pixels": None,
}
ANSWER_PARTS = ("output_text", "refusal")
"""Parts of an answer that is sent back: all their fields are declared."""

# Objects inside a request, with the rows of each.
_INSIDE = {"stream_options": STREAM_OPTIONS, "text": RESPONSE_TEXT}
# Fields that ask for nothing beside this value of another one.
_UNUSED_BESIDE = {"tools": ("tool_choice", "none"), "functions": ("function_call", "none")}


def taken_out(body: Mapping[str, Any], rows: Rows) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A request without the fields that have no effect.

    Args:
        body: As it came; it need not be valid.
        rows: Those of the request itself; those inside it are always the same.

    Returns:
        The request, and the paths of the fields, such as `messages.0.name`.

    Raises:
        PydanticCustomError: If such a field asks for what is not done.
    """
    found: list[str] = []
    unused = {name for name, (key, value) in _UNUSED_BESIDE.items() if body.get(key) == value}
    clean = _stripped(body, {**rows, **dict.fromkeys(unused & rows.keys())}, "", found)
    for name, inside in _INSIDE.items():
        if isinstance(options := clean.get(name), Mapping):
            clean[name] = _stripped(options, inside, f"{name}.", found)
    for name, of_turn in (("messages", MESSAGE), ("input", ITEM)):
        if isinstance(turns := clean.get(name), list):
            clean[name] = [
                _turn(each, of_turn, f"{name}.{index}.", found) for index, each in enumerate(turns)
            ]
    if isinstance(part := clean.get("input"), Mapping):  # of `POST /v1/align`
        clean["input"] = _part(part, "input.", found)
    return clean, tuple(found)


def _turn(message: Any, rows: Rows, path: str, found: list[str]) -> Any:
    if not isinstance(message, Mapping):
        return message
    if message.get("type") == "reasoning":  # of another model: answers here hold none
        found.append(f"{path}reasoning")
        return {"type": "reasoning"}
    clean = _stripped(message, rows, path, found)
    if isinstance(content := clean.get("content"), list):
        clean["content"] = [
            _part(part, f"{path}content.{index}.", found) for index, part in enumerate(content)
        ]
    return clean


def _part(part: Any, path: str, found: list[str]) -> Any:
    if not isinstance(part, Mapping) or part.get("type") in ANSWER_PARTS:
        return part
    clean = _stripped(part, PART, path, found)
    kind = clean.get("type")
    if isinstance(kind, str) and isinstance(medium := clean.get(kind), Mapping):
        clean[kind] = _stripped(medium, MEDIUM, f"{path}{kind}.", found)
    return clean


def _stripped(value: Mapping[str, Any], rows: Rows, path: str, found: list[str]) -> dict[str, Any]:
    """The rows' fields taken out of one mapping; null ones are absent anyway."""
    clean = {}
    for name, item in value.items():
        if name not in rows or item is None:
            clean[name] = item
            continue
        values = rows[name]
        if values is not None and not any(_is_same(item, value) for value in values):
            raise PydanticCustomError(
                "unsupported_parameter",
                "'{param}' is not supported here; leave it out, or send {harmless}",
                {"param": path + name, "harmless": " or ".join(map(json.dumps, values))},
            )
        found.append(path + name)
    return clean


def _is_same(item: Any, value: Any) -> bool:
    """Whether JSON has them as the same; in Python, true is 1 as well."""
    return item == value and isinstance(item, bool) == isinstance(value, bool)
