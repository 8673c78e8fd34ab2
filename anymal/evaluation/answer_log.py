"""The answers of an evaluation, written as they come, so that a killed one goes on where it was.

Each line of the file is one answer, or, at the end of a task, the values of its questions, which
`compare.py` reads. Does not ask or judge.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TextIO

from anymal.errors import DataError
from anymal.evaluation.answers import Reply
from anymal.evaluation.asked import digest_of

# Of a line with an answer, and of one with the values of a task.
_KEYS = (
    {"key", "task", "answer", "ended"},
    {"task", "metric", "is_mean", "highest", "values"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Valued:
    """One question that was asked with its true medium.

    Attributes:
        asked: Digest of the question, the same whichever model answers.
        medium: Digest of its medium.
        value: What the answer is worth; 0 is wrong.
    """

    asked: str
    medium: str
    value: float


def answer_key(
    *, identity: str, task: str, label: str, question: str, as_asked: str, max_tokens: int
) -> str:
    """What an answer is found by.

    Args:
        identity: All that answers depend on besides the question: the bundle, how it is held.
        task: Name of the task.
        label: What it was asked with: the true media, or a control.
        question: Digest of the question with its true media.
        as_asked: Digest of the question with the media that were shown.
        max_tokens: Most tokens of the answer.
    """
    return digest_of([identity, task, label, question, as_asked, max_tokens])


class AnswerLog:
    """Answers that were given, in the order in which they came; several threads may add some.

    Attributes:
        lines: All lines.
        replies: The answers by their keys.
    """

    def __init__(self, path: Path | None = None, *, resume: bool = False) -> None:
        """Reads what is there; the file is opened for the first line.

        Args:
            path: JSONL file to write to; None keeps lines in memory only.
            resume: Go on with the file where there is one; otherwise it is begun anew.

        Raises:
            DataError: The file holds something else.
        """
        self.lines: list[Mapping[str, Any]] = []
        self.replies: dict[str, Reply] = {}
        self._path = path
        self._mode: Literal["a", "w"] = "a" if resume else "w"
        self._file: TextIO | None = None
        self._lock = Lock()
        if path is not None and resume and path.exists():
            self.lines = _read_whole_lines(path)
            self.replies = {line["key"]: _reply(line) for line in self.lines if "key" in line}

    def add(self, key: str, reply: Reply, facts: Mapping[str, Any]) -> None:
        """Write an answer.

        Args:
            key: From `answer_key`.
            reply: The answer.
            facts: What else a reader wants to know of it.
        """
        line = {**facts, "answer": reply.text, "ended": reply.ended}
        if reply.choice is not None:
            line |= {"choice": reply.choice}
        if reply.likelihoods:
            line |= {"likelihoods": list(reply.likelihoods)}
        with self._lock:
            self.replies[key] = reply
            self._write({**line, "key": key})

    def add_values(
        self,
        task: str,
        metric: str,
        questions: Sequence[Valued],
        *,
        is_mean: bool,
        highest: float,
    ) -> None:
        """Write what the answers of a task are worth, unless the last line about that says so.

        Args:
            task: Name of the task.
            metric: Name of its first metric.
            questions: All of its questions.
            is_mean: Whether the metric is the mean of its values.
            highest: What a right answer is worth.
        """
        values = [[one.asked, one.medium, one.value] for one in questions]
        scale = {"is_mean": is_mean, "highest": highest}
        line = {"task": task, "metric": metric, **scale, "values": values}
        before = [each for each in self.lines if "values" in each and each["task"] == task]
        if before[-1:] != [line]:
            self._write(line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self.lines.append(line)
        if self._path is None:
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # By line, so that what was answered is kept when the process is killed.
            self._file = self._path.open(self._mode, encoding="utf-8", buffering=1)
        self._file.write(json.dumps(line) + "\n")


def read_lines(path: Path) -> list[Mapping[str, Any]]:
    """The lines of a log; the last one may be cut short, and is left out.

    Args:
        path: A JSONL file that `AnswerLog` wrote.

    Raises:
        DataError: It is missing, or another line is not one of a log.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read the answers {path}: {error.strerror}") from None
    whole, _, _ = text.rpartition("\n")
    return [_line(path, number, line) for number, line in enumerate(whole.splitlines(), start=1)]


def _read_whole_lines(path: Path) -> list[Mapping[str, Any]]:
    """The lines of a log, a last one that was cut short taken off the file."""
    lines = read_lines(path)
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(data.rfind(b"\n") + 1)
    return lines


def _line(path: Path, number: int, text: str) -> Mapping[str, Any]:
    """One line, checked."""
    try:
        line = json.loads(text)
    except json.JSONDecodeError:
        line = None
    if isinstance(line, dict) and any(keys <= set(line) for keys in _KEYS):
        return line
    raise DataError(
        f"{path}:{number} is not a line that `anymal eval --answers` wrote; name another file"
    )


def _reply(line: Mapping[str, Any]) -> Reply:
    return Reply(
        text=line["answer"],
        ended=line["ended"],
        choice=line.get("choice"),
        likelihoods=tuple(line.get("likelihoods", ())),
    )
