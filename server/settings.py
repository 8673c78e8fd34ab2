"""Settings of the service: arguments, else `ANYMAL_*` environment variables, else defaults.

Does not start anything and reads no file.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from anymal.errors import AnymalError
from anymal.protocol.explain import explain


def _split(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


Strings = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several strings; in an environment variable, separated by spaces."""


def _host(value: str) -> str:
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d+)?", value):
        raise ValueError(f"{value!r} is not a host; write example.com, example.com:8443 or [::1]")
    return value


Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(_host)], ...], NoDecode, BeforeValidator(_split)
]
"""Several hosts, each with or without a port."""


class Settings(BaseSettings):
    """How one service runs."""

    model_config = SettingsConfigDict(env_prefix="ANYMAL_", frozen=True, extra="forbid")

    # The model.
    bundle: str = Field(
        "tiny", description="bundle folder, ORG/NAME[@REV] of the Hub, or tiny: the built-in model"
    )
    device: str = Field("cpu", description="torch device, such as cpu or cuda")
    precision: str | None = Field(
        None,
        description="nf4, int8, bf16, fp32 or int4; default: on CPU fp32, else as trained",
    )
    merge_lora: bool | None = Field(
        None,
        description="merge LoRA into the weights; default: if that rounds nothing again, and at "
        "int8 and int4 on a CPU",
    )

    bundles_dir: str | None = Field(
        None, min_length=1, description="folder that /admin/bundles may load bundles from"
    )

    allow_hub: bool = Field(
        False, description="download bundles and parts of them that the Hub's local cache lacks"
    )
    local_models: str | None = Field(
        None,
        min_length=1,
        description="folder of checkpoints that bundles may name by absolute path; default: any "
        "for the first bundle, bundles_dir for those that /admin/bundles loads",
    )
    load_seconds: float = Field(
        1800, gt=0, description="seconds that /admin/bundles waits for a bundle to load"
    )

    kv_cache_bytes: int | None = Field(
        None, gt=0, description="bytes reserved for keys and values; default: chosen by device"
    )
    soft_token_bytes: int = Field(
        256 * 2**20, ge=0, description="most bytes of soft tokens cached for media that come again"
    )
    share_caches: bool = Field(
        False, description="let every key find prompts and media of all others in the caches"
    )

    # Where, and for whom.
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    api_key: SecretStr | None = Field(
        None, min_length=1, description="key that requests must carry; keys_file holds several"
    )
    keys_file: str | None = Field(
        None, min_length=1, description="file of hashed keys, as `anymal keys new` writes it"
    )
    admin_key: SecretStr | None = Field(
        None, min_length=1, description="key for /admin and /metrics, valid everywhere else too"
    )
    open: bool = Field(
        False, description="answer requests without a key, also from other machines and beside keys"
    )
    generate_key: bool = Field(
        False, description="where no keys are set, make one at every start and print it"
    )
    hosts: Hosts = Field(
        (),
        description="further names that a service without keys answers to, such as example.com",
    )
    open_metrics: bool = Field(False, description="show /metrics without a key")
    cors_origins: Strings = Field(
        (), description="web origins whose pages may call, such as https://example.com, or *"
    )

    # How much of it.
    max_body_bytes: int = Field(96 * 2**20, gt=0, description="largest request body, in bytes")
    max_house_bytes: int | None = Field(
        None, gt=0, description="most bytes of all bodies at once; default: 4 x max_body_bytes"
    )
    max_requests: int = Field(64, ge=1, description="how many answers are in progress at once")
    decode_workers: int = Field(
        2, ge=0, description="processes that decode media; 0 decodes in the service, without an end"
    )
    decode_memory_bytes: int = Field(
        2 * 2**30, gt=0, description="most memory that decoding a medium may take, in bytes"
    )
    max_connections: int = Field(4096, ge=1, description="most connections at once")
    default_tokens: int = Field(256, ge=1, description="token limit of a request that sets none")
    max_tokens: int = Field(2048, ge=1, description="most tokens of an answer")

    strict: bool = Field(
        False, description="refuse request fields without effect, which are otherwise ignored"
    )

    # For how long, in seconds.
    head_seconds: float = Field(10, gt=0, description="seconds for a request's head to arrive")
    body_seconds: float = Field(120, gt=0, description="seconds for a request's body to arrive")
    request_seconds: float = Field(
        600, gt=0, description="seconds until a request must be answered completely"
    )
    stall_seconds: float = Field(
        30, gt=0, description="seconds that a client may leave its answer unread"
    )
    keep_alive_seconds: int = Field(
        15, ge=1, description="seconds that a connection may idle between requests"
    )
    drain_seconds: float = Field(
        30, ge=0, description="seconds that running answers get to finish when the service stops"
    )

    # What is logged.
    log_format: Literal["json", "text"] = Field(
        "json", description="one JSON object a line, or text"
    )
    log_error_text: bool = Field(
        False, description="log messages of unexpected errors, which may quote what callers sent"
    )

    # Media from elsewhere.
    allow_media_hosts: Strings = Field(
        (), description="hosts (or host:port) that media may be fetched from; none by default"
    )
    allow_http_media: bool = Field(False, description="fetch media over plain http too")
    allow_local_media: str | None = Field(
        None, min_length=1, description="folder whose files requests may name as file: URLs"
    )
    media_seconds: float = Field(20, gt=0, description="seconds to fetch all media of a request")

    # Which content is allowed.
    checks: Strings = Field(
        (), description="safety checks, such as server.safety:WordList?words=bomb,poison"
    )


def house_bytes(settings: Settings) -> int:
    """How many bytes of bodies may be in the house at once.

    Raises:
        AnymalError: If the largest body would never be taken.
    """
    most = settings.max_house_bytes or 4 * settings.max_body_bytes
    if most < 2 * settings.max_body_bytes:
        raise AnymalError(
            f"setting max_house_bytes: {most} is less than twice max_body_bytes "
            f"({settings.max_body_bytes}), so the largest bodies would never be taken; raise it"
        )
    return most


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
