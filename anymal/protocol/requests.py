"""Request models of the REST API, shared by server and client; responses are in `responses.py`.

Does not know HTTP. The conversation inside a request is in `conversation.py`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from anymal.protocol.conversation import MediaPart, Message, PromptEmbedsPart, VideoPart, Words
from anymal.protocol.sizes import (
    MAX_ANSWER_CHARACTERS,
    MAX_ANSWERS,
    MAX_NAME_CHARACTERS,
    MAX_STOP_CHARACTERS,
    MAX_STOPS,
    at_most,
    check_keys,
    check_length,
)
from anymal.protocol.strict import NOT_A_BOOLEAN, Number, Strict, Whole
from anymal.protocol.without_effect import REQUEST, STREAM_OPTIONS, Rows, taken_out

AtLeastOne = Annotated[int | None, Field(ge=1), NOT_A_BOOLEAN]
UpToTwenty = Annotated[int | None, Field(ge=0, le=20), NOT_A_BOOLEAN]
# Below this, no answer changes any more, and float32 scores overflow.
MIN_TEMPERATURE = 1e-9


def _useful(value: float) -> float:
    if 0 < value < MIN_TEMPERATURE:
        least = {"least": MIN_TEMPERATURE}
        raise PydanticCustomError("too_small", "allowed are 0 and {least} to 2", least)
    return value


Temperature = Annotated[
    Number,
    Field(
        ge=0,
        le=2,
        description=f"0 takes the likeliest token; otherwise {MIN_TEMPERATURE} to 2",
    ),
    AfterValidator(_useful),
]


class TolerantRequest(Strict):
    """A request that may hold fields without effect; they are known by their paths."""

    _ignored: tuple[str, ...] = PrivateAttr(())

    @property
    def ignored(self) -> tuple[str, ...]:
        """Paths of the fields that were sent and have no effect, such as `messages.0.name`."""
        return self._ignored

    @model_validator(mode="wrap")
    @classmethod
    def _take_out(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(value, Mapping):
            return handler(value)
        check_keys(value, {**cls.model_fields, **cls.without_effect})
        check_length(value)
        clean, ignored = taken_out(value, cls.without_effect)
        request = handler(clean)
        request._ignored = ignored
        return request


class StreamOptions(Strict):
    """What else a stream carries."""

    without_effect: ClassVar[Rows] = STREAM_OPTIONS

    include_usage: bool = Field(False, description="send a last chunk with the token counts")


class ConversationRequest(TolerantRequest):
    """A request about a conversation."""

    model: str | None = Field(
        None,
        max_length=MAX_NAME_CHARACTERS,
        description="a served model's name; absent means the first",
    )
    messages: Annotated[list[Message], Field(fail_fast=True)] = Field(
        min_length=1, description="turns, oldest first"
    )

    @property
    def has_embeds(self) -> bool:
        """Whether a part brings soft tokens of the caller's own."""
        return any(
            isinstance(part, PromptEmbedsPart)
            for message in self.messages
            for part in message.media.values()
        )


class LikelihoodRequest(ConversationRequest):
    """Body of `POST /v1/likelihood`."""

    answers: Annotated[
        list[Annotated[Words, Field(max_length=MAX_ANSWER_CHARACTERS)]],
        Field(fail_fast=True, min_length=1, max_length=MAX_ANSWERS),
        at_most(MAX_ANSWERS, "answers"),
    ] = Field(description="what the assistant might say next")
    include_end: bool = Field(
        True, description="count the token that ends an answer as part of each; training teaches it"
    )


class ScoreRequest(ConversationRequest):
    """Body of `POST /v1/score`."""

    facts: Annotated[
        list[Annotated[Words, Field(max_length=MAX_ANSWER_CHARACTERS)]],
        Field(fail_fast=True, max_length=MAX_ANSWERS),
        at_most(MAX_ANSWERS, "facts"),
    ] = Field([], description="what is known of the media, for models that were taught with facts")


class ChatCompletionRequest(ConversationRequest):
    """Body of `POST /v1/chat/completions`."""

    without_effect: ClassVar[Rows] = REQUEST

    n: Whole = Field(1, ge=1, le=8, description="how many answers")
    stream: bool = Field(False, description="answer as server-sent events")
    stream_options: StreamOptions | None = Field(None, description="only with stream")
    temperature: Temperature = 0.0
    top_p: Number = Field(
        1.0, ge=0, le=1, description="sample among this much probability; 0 takes the likeliest"
    )
    min_p: Number = Field(
        0.0, ge=0, le=1, description="sample among tokens this likely beside the likeliest"
    )
    top_k: Whole = Field(0, ge=-1, description="sample among this many tokens; 0 or -1 among all")
    repetition_penalty: Number = Field(
        1.0, ge=0.01, le=2, description="above 1 makes tokens of prompt and answer less likely"
    )
    presence_penalty: Number = Field(
        0.0, ge=-2, le=2, description="taken once off the score of each token of the answer so far"
    )
    frequency_penalty: Number = Field(
        0.0, ge=-2, le=2, description="the same, as often as the token stands there"
    )
    max_tokens: AtLeastOne = Field(None, description="most tokens to generate")
    max_completion_tokens: AtLeastOne = Field(None, description="newer name of max_tokens")
    stop: str | Annotated[list[str], Field(fail_fast=True)] | None = Field(
        None, description="up to four strings that end the answer"
    )
    ignore_eos: bool = Field(
        False, description="go on to the token limit, past the token that ends an answer"
    )
    stop_repetition: bool = Field(
        False, description="end an answer that says the same 8 or more tokens three times in a row"
    )
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**63), NOT_A_BOOLEAN] = Field(
        None, description="makes sampling repeatable"
    )
    logprobs: bool = Field(False, description="return the log-probability of each token")
    top_logprobs: UpToTwenty = Field(
        None, description="and of this many alternatives; only with logprobs"
    )

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise _wrong("stream_options", "only allowed with stream = true")
        if None not in (self.max_tokens, self.max_completion_tokens) and (
            self.max_tokens != self.max_completion_tokens
        ):
            raise _wrong("max_tokens", "max_completion_tokens is another number; send one of them")
        if len(self.stop_strings) > MAX_STOPS or "" in self.stop_strings:
            raise _wrong("stop", "up to four strings are taken, none of them empty")
        if max(map(len, self.stop_strings), default=0) > MAX_STOP_CHARACTERS:
            raise _wrong("stop", f"a string may have up to {MAX_STOP_CHARACTERS:,} characters")
        if self.top_logprobs and not self.logprobs:
            raise _wrong("top_logprobs", "only allowed with logprobs = true")
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


def _wrong(param: str, reason: str) -> PydanticCustomError:
    """A field that does not fit another one."""
    return PydanticCustomError(
        "invalid_value", "{param}: {reason}", {"param": param, "reason": reason}
    )


class AlignRequest(TolerantRequest):
    """Body of `POST /v1/align`."""

    model: str | None = Field(
        None,
        max_length=MAX_NAME_CHARACTERS,
        description="a served model's name; absent means the first",
    )
    input: Annotated[MediaPart, Field(discriminator="type")] = Field(
        description="one medium, as a part of a message carries it"
    )
    text: Words | None = Field(
        None, description="words beside it, for models whose soft tokens depend on them"
    )

    @field_validator("input")
    @classmethod
    def _is_alone(cls, part: MediaPart) -> MediaPart:
        if part.group is not None or (isinstance(part, VideoPart) and part.video_url.sound):
            raise ValueError("one medium alone is on no clock; leave group and sound out")
        return part

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
