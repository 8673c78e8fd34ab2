"""Puts a streamed answer together, however its bytes arrive.

Does not read from a network; `anymal.client.connection` hands the bytes over.
"""

from collections.abc import Iterator

from anymal.client.answer import Answer
from anymal.client.errors import ServerError
from anymal.client.event_stream import EventDecoder, ServerEvent
from anymal.client.requests import parse
from anymal.protocol.responses import (
    ChatCompletionChunk,
    ChunkChoice,
    ErrorBody,
    FinishReason,
    TokenLogprob,
    Usage,
)


class StreamReader:
    """One stream, from its first byte to the answer.

    Attributes:
        has_begun: Whether an event was read: from then on, asking again would repeat words.
        request_id: What the service's log calls the request.
    """

    def __init__(self, request_id: str) -> None:
        """Waits for bytes.

        Args:
            request_id: What the service's log calls the request.
        """
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
            ServerError: For an error that the service tells, or bytes that are no such stream.
        """
        try:
            for event in self._decoder.push(fragment):
                self.has_begun = True
                if event.data != "[DONE]":
                    self._raise_for_error(event)
                    yield from self._read(parse(ChatCompletionChunk, event.data, self.request_id))
        except UnicodeDecodeError as error:
            raise ServerError(
                f"the service streamed what is no UTF-8 ({error})", request_id=self.request_id
            ) from error

    def answer(self) -> Answer:
        """The whole answer, once the stream ended.

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
