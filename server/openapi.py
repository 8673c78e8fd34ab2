"""The OpenAPI document, without what this service never sends.

Does not describe routes; they describe themselves.
"""

from typing import Any

from fastapi import FastAPI


class DescribedApp(FastAPI):
    """An app whose refused bodies are answered with 400 in OpenAI's shape, not with 422."""

    def openapi(self) -> dict[str, Any]:
        """See FastAPI."""
        if self.openapi_schema is None:
            document = super().openapi()
            for path in document["paths"].values():
                for route in path.values():
                    route["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
        assert self.openapi_schema is not None, "FastAPI keeps the document it made"
        return self.openapi_schema
