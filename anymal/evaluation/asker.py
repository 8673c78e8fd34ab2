"""Puts the questions of a task to one model, unless the log holds the answers already.

Does not choose questions or make figures of answers.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from anymal.engine.sampling import Sampling
from anymal.evaluation.answer_log import AnswerLog, answer_key
from anymal.evaluation.answered import Answered, judge_answers
from anymal.evaluation.answers import Reply, answer
from anymal.evaluation.asked import digest_of, read_asked
from anymal.evaluation.controls import text_of
from anymal.evaluation.questions import Question
from anymal.evaluation.task import Task
from anymal.evaluation.ways import (
    LIKELIHOODS,
    Way,
    by_letter,
    by_likelihood,
    metrics_of,
    way_of,
    with_letters,
)
from anymal.serving.assistant import Assistant

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """One model, and how it is asked.

    Attributes:
        assistant: What answers; see `start_batch_assistant`.
        identity: What tells its answers from another model's in the log.
        batch_size: Questions answered at a time.
        max_tokens: Most tokens of an answer.
        way: How all questions are answered; None leaves it to their tasks.
        log: Gets every answer. What it holds already is not asked again.
        progress: Called with what is running, questions done, questions in all.
    """

    assistant: Assistant
    identity: str
    batch_size: int
    max_tokens: int
    way: Way | None
    log: AnswerLog
    progress: Progress | None

    def ask(self, task: Task, questions: Sequence[Question], label: str) -> Answered:
        """Get answers and judge them.

        Args:
            task: With its folder and its metrics.
            questions: To ask.
            label: What they are asked with: the true media, or a control.

        Raises:
            AnymalError: A question cannot be asked.
        """
        way = way_of(task, self.way)
        keys = [self._key(task, question, label, way) for question in questions]
        missing = [place for place, key in enumerate(keys) if key not in self.log.replies]

        def answer_and_keep(place: int) -> None:
            reply = self._reply(task, questions[place], way)
            # At once: an answer that waited for slower ones before it would be lost in a kill.
            self.log.add(keys[place], reply, _facts(task, questions[place], label, reply))

        done = len(questions) - len(missing)
        with ThreadPoolExecutor(max_workers=self.batch_size) as pool:
            for _ in pool.map(answer_and_keep, missing):
                done += 1
                if self.progress is not None:
                    self.progress(f"{task.name} ({label})", done, len(questions))
        found = [self.log.replies[key] for key in keys]
        return judge_answers(questions, found, metrics_of(task, way))

    def _reply(self, task: Task, question: Question, way: Way) -> Reply:
        prompt, choices = question.prompt, question.expected.choices
        if way in LIKELIHOODS:
            return by_likelihood(
                self.assistant,
                prompt,
                choices,
                base_dir=task.base_dir,
                per_token=way == "likelihood-per-token",
            )
        if way == "letter":
            prompt = with_letters(prompt, choices)
        sampling = Sampling(max_tokens=self.max_tokens)
        reply = answer(self.assistant, prompt, base_dir=task.base_dir, sampling=sampling)
        return by_letter(reply, question) if way == "letter" else reply

    def _key(self, task: Task, question: Question, label: str, way: Way) -> str:
        limits = self.assistant.processor.limits
        as_asked = read_asked(question.prompt, limits=limits, base_dir=task.base_dir).digest
        if way != "text":
            as_asked = digest_of([as_asked, way, question.expected.choices])
        return answer_key(
            identity=self.identity,
            task=task.name,
            label=label,
            question=question.asked,
            as_asked=as_asked,
            max_tokens=self.max_tokens,
        )


def _facts(task: Task, question: Question, label: str, reply: Reply) -> dict[str, Any]:
    """What a reader of the log wants to know of an answer."""
    facts: dict[str, Any] = {
        "task": task.name,
        "asked_with": label,
        "id": question.name,
        "question": text_of(question.prompt),
        "expected": question.expected.answer,
    }
    if reply.choice is not None:
        facts["right"] = reply.choice == question.expected.answer
    elif not task.metrics:
        facts["right"] = task.scorer(reply.text, question.expected)
    return facts
