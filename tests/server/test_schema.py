"""The OpenAPI document and the service agree: what it does not allow is refused, as it says."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

# A schema cannot say what bytes are a picture, so a body that fits it may still be refused.
EXCLUDED = [positive_data_acceptance]
HEADERS = {"Authorization": "Bearer sesame"}


def repeatable(max_examples: int) -> settings:
    """Seeded, and the same on every machine."""
    return settings(
        max_examples=max_examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def api_of(make_app: Callable[..., FastAPI], *, has_coverage: bool) -> Any:
    app = make_app(admin_key="sesame", api_key="open", bundles_dir="/nowhere")
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.config.phases.coverage.enabled = has_coverage
    return schema


@pytest.fixture
def api(make_app: Callable[..., FastAPI]) -> Any:
    return api_of(make_app, has_coverage=False)


@pytest.fixture
def thorough_api(make_app: Callable[..., FastAPI]) -> Any:
    return api_of(make_app, has_coverage=True)


@schemathesis.pytest.from_fixture("api").parametrize()
@repeatable(3)
def test_service_keeps_to_its_document(case: schemathesis.Case) -> None:
    case.call_and_validate(headers=HEADERS, excluded_checks=EXCLUDED)


@pytest.mark.slow
@schemathesis.pytest.from_fixture("thorough_api").parametrize()
@repeatable(100)
def test_service_keeps_to_its_document_at_every_corner(case: schemathesis.Case) -> None:
    case.call_and_validate(headers=HEADERS, excluded_checks=EXCLUDED)


def test_every_route_is_described(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    assert {path: sorted(methods) for path, methods in paths.items()} == {
        "/v1/chat/completions": ["post"],
        "/v1/models": ["get"],
        "/v1/models/{model}": ["get"],
        "/healthz": ["get"],
        "/readyz": ["get"],
        "/v1/ask": ["post"],
        "/v1/align": ["post"],
        "/admin/bundles": ["get", "post"],
        "/admin/bundles/{name}": ["delete"],
    }
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
