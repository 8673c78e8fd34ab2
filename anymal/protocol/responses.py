"""Response models of the REST API, shared by server and client.

Does not know HTTP; requests are in `requests.py`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer

FinishReason = Literal["stop", "length", "content_filter"]


class _Reply(BaseModel):
    """Frozen; a newer server may add keys, which an older client ignores."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Usage(_Reply):
    """Token counts of one request."""

    prompt_tokens: int = Field(description="text and soft tokens of the prompt")
    completion_tokens: int = Field(description="tokens of all answers together")
    total_tokens: int
    prompt_tokens_details: dict[str, int] = Field(
        default_factory=dict,
        description="cached_tokens, text_tokens, and image_tokens etc. where present",
    )


class TopLogprob(_Reply):
    """A token that might have been drawn."""

    token: str
    bytes: list[int] | None = Field(description="its UTF-8; tokens may be parts of characters")
    logprob: float


class TokenLogprob(TopLogprob):
    """A token that was drawn."""

    top_logprobs: list[TopLogprob] = Field(default_factory=list, description="likeliest first")


class ChoiceLogprobs(_Reply):
    """How likely the tokens of an answer were."""

    content: list[TokenLogprob] | None
    refusal: None = None


class AnswerMessage(_Reply):
    """The assistant's turn."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = Field(None, description="why a check cut the answer off; else null")


class Choice(_Reply):
    """One answer."""

    index: int = 0
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: ChoiceLogprobs | None = None


class ChatCompletionResponse(_Reply):
    """Whole answers, as many as were asked for."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="seconds since 1970")
    model: str
    choices: list[Choice]
    usage: Usage


class Delta(_Reply):
    """What a chunk adds."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None


class ChunkChoice(_Reply):
    """One answer's next piece."""

    index: int = 0
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: ChoiceLogprobs | None = None

    @field_serializer("delta")
    def _without_nulls(self, delta: Delta) -> dict[str, str]:
        # Stock clients join `content` where the key is there.
        return delta.model_dump(exclude_none=True)


class ChatCompletionChunk(_Reply):
    """One server-sent event of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int = Field(description="seconds since 1970")
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class AnswerLikelihood(_Reply):
    """How likely one given answer is; logarithms are natural."""

    sum: float = Field(description="of its tokens' log-probabilities: the answer's own")
    per_token: float = Field(description="their mean, which does not fall with length")
    tokens: int = Field(description="how many there are, the end among them if it is counted")
    is_greedy: bool = Field(description="each token is the likeliest: the model would say this")
    probability: float = Field(description="among the given answers, by the sums")
    probability_per_token: float = Field(description="among the given answers, by the means")


class LikelihoodReply(_Reply):
    """How likely given answers are, in the order they came in."""

    object: Literal["likelihood"] = "likelihood"
    model: str
    answers: list[AnswerLikelihood]
    usage: Usage


class ScoreReply(_Reply):
    """How good the answer is that ends a conversation."""

    object: Literal["score"] = "score"
    model: str
    score: float = Field(description="larger is better; only differences mean something")
    usage: Usage


class SoftTokensReply(_Reply):
    """A medium as the language model reads it."""

    object: Literal["soft_tokens"] = "soft_tokens"
    model: str
    modality: str
    shape: list[int] = Field(description="Q soft tokens, D_llm numbers each")
    beside: bool = Field(
        False,
        description="read beside the row: they take no positions and cannot be sent back",
    )
    embeds: str | list[list[float]] = Field(
        description="base64 of a safetensors file with one tensor `embeds`, or nested lists"
    )


class ModelCard(_Reply):
    """One served model."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="seconds since 1970")
    owned_by: str = "anymal"
    modalities: list[str] = Field(default_factory=list, description="media the model takes")
    needs_media: bool = Field(False, description="refuses conversations without any medium")


class ModelList(_Reply):
    """Answer of `GET /v1/models`; the first is the default."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class BundleCard(_Reply):
    """One served bundle, as its operator sees it."""

    name: str
    object: Literal["bundle"] = "bundle"
    created: int = Field(description="when it was loaded, in seconds since 1970")
    modalities: list[str]
    is_default: bool = Field(description="answers requests that name no model")
    shares_llm_with: list[str] = Field(description="bundles that use the same language model")
    num_running: int = Field(description="requests that it is answering")


class BundleList(_Reply):
    """Answer of `GET /admin/bundles`; the first is the default."""

    object: Literal["list"] = "list"
    data: list[BundleCard]


class ErrorDetail(_Reply):
    """What went wrong, in OpenAI's shape."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(_Reply):
    """Body of every answer that is not 2xx, and of an `error` event."""

    error: ErrorDetail
