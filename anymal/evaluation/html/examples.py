"""The worst answers of each task, with the media that the model was shown.

Does not judge answers; the values are those of the task's score.
"""

from collections import Counter
from dataclasses import dataclass

from anymal.evaluation.answered import Answered
from anymal.evaluation.controls import media_of, signals_of, text_of
from anymal.evaluation.html.drawn import Drawn, draw
from anymal.evaluation.task import Task
from anymal.processor import Processor

_MOST_OF_TASK = 4
_MOST_BYTES = 8 * 2**20  # of all media on the page
_MOST_CHARACTERS = 600
_EMBEDS = "prompt_embeds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One question, what was expected, and what the model said.

    Attributes:
        name: The record's `id`.
        question: The words of the conversation.
        expected: The right answer.
        answer: The model's.
        value: What it is worth.
        media: As the model was shown them.
        note: Why media are missing; empty where none are.
    """

    name: str
    question: str
    expected: str
    answer: str
    value: float
    media: tuple[Drawn, ...]
    note: str


class Examples:
    """Collects the worst answers while an evaluation runs.

    Attributes:
        by_task: Found so far.
    """

    def __init__(self, processor: Processor) -> None:
        """Starts with none.

        Args:
            processor: The model's own: it decodes as the model does.
        """
        self.by_task: dict[str, list[Example]] = {}
        self._processor = processor
        self._num_bytes = 0

    def watch(self, task: Task, true: Answered) -> None:
        """Keep the worst answers of a task; see `anymal.evaluation.runner.evaluate`."""
        self.by_task[task.name] = [
            self._example(task, true, place) for place in worst(true)[:_MOST_OF_TASK]
        ]

    def _example(self, task: Task, true: Answered, place: int) -> Example:
        question = true.questions[place]
        want = question.expected
        media, note = self._drawn(task, true, place)
        return Example(
            name=question.name,
            question=_cut(text_of(question.prompt)),
            expected=_cut(want.answer or " | ".join(want.references)),
            answer=_cut(true.replies[place].text),
            value=float(true.judged.values[place]),
            media=media,
            note=note,
        )

    def _drawn(self, task: Task, true: Answered, place: int) -> tuple[tuple[Drawn, ...], str]:
        """The media of a question, and why they are missing if they are."""
        prompt = true.questions[place].prompt
        if any(part["type"] == _EMBEDS for part in media_of(prompt)):
            return (), "it brings soft tokens, which have no picture"
        signals = signals_of(prompt, self._processor, base_dir=task.base_dir)
        media = tuple(draw(modality, signal) for modality, signal in signals)
        num_bytes = sum(drawn.num_bytes for drawn in media)
        if self._num_bytes + num_bytes > _MOST_BYTES:
            return (), f"media of more than {_MOST_BYTES >> 20} MiB are left out of this page"
        self._num_bytes += num_bytes
        return media, ""


def worst(true: Answered) -> list[int]:
    """The places of answers that are not fully right: each kind of question in turn."""
    values = true.judged.values.tolist()
    turns: Counter[str] = Counter()
    ranked = []
    for place in sorted(range(len(values)), key=lambda place: (values[place], place)):
        if values[place] < true.judged.highest:
            kind = true.questions[place].expected.task
            ranked.append((turns[kind], values[place], place))
            turns[kind] += 1
    return [place for _, _, place in sorted(ranked)]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ..."
