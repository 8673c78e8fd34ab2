"""The OpenAPI document and the service agree: what it does not allow is refused, as it says.

Cases are drawn by hand rather than by schemathesis' own pytest plug-in, whose schemas from fixtures
do not work with pytest 9.
"""

from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

# A schema cannot say what bytes are a picture, so a body that fits it may still be refused.
EXCLUDED = [positive_data_acceptance]
HEADERS = {"Authorization": "Bearer sesame"}
OPERATIONS = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/ask"),
    ("POST", "/v1/likelihood"),
    ("POST", "/v1/score"),
    ("POST", "/v1/align"),
    ("POST", "/admin/bundles"),
    ("GET", "/admin/bundles"),
    ("DELETE", "/admin/bundles/{name}"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
]


@pytest.fixture
def document(make_app: Any) -> Any:
    app = make_app(admin_key="sesame", api_key="open", bundles_dir="/nowhere")
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def check(operation: Any, max_examples: int) -> int:
    """Send what the document allows, and for bodies what it does not; returns how many."""
    modes = [GenerationMode.POSITIVE]
    if operation.body:  # of a path every text is allowed
        modes.append(GenerationMode.NEGATIVE)
    num_sent = 0
    for mode in modes:

        @settings(
            max_examples=max_examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: schemathesis.Case) -> None:
            nonlocal num_sent
            assume("#" not in repr(case.body))  # at which the engine of these tests breaks
            num_sent += 1
            case.call_and_validate(headers=HEADERS, excluded_checks=EXCLUDED)

        send()
    return num_sent


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_service_keeps_to_its_document(document: Any, method: str, path: str) -> None:
    assert check(document[path][method], max_examples=3) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_service_keeps_to_its_document_for_long(document: Any, method: str, path: str) -> None:
    assert check(document[path][method], max_examples=100) > 0


def test_every_route_is_described(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    described = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert sorted(described) == sorted(OPERATIONS)
    for path, methods in paths.items():
        for method, route in methods.items():
            codes = set(route["responses"])
            assert "422" not in codes, f"{method} {path}: FastAPI's own error is never sent"
            if path != "/healthz":
                error = route["responses"]["503"]["content"]["application/json"]["schema"]
                assert error == {"$ref": "#/components/schemas/ErrorBody"}
    chat = paths["/v1/chat/completions"]["post"]["responses"]["200"]["content"]
    assert chat.keys() == {"application/json", "text/event-stream"}
    ask = paths["/v1/ask"]["post"]
    assert ask["requestBody"]["content"].keys() == {"multipart/form-data"}
    assert "text/plain" in ask["responses"]["200"]["content"]
