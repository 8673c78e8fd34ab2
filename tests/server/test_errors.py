"""Errors as callers get them."""

import pytest

from anymal.errors import AnymalError
from anymal.protocol.explain import BodyProblem
from server.errors import BadRequest, Unauthorized, body_for


@pytest.mark.parametrize(
    "error",
    [
        Unauthorized("x" * 10**6 + "; send a key"),
        AnymalError("\ud800" * 10**6 + "; send a key"),
        BadRequest(BodyProblem(message="x" * 10**6 + "; send a key", param="y" * 10**6, code="a")),
    ],
)
def test_an_error_has_a_greatest_length_and_keeps_the_next_step(error: Exception) -> None:
    found = body_for(error).error
    assert len(found.message) < 10_000
    assert found.message.endswith("; send a key")
    assert " ... " in found.message
    assert len(found.param or "") < 1100


def test_a_short_error_is_sent_whole() -> None:
    message = "x" * 1000
    assert body_for(Unauthorized(message)).error.message == message
