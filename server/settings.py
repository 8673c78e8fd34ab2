"""Settings of the service: arguments, else `ANYMAL_*` environment variables, else defaults.

Does not start anything and reads no file.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from anymal.errors import AnymalError
from anymal.explain import explain


class Settings(BaseSettings):
    """How one service runs."""

    model_config = SettingsConfigDict(env_prefix="ANYMAL_", frozen=True, extra="forbid")

    bundle: str = Field("tiny", description="bundle folder, or tiny for the built-in model")
    device: str = Field("cpu", description="torch device, such as cpu or cuda")
    precision: str | None = Field(
        None, description="precision of the language model; None takes the bundle's"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    api_key: SecretStr | None = Field(
        None, min_length=1, description="key that requests must carry; None asks for none"
    )
    max_body_bytes: int = Field(96 * 2**20, gt=0, description="largest request body, in bytes")
    max_requests: int = Field(
        16, ge=1, description="most requests in the house at once, the answered one included"
    )
    default_tokens: int = Field(256, ge=1, description="tokens of an answer that sets no limit")
    max_tokens: int = Field(2048, ge=1, description="largest token limit a request may set")


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Settings from arguments, then the environment, then defaults.

    Args:
        given: The arguments that were given.

    Returns:
        The settings.

    Raises:
        AnymalError: If one is not accepted; the message names it.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = error.errors()
        path = {key: None for problem in problems for key in problem["loc"]}
        raise AnymalError(
            f"setting {explain(problems, path).message}; "
            "set it by flag or by environment variable, such as ANYMAL_PORT"
        ) from error
