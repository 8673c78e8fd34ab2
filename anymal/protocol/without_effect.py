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
PART: Rows = {"id": None, "uuid": None, "cache_control": None, "annotations": None}
MEDIUM: Rows = {
    "detail": ("auto", "low", "high", "original"),
    "uuid": None,
    "fps": None,
    "nframes": None,
    "min_pixels": None,
    "max_pixels": None,
    "total_pixels": None,
}
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
    if isinstance(options := clean.get("stream_options"), Mapping):
        clean["stream_options"] = _stripped(options, STREAM_OPTIONS, "stream_options.", found)
    if isinstance(messages := clean.get("messages"), list):
        clean["messages"] = [
            _message(each, f"messages.{index}.", found) for index, each in enumerate(messages)
        ]
    if "input" in clean:
        clean["input"] = _part(clean["input"], "input.", found)
    return clean, tuple(found)


def _message(message: Any, path: str, found: list[str]) -> Any:
    if not isinstance(message, Mapping):
        return message
    clean = _stripped(message, MESSAGE, path, found)
    if isinstance(content := clean.get("content"), list):
        clean["content"] = [
            _part(part, f"{path}content.{index}.", found) for index, part in enumerate(content)
        ]
    return clean


def _part(part: Any, path: str, found: list[str]) -> Any:
    if not isinstance(part, Mapping):
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
        if values is not None and item not in values:
            raise PydanticCustomError(
                "unsupported_parameter",
                "'{param}' is not supported here; leave it out, or send {harmless}",
                {"param": path + name, "harmless": " or ".join(map(json.dumps, values))},
            )
        found.append(path + name)
    return clean
