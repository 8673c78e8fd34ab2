"""Renders chat templates in a process of their own, with limits of time, memory and output.

A template comes with a model and may be a stranger's: `'a' * 2000000000` or loops over large ranges
would hold this process, its memory and the interpreter's lock. Does not understand what templates
write; `anymal.chat.jinja` does. What they render with is in `template_program`.
"""

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from anymal.chat import template_program
from anymal.chat.shipped import next_step
from anymal.errors import ConversationError

MAX_SECONDS = 2.0  # of processor time, for one conversation
MAX_BYTES = 512 * 2**20
MAX_CHARS, MAX_CHARS_PER_MESSAGE = 2**16, 2**10
# For a machine that is stalled; the processor time is over before.
_PATIENCE_S = 30.0
# Conversations of so many messages are remembered, as many as this.
_REMEMBERED_MESSAGES, _REMEMBERED = 64, 512


class _Excess(Exception):
    """A template went beyond a limit; says which."""


class BoundedTemplate:
    """One chat template: writes conversations, or fails before it does harm.

    What it writes depends on the roles and the kinds of parts alone, since marks stand for
    contents, and is remembered. Once it has gone beyond a limit, it only repeats what it wrote
    before: callers must not make it do so again and again.
    """

    def __init__(self, source: str, variables: Mapping[str, Any]) -> None:
        """Renders nothing yet.

        Args:
            source: Jinja.
            variables: JSON values that it always sees.
        """
        self._source = source
        self._variables = variables
        self._written: dict[str, str] = {}
        self._excess: str | None = None

    def write(self, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
        """Render a conversation.

        Args:
            messages: Each with its `role`, and marks for what it holds.
            **variables: JSON values that it sees this time.

        Returns:
            What the template wrote.

        Raises:
            ConversationError: It refuses the messages, or is beyond a limit.
        """
        key = json.dumps([messages, variables])
        if (text := self._written.get(key)) is not None:
            return text
        try:
            text = self._render(messages, variables)
        except _Excess as error:
            self._excess = str(error)
            raise ConversationError(f"the model's chat template {error}; {next_step()}") from error
        if len(messages) <= _REMEMBERED_MESSAGES and len(self._written) < _REMEMBERED:
            self._written[key] = text
        return text

    def _render(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> str:
        if self._excess is not None:
            raise _Excess(self._excess)
        seen = {"tools": None, "documents": None, "messages": messages}
        reply = _process(os.getpid()).ask(
            {
                "template": self._source,
                "variables": {**seen, **variables, **self._variables},
                "max_chars": MAX_CHARS + MAX_CHARS_PER_MESSAGE * len(messages),
                "max_bytes": MAX_BYTES,
                "seconds": MAX_SECONDS,
            }
        )
        if "refusal" in reply:
            roles = ", ".join(str(message["role"]) for message in messages[:20])
            raise ConversationError(
                f"the model's chat template refuses the roles {roles}: {reply['refusal']}"
            )
        return reply["text"]


class _Process:
    """The program that renders, started when it is first needed and again after it was ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._end: weakref.finalize[Any, Any] | None = None  # also when this process exits

    def ask(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Ask for one rendering.

        Raises:
            _Excess: It went beyond a limit.
        """
        with self._lock:
            program = self._program()
            deadline = threading.Timer(_PATIENCE_S, program.kill)
            deadline.start()
            try:
                reply = _exchange(program, json.dumps(request))
            finally:
                deadline.cancel()
                deadline.join()
            if reply is None or "excess" in reply:
                self._stop()
        if reply is None:
            raise _Excess(f"takes more than {MAX_SECONDS:g} seconds of processor time")
        if "excess" in reply:
            raise _Excess(reply["excess"])
        return reply

    def _program(self) -> "subprocess.Popen[str]":
        """The running program."""
        if self._running is not None and self._running.poll() is not None:
            self._stop()
        if self._running is None:
            # Nothing of this process's environment, which may hold keys, but what Python needs.
            needed = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
            environment = {name: os.environ[name] for name in needed if name in os.environ}
            environment["PYTHONPATH"] = os.pathsep.join(sys.path)
            self._running = subprocess.Popen(
                [sys.executable, "-P", str(Path(template_program.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                text=True,
                encoding="utf-8",
            )
            self._end = weakref.finalize(self, _end, self._running)
        return self._running

    def _stop(self) -> None:
        assert self._end is not None, "it was started"
        self._end()
        self._running = None


@cache
def _process(pid: int) -> _Process:
    """The one of this process; a forked one must not speak over the pipes of another."""
    return _Process()


def _exchange(program: "subprocess.Popen[str]", line: str) -> dict[str, str] | None:
    """Send a line and read one; None if the program ended instead."""
    assert program.stdin is not None, "a pipe"
    assert program.stdout is not None, "a pipe"
    try:
        program.stdin.write(line + "\n")
        program.stdin.flush()
    except BrokenPipeError:
        return None
    answer = program.stdout.readline()
    reply: dict[str, str] | None = json.loads(answer) if answer.endswith("\n") else None
    return reply


def _end(program: "subprocess.Popen[str]") -> None:
    """Kill it, close the pipes and wait."""
    with suppress(BrokenPipeError), program:  # of what it did not read
        program.kill()
