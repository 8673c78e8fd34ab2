"""Request models of the REST API, shared by server and client; responses are in `responses.py`.

Does not know HTTP. The conversation inside a request is in `conversation.py`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from anymal.protocol.conversation import MediaPart, Message, PromptEmbedsPart, Strict

# Fields that stock clients may send and this service does not support. The value is the one that
# asks for nothing, and is accepted.
_NOT_SUPPORTED: dict[str, Any] = {
    "logit_bias": {},
    "tools": [],
    "tool_choice": "none",
    "parallel_tool_calls": True,
    "functions": [],
    "function_call": "none",
    "response_format": {"type": "text"},
    "modalities": ["text"],
    "service_tier": "auto",
    "store": False,
}


class StreamOptions(Strict):
    """What else a stream carries."""

    include_usage: bool = Field(False, description="send a last chunk with the token counts")


class ChatCompletionRequest(Strict):
    """Body of `POST /v1/chat/completions`."""

    model: str | None = Field(None, description="a served model's name; absent means the first")
    messages: list[Message] = Field(min_length=1, description="turns, oldest first")
    n: int = Field(1, ge=1, le=8, description="how many answers")
    stream: bool = Field(False, description="answer as server-sent events")
    stream_options: StreamOptions | None = Field(None, description="only with stream")
    temperature: float = Field(0.0, ge=0, le=2, description="0 takes the likeliest token")
    top_p: float = Field(1.0, gt=0, le=1, description="sample among this much probability")
    top_k: int = Field(0, ge=-1, description="sample among this many tokens; 0 or -1 among all")
    repetition_penalty: float = Field(
        1.0, gt=0, le=2, description="above 1 makes tokens of prompt and answer less likely"
    )
    presence_penalty: float = Field(
        0.0, ge=-2, le=2, description="taken once off the score of each token of the answer so far"
    )
    frequency_penalty: float = Field(
        0.0, ge=-2, le=2, description="the same, as often as the token stands there"
    )
    max_tokens: int | None = Field(None, ge=1, description="most tokens to generate")
    max_completion_tokens: int | None = Field(None, ge=1, description="newer name of max_tokens")
    stop: str | list[str] | None = Field(None, description="up to four strings that end the answer")
    ignore_eos: bool = Field(
        False, description="go on to the token limit, past the token that ends an answer"
    )
    stop_repetition: bool = Field(
        False, description="end an answer that says the same 8 or more tokens three times in a row"
    )
    seed: int | None = Field(None, ge=0, lt=2**63, description="makes sampling repeatable")
    logprobs: bool = Field(False, description="return the log-probability of each token")
    top_logprobs: int | None = Field(
        None, ge=0, le=20, description="and of this many alternatives; only with logprobs"
    )
    user: str | None = Field(None, description="the caller's own mark; not used")
    safety_identifier: str | None = Field(None, description="the caller's own mark; not used")
    prompt_cache_key: str | None = Field(None, description="the caller's own mark; not used")
    metadata: dict[str, str] | None = Field(None, description="the caller's own marks; not used")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        for name, neutral in _NOT_SUPPORTED.items():
            schema["properties"][name] = {
                "enum": [neutral, None],
                "description": "not supported; accepted if it asks for nothing",
            }
        return schema

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_not_done(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        for name, neutral in _NOT_SUPPORTED.items():
            if name in value and value[name] not in (None, neutral):
                raise PydanticCustomError(
                    "unsupported_parameter",
                    "'{param}' is not supported here; leave it out, or send {neutral}",
                    {"param": name, "neutral": repr(neutral)},
                )
        return {key: item for key, item in value.items() if key not in _NOT_SUPPORTED}

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed with stream = true")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("give max_tokens or max_completion_tokens, not both")
        if len(self.stop_strings) > 4 or "" in self.stop_strings:
            raise ValueError("stop takes up to four strings, none of them empty")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs is only allowed with logprobs = true")
        return self

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """`stop` as a tuple."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def token_limit(self) -> int | None:
        """Whichever of the two names of the limit was given."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def num_logprobs(self) -> int | None:
        """How many alternatives to return with each log-probability; None returns neither."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def has_embeds(self) -> bool:
        """Whether a part brings soft tokens of the caller's own."""
        return any(
            isinstance(part, PromptEmbedsPart)
            for message in self.messages
            for part in message.parts
        )


class AlignRequest(Strict):
    """Body of `POST /v1/align`."""

    model: str | None = Field(None, description="a served model's name; absent means the first")
    input: Annotated[MediaPart, Field(discriminator="type")] = Field(
        description="one medium, as a part of a message carries it"
    )
    format: Literal["safetensors", "json"] = Field(
        "safetensors", description="base64 of a safetensors file, or nested lists of numbers"
    )


class BundleRequest(Strict):
    """Body of `POST /admin/bundles`."""

    folder: str = Field(
        min_length=1, description="under the service's bundles_dir, such as walks or run-3/bundle"
    )
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="what requests call it; absent takes the folder's; a served one is replaced",
    )
