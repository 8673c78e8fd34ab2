"""Bytes of a stream to server-sent events, and those to an answer.

Does not read from a network: `anymal.client.connection` passes the bytes on, in fragments of any
size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from anymal.client.answer import Answer
from anymal.client.errors import ServerError
from anymal.client.requests import parse
from anymal.protocol.responses import (
    ChatCompletionChunk,
    ChunkChoice,
    ErrorBody,
    FinishReason,
    TokenLogprob,
    Usage,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One event: its name (`message` where it has none) and its data."""

    name: str
    data: str


class EventDecoder:
    """Collects bytes, and returns whole events.

    NOTE: lines end at LF or CRLF only. `str.splitlines`, which httpx's `iter_lines` follows, also
    ends them at U+2028 and its like, which JSON may carry unescaped.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._name = "message"
        self._data: list[str] = []

    def push(self, fragment: bytes) -> Iterator[ServerEvent]:
        """Add bytes; yields the events that they completed."""
        *lines, self._buffer = (self._buffer + fragment).split(b"\n")
        for line in lines:
            yield from self._read(line.removesuffix(b"\r").decode())

    def _read(self, line: str) -> Iterator[ServerEvent]:
        """One line: a field, a comment, or the blank line that ends an event."""
        if not line:
            if self._data:
                yield ServerEvent(name=self._name, data="\n".join(self._data))
            self._name, self._data = "message", []
            return
        key, _, value = line.partition(":")
        if key == "data":
            self._data.append(value.removeprefix(" "))
        elif key == "event":
            self._name = value.removeprefix(" ")


class StreamReader:
    """One stream, from its first byte to the answer.

    Attributes:
        has_begun: Whether an event was read; a retry would then repeat words.
        request_id: The request's id in the service's log.
    """

    def __init__(self, request_id: str) -> None:
        self.has_begun = False
        self.request_id = request_id
        self._decoder = EventDecoder()
        self._pieces: list[str] = []
        self._refusal: list[str] = []
        self._logprobs: list[TokenLogprob] | None = None
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._model = ""

    def push(self, fragment: bytes) -> Iterator[str]:
        """Add bytes.

        Args:
            fragment: The next bytes of the stream, cut anywhere.

        Yields:
            The pieces of text in them.

        Raises:
            ServerError: If the service reports an error, or the bytes are not such a stream.
        """
        try:
            for event in self._decoder.push(fragment):
                self.has_begun = True
                if event.data != "[DONE]":
                    self._raise_for_error(event)
                    yield from self._read(parse(ChatCompletionChunk, event.data, self.request_id))
        except UnicodeDecodeError as error:
            raise ServerError(
                f"the service streamed bytes that are not UTF-8 ({error})",
                request_id=self.request_id,
            ) from error

    def answer(self) -> Answer:
        """The whole answer, once the stream has ended.

        Raises:
            ServerError: If it ended too early.
        """
        if self._reason is None or self._usage is None:
            raise ServerError(
                "the stream broke off before the answer ended; ask again",
                request_id=self.request_id,
            )
        return Answer(
            text="".join(self._pieces),
            finish_reason=self._reason,
            usage=self._usage,
            model=self._model,
            logprobs=None if self._logprobs is None else tuple(self._logprobs),
            refusal="".join(self._refusal) or None,
            request_id=self.request_id,
        )

    def _raise_for_error(self, event: ServerEvent) -> None:
        """An error after the first byte comes as an event."""
        if event.name == "error":
            detail = parse(ErrorBody, event.data, self.request_id).error
            raise ServerError(
                detail.message, code=detail.code, param=detail.param, request_id=self.request_id
            )

    def _read(self, chunk: ChatCompletionChunk) -> Iterator[str]:
        self._model = chunk.model
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            if choice.index == 0:  # of several answers, the first
                yield from self._read_choice(choice)

    def _read_choice(self, choice: ChunkChoice) -> Iterator[str]:
        self._reason = choice.finish_reason or self._reason
        if choice.logprobs is not None and choice.logprobs.content is not None:
            self._logprobs = [*(self._logprobs or ()), *choice.logprobs.content]
        if choice.delta.refusal:
            self._refusal.append(choice.delta.refusal)
        if choice.delta.content:
            self._pieces.append(choice.delta.content)
            yield choice.delta.content
