"""What `POST /v1/responses` answers: one object, in the shape of OpenAI's Responses API.

Does not know HTTP, and does not know the events that carry it; the service writes them.
"""

from typing import Literal

from pydantic import BaseModel, Field

from anymal.protocol.responses import TokenLogprob

Status = Literal["in_progress", "completed", "incomplete", "failed"]


class OutputText(BaseModel):
    """Words of the answer."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[str] = Field(default_factory=list, description="always empty")
    logprobs: list[TokenLogprob] = Field(default_factory=list, description="if asked for")


class OutputRefusal(BaseModel):
    """Why a check cut the answer off."""

    type: Literal["refusal"] = "refusal"
    refusal: str


class OutputMessage(BaseModel):
    """The assistant's turn."""

    type: Literal["message"] = "message"
    id: str
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText | OutputRefusal]


class InputTokensDetails(BaseModel):
    """What of the prompt was computed before."""

    cached_tokens: int
    cache_write_tokens: int = Field(0, description="always 0: nothing is billed")


class OutputTokensDetails(BaseModel):
    """What of the answer was thought."""

    reasoning_tokens: int = Field(0, description="always 0")


class ResponseUsage(BaseModel):
    """Token counts."""

    input_tokens: int = Field(description="text and soft tokens of the prompt")
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int


class IncompleteDetails(BaseModel):
    """Why an answer was cut off."""

    reason: Literal["max_output_tokens", "content_filter"]


class ResponseError(BaseModel):
    """Why there is no answer."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class TextFormat(BaseModel):
    """Plain text."""

    type: Literal["text"] = "text"


class TextForm(BaseModel):
    """The form of the answer."""

    format: TextFormat = TextFormat()


class ResponseObject(BaseModel):
    """An answer, or what there is of it so far."""

    id: str
    object: Literal["response"] = "response"
    created_at: int = Field(description="seconds since 1970")
    status: Status
    model: str
    output: list[OutputMessage] = Field(default_factory=list)
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    usage: ResponseUsage | None = None
    instructions: str | None
    max_output_tokens: int | None
    temperature: float
    top_p: float
    top_logprobs: int = 0
    text: TextForm = TextForm()
    background: Literal[False] = False
    metadata: dict[str, str] = Field(default_factory=dict, description="always empty")
    parallel_tool_calls: Literal[False] = False
    previous_response_id: None = None
    store: Literal[False] = False
    tool_choice: Literal["none"] = "none"
    tools: list[str] = Field(default_factory=list, description="always empty")
    truncation: Literal["disabled"] = "disabled"
