"""A service as the command line asks it: uploads have a bar, and older services are understood.

Does not send anything; the client does.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

import typer

from anymal.cli.upload_bar import UploadBar
from anymal.client import Client
from anymal.client.answer import Answer, AnswerOptions, AnswerStream
from anymal.client.attachments import Media
from anymal.client.errors import BadRequestError
from anymal.protocol.conversation import Message

Messages = Sequence[Message | Mapping[str, Any]]


class RemoteAsker:
    """A client; see `anymal.client.answer.Asker`."""

    def __init__(self, client: Client) -> None:
        """Wraps a client.

        Args:
            client: Asks the service.
        """
        self._client = client
        self._bar = UploadBar()
        self._is_older = False  # than `stop_repetition`

    def message(self, question: str, **media: Unpack[Media]) -> Message:
        """A user's turn: the media, then the question."""
        return self._client.message(question, **media)

    def stream(self, messages: Messages, **options: Unpack[AnswerOptions]) -> AnswerStream:
        """Answer a conversation piece by piece.

        A service that does not know `stop_repetition` is asked again without it, and standard
        error says so.
        """
        return AnswerStream(self._pieces(messages, options))

    def _pieces(self, messages: Messages, options: AnswerOptions) -> Iterator[str | Answer]:
        if self._is_older:
            options.pop("stop_repetition", None)
        try:
            yield from self._asked(messages, options)
        except BadRequestError as error:
            if "stop_repetition" not in options or error.param != "stop_repetition":
                raise
        else:
            return
        self._is_older = True
        typer.echo(
            "this service does not know stop_repetition: an answer that goes in circles ends at "
            "the token limit",
            err=True,
        )
        options.pop("stop_repetition")
        yield from self._asked(messages, options)

    def _asked(self, messages: Messages, options: AnswerOptions) -> Iterator[str | Answer]:
        with self._client.stream(messages, on_upload=self._bar, **options) as stream:
            yield from stream
            yield stream.answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        self._client.close()
