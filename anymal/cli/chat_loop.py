"""A conversation in the terminal: lines in, answers out, files attached by slash commands.

Does not know where the answers come from: an `Asker` gives them.
"""

import shlex
from collections.abc import Callable, Iterable
from typing import cast

import typer

from anymal.client.answer import AnswerStream, Asker
from anymal.client.attachments import Media
from anymal.errors import AnymalError
from anymal.protocol.conversation import Message

_KINDS = ("image", "video", "audio", "imu")
_HELP = """\
Type a question. Before it, attach files, as many as you like:
  /image PATH   /video PATH   /audio PATH   /imu PATH
/files shows what is attached, /new starts over, /quit ends."""


class ChatLoop:
    """Keeps the conversation, and the files that wait for the next question."""

    def __init__(
        self,
        asker: Asker,
        *,
        motion: Media,
        max_tokens: int,
        show: Callable[[AnswerStream], str],
    ) -> None:
        """Starts an empty conversation.

        Args:
            asker: Answers it.
            motion: Rate and units of motion recordings.
            max_tokens: Most tokens of an answer.
            show: Prints an answer as it arrives, and returns it.
        """
        self._asker = asker
        self._motion = motion
        self._max_tokens = max_tokens
        self._show = show
        self._messages: list[Message] = []
        self._files: dict[str, list[str]] = {}

    def run(self, lines: Iterable[str]) -> None:
        """Read lines until they end or one says /quit."""
        typer.echo(_HELP)
        for line in lines:
            text = line.strip()
            if text == "/quit":
                return
            try:
                self._read(text)
            except AnymalError as error:  # a mistake costs one turn, not the conversation
                typer.echo(f"error: {error}", err=True)

    def _read(self, text: str) -> None:
        if text.startswith("/"):
            self._obey(text)
        elif text:
            self._answer(text)

    def _obey(self, text: str) -> None:
        """A slash command."""
        name, _, rest = text[1:].partition(" ")
        if name in _KINDS and rest.strip():
            # Like a shell, so that a path with spaces may be quoted, as dragging a file does.
            self._files.setdefault(name, []).extend(_words(rest))
        elif name == "new":
            self._messages, self._files = [], {}
        elif name != "files":
            typer.echo(_HELP)
            return
        attached = [f"{kind} {path}" for kind, paths in self._files.items() for path in paths]
        typer.echo(f"attached: {', '.join(attached) or 'nothing'}")

    def _answer(self, question: str) -> None:
        # Files go with one question only, even if it is refused.
        files, self._files = self._files, {}
        media = cast("Media", {**self._motion, **files})
        messages = [*self._messages, self._asker.message(question, **media)]
        stream = self._asker.stream(messages, max_tokens=self._max_tokens, stop_repetition=True)
        text = self._show(stream)
        self._messages = [*messages, Message(role="assistant", content=text)]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise AnymalError(f"cannot read {text!r} ({error}); close the quotation mark") from error
