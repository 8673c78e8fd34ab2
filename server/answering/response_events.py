"""An answer in the shape of OpenAI's Responses API: one object, or the events of its growth.

Does not run the engine and does not know where the request came from.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from anymal.engine.events import Failed, Finished, Logprob, TextDelta, TokenCounts
from anymal.protocol.response_objects import (
    IncompleteDetails,
    InputTokensDetails,
    OutputMessage,
    OutputRefusal,
    OutputText,
    ResponseError,
    ResponseObject,
    ResponseUsage,
)
from anymal.protocol.response_requests import ResponseRequest
from anymal.protocol.responses import TokenLogprob
from anymal.serving.shapes import finish_reason_of, logprob_of
from server.answering.answers import Piece, Withheld
from server.answering.sse import frame
from server.errors import body_for

_CUT: dict[str, Any] = {"length": "max_output_tokens", "content_filter": "content_filter"}
_CODES: dict[str, Any] = {
    "server_error": "server_error",
    "rate_limit_error": "rate_limit_exceeded",
    "invalid_request_error": "invalid_prompt",
}


class ResponseShape:
    """One response while it grows; see `server.answering.respond.Shape`."""

    def __init__(self, asked: ResponseRequest, model: str) -> None:
        """Has no words yet.

        Args:
            asked: The request.
            model: What answers.
        """
        number = uuid.uuid4().hex
        self._number = 0
        self._texts: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._refusal: str | None = None
        self._has_logprobs = asked.has_logprobs
        self._message = OutputMessage(id=f"msg_{number}", status="in_progress", content=[])
        self._response = ResponseObject(
            id=f"resp_{number}",
            created_at=int(time.time()),
            status="in_progress",
            model=model,
            instructions=asked.instructions,
            max_output_tokens=asked.max_output_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_logprobs=asked.top_logprobs or 0,
        )

    async def whole(self, pieces: AsyncIterator[Piece]) -> Response:
        """See `Shape`."""
        async for piece in pieces:
            if isinstance(piece.event, Failed):
                raise piece.event.error
            self._take(piece)
        return JSONResponse(self._response.model_dump())

    def begin(self) -> Iterator[bytes]:
        """The response, its message and its words, all still empty."""
        yield self._event("response.created", response=self._response)
        yield self._event("response.in_progress", response=self._response)
        yield self._event("response.output_item.added", output_index=0, item=self._message)
        yield self._part_event("response.content_part.added", part=OutputText(text=""))

    def piece(self, piece: Piece) -> Iterator[bytes]:
        """The words that a piece adds."""
        before = len(self._logprobs)
        self._take(piece)
        if isinstance(piece.event, TextDelta):
            added = [each.model_dump() for each in self._logprobs[before:]]
            yield self._part_event(
                "response.output_text.delta", delta=piece.event.text, logprobs=added
            )

    def end(self) -> Iterator[bytes]:
        """The words, the message and the response, all whole."""
        text = self._text()
        yield self._part_event(
            "response.output_text.done", text=text.text, logprobs=text.model_dump()["logprobs"]
        )
        yield self._part_event("response.content_part.done", part=text)
        if self._refusal is not None:
            yield from self._refusal_events(self._refusal)
        yield self._event(
            "response.output_item.done", output_index=0, item=self._response.output[0]
        )
        yield self._event(f"response.{self._response.status}", response=self._response)

    def failure(self, error: Exception) -> bytes:
        """The response with its error."""
        detail = body_for(error).error
        code = _CODES.get(detail.type, "server_error")
        failed = self._response.model_copy(
            update={"status": "failed", "error": ResponseError(code=code, message=detail.message)}
        )
        return self._event("response.failed", response=failed)

    def _refusal_events(self, refusal: str) -> Iterator[bytes]:
        """The second part of an answer that a check cut off."""
        for kind, fields in (
            ("response.content_part.added", {"part": OutputRefusal(refusal="")}),
            ("response.refusal.delta", {"delta": refusal}),
            ("response.refusal.done", {"refusal": refusal}),
            ("response.content_part.done", {"part": OutputRefusal(refusal=refusal)}),
        ):
            yield self._part_event(kind, content_index=1, **fields)

    def _take(self, piece: Piece) -> None:
        """Take note of a piece that is no failure."""
        match piece.event:
            case TextDelta(text=text, logprobs=logprobs):
                self._texts.append(text)
                self._add(logprobs)
            case Finished(reason=reason, counts=counts, logprobs=logprobs):
                self._add(logprobs)
                self._close(finish_reason_of(reason), counts)
            case Withheld(message=message, counts=counts):
                self._refusal = message
                self._close("content_filter", counts)

    def _add(self, logprobs: tuple[Logprob, ...]) -> None:
        if self._has_logprobs:
            self._logprobs += [logprob_of(each) for each in logprobs]

    def _close(self, reason: str, counts: TokenCounts) -> None:
        """The answer has ended."""
        cut = _CUT.get(reason)
        refusals = [] if self._refusal is None else [OutputRefusal(refusal=self._refusal)]
        self._message.status = self._response.status = "incomplete" if cut else "completed"
        self._message.content = [self._text(), *refusals]
        self._response.output = [self._message]
        self._response.incomplete_details = IncompleteDetails(reason=cut) if cut else None
        self._response.usage = ResponseUsage(
            input_tokens=counts.prompt,
            input_tokens_details=InputTokensDetails(cached_tokens=counts.cached),
            output_tokens=counts.completion,
            total_tokens=counts.prompt + counts.completion,
        )

    def _text(self) -> OutputText:
        return OutputText(text="".join(self._texts), logprobs=self._logprobs)

    def _part_event(self, kind: str, *, content_index: int = 0, **fields: Any) -> bytes:
        """An event of a part of the message."""
        place = {"item_id": self._message.id, "output_index": 0, "content_index": content_index}
        return self._event(kind, **place, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return frame(json.dumps(data, default=_json), event=kind)


def _json(value: BaseModel) -> dict[str, Any]:
    return value.model_dump()
