"""How much a request may hold: one error, whatever else is wrong, and no work before it."""

from typing import Any

import pytest
from pydantic import ValidationError

from anymal.media.limits import Limits
from anymal.protocol import sizes
from anymal.protocol.explain import explain
from anymal.protocol.requests import AlignRequest, ChatCompletionRequest

SAY = {"role": "user", "content": "a"}
PART = {"type": "text", "text": ""}


def imu(**fields: Any) -> dict[str, Any]:
    return {"input": {"type": "input_imu", "input_imu": {"rate_hz": 50, **fields}}}


def media(**options: Any) -> dict[str, Any]:
    fields = {"modality": "a", "url": "data:", "options": options}
    return {"input": {"type": "input_media", "input_media": fields}}


@pytest.mark.parametrize(
    ("model", "body", "code"),
    [
        (ChatCompletionRequest, {"messages": [{}] * 90_000}, "missing"),
        (ChatCompletionRequest, {"messages": [[]] * 90_000}, "model_type"),
        (ChatCompletionRequest, {"messages": [{}] * 100_001}, "context_length_exceeded"),
        (
            ChatCompletionRequest,
            {"messages": [{**SAY, "content": [PART] * 50_001}] * 2},
            "context_length_exceeded",
        ),
        (ChatCompletionRequest, {"messages": [{**SAY, "content": [{}] * 90_000}]}, None),
        (ChatCompletionRequest, {"messages": [SAY], "stop": [1] * 90_000}, "string_type"),
        (ChatCompletionRequest, {"messages": [SAY], "stop": ["a"] * 90_000}, "invalid_value"),
        (ChatCompletionRequest, {"messages": [SAY], "stop": "a" * 1_001}, "invalid_value"),
        (ChatCompletionRequest, {"messages": [SAY], "model": "a" * 1_001}, "string_too_long"),
        (
            ChatCompletionRequest,
            {"messages": [SAY], **{f"k{number}": 1 for number in range(65)}},
            "too_many_keys",
        ),
        (
            ChatCompletionRequest,
            {"messages": [{**SAY, **{f"k{number}": 1 for number in range(65)}}]},
            "too_many_keys",
        ),
        (AlignRequest, imu(samples=[""] * 90_000), "list_type"),
        (AlignRequest, imu(samples=[["a"] * 3] * 90_000), "float_parsing"),
        (AlignRequest, imu(samples=[[0.0] * 65]), "too_long"),
        (AlignRequest, imu(samples=[[0]] * 2_000_001), "too_long"),
        (AlignRequest, media(**{f"k{number}": [] for number in range(65)}), "too_long"),
    ],
)
def test_one_error_says_what_is_wrong(model: Any, body: Any, code: str | None) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    assert refused.value.error_count() < 5
    problem = explain(refused.value.errors(), body)
    assert code in (None, problem.code)
    assert len(problem.message) < 600


def test_what_is_quoted_is_cut() -> None:
    for body in (
        {"messages": [SAY], "k" * 100_000: 1},
        {"messages": [{**SAY, "content": [{"type": "k" * 100_000}]}]},
        {"messages": [{**SAY, "role": "k" * 100_000}]},
    ):
        with pytest.raises(ValidationError) as refused:
            ChatCompletionRequest.model_validate(body)
        problem = explain(refused.value.errors(), body)
        assert len(problem.message) < 600
        assert len(problem.param or "") < 200


def test_rows_of_a_request_are_those_of_a_file() -> None:
    rows = [[0.0]] * (Limits().max_motion_samples + 1)
    with pytest.raises(ValidationError, match="at most 2000000 are taken"):
        AlignRequest.model_validate(imu(samples=rows))
    assert sizes.MAX_STOPS == 4
