"""The answers of one task to one version of its questions, and the figures that they make.

Does not ask. Every figure has its interval; questions about one medium count together.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anymal.evaluation.answers import Reply
from anymal.evaluation.controls import media_of, text_of
from anymal.evaluation.intervals import Difference, Share, difference_of, figure_of
from anymal.evaluation.metrics.base import Answer, Judged, Metric
from anymal.evaluation.questions import WITHOUT, Question, media_names
from anymal.evaluation.scoring import named_choice, words

# A table by more answers than this (orders of three signs, say) would be a list of ones.
_MOST_ROWS = 20
# Shorter questions ("Why?") are found in many an answer.
_LEAST_ECHO = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Questions with their answers.

    Attributes:
        questions: As they were asked.
        replies: One for each.
        metrics: Of the task, the first one first; at least one.
        judged: By the first metric.
    """

    questions: Sequence[Question]
    replies: Sequence[Reply]
    metrics: Sequence[Metric]
    judged: Judged

    @property
    def media(self) -> list[str]:
        """What tells the medium of each question from others."""
        return [question.medium for question in self.questions]

    def score(self, picks: Sequence[int] | None = None) -> Share:
        """The first metric over some questions, by their places here; None takes all."""
        return figure_of(self.judged, self.media, picks)


def judge_answers(
    questions: Sequence[Question], replies: Sequence[Reply], metrics: Sequence[Metric]
) -> Answered:
    """Judge answers by the first metric of a task."""
    judged = _judge(metrics[0], questions, replies)
    return Answered(questions=questions, replies=replies, metrics=metrics, judged=judged)


def further(true: Answered) -> dict[str, Share]:
    """The other metrics of a task."""
    return {
        metric.name: figure_of(_judge(metric, true.questions, true.replies), true.media)
        for metric in true.metrics[1:]
    }


def follows_donor(swapped: Answered) -> Share | None:
    """How often the answer is right for the medium that was swapped in."""
    pairs = zip(swapped.questions, swapped.replies, strict=True)
    known = [(question, reply) for question, reply in pairs if question.donor is not None]
    # What is made of all answers together says nothing about these few.
    if not known or swapped.judged.total is not None:
        return None
    answers = _answers([reply for _, reply in known])
    donors = [question.donor for question, _ in known if question.donor is not None]
    judged = swapped.metrics[0].judge(answers, donors)
    return figure_of(judged, [question.medium for question, _ in known])


def change_from(true: Answered, changed: Answered) -> Difference:
    """How much better the answers to changed questions are than those to the true ones."""
    places = [question.number for question in changed.questions]
    paired = judge_answers(
        [true.questions[place] for place in places],
        [true.replies[place] for place in places],
        true.metrics,
    )
    return difference_of(changed.judged, paired.judged, changed.media)


def share(true: Answered, controls: Mapping[str, Answered]) -> dict[str, Share]:
    """How much each medium moves the answers.

    Args:
        true: With all media.
        controls: By label; those with one medium left out, and blank ones.

    Returns:
        By medium, the answers whose words change when it is left out. The only medium of a
        question cannot be left out, and is blanked instead.
    """
    changes: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)
    for label, asked in controls.items():
        for question, reply in zip(asked.questions, asked.replies, strict=True):
            names = media_names(true.questions[question.number].prompt)
            if label.startswith(WITHOUT):
                name = label.removeprefix(WITHOUT)
            elif label == "blank" and len(names) == 1:
                name = names[0]
            else:
                continue
            is_other = words(reply.text) != words(true.replies[question.number].text)
            changes[name].append((question.medium, is_other))
    return {name: _share(changes[name]) for name in sorted(changes)}


def hygiene(true: Answered) -> dict[str, Share]:
    """Answers that hit the limit of tokens, are empty, or repeat the question."""
    pairs = list(zip(true.questions, true.replies, strict=True))
    return {
        "token_limit": _share([(one.medium, reply.ended == "length") for one, reply in pairs]),
        "empty": _share([(one.medium, not reply.text) for one, reply in pairs]),
        "echo": _share([(one.medium, _is_echo(one, reply)) for one, reply in pairs]),
    }


def breakdown(true: Answered) -> dict[str, Share]:
    """The score by kind of question where there are several, else by right answer."""
    kinds = {question.expected.task for question in true.questions}
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for place, question in enumerate(true.questions):
        want = question.expected
        groups[want.task if len(kinds) > 1 else want.answer].append(place)
    if len(groups) > _MOST_ROWS:
        return {}
    return {name: true.score(groups[name]) for name in sorted(groups)}


def confusion(true: Answered) -> dict[str, dict[str, dict[str, int]]]:
    """By kind of question, which choice was right and which one was named how often.

    Only of kinds whose questions have the same choices, one of which is right.
    """
    tables: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(
        lambda: defaultdict(Counter)
    )
    choices: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for question, reply in zip(true.questions, true.replies, strict=True):
        want = question.expected
        choices[want.task].add(() if want.all_of else want.choices)
        named = named_choice(reply.text, want) if reply.choice is None else reply.choice
        tables[want.task][want.answer][named] += 1
    return {
        kind: {answer: dict(row) for answer, row in sorted(table.items())}
        for kind, table in sorted(tables.items())
        if len(choices[kind]) == 1 and 0 < len(next(iter(choices[kind]))) <= _MOST_ROWS
    }


def modalities(true: Answered) -> list[str]:
    """The types of media parts in the questions."""
    return sorted(
        {str(part["type"]) for question in true.questions for part in media_of(question.prompt)}
    )


def _judge(metric: Metric, questions: Sequence[Question], replies: Sequence[Reply]) -> Judged:
    return metric.judge(_answers(replies), [question.expected for question in questions])


def _answers(replies: Sequence[Reply]) -> list[Answer]:
    """What metrics read of replies."""
    return [
        Answer(
            text=reply.text if reply.choice is None else reply.choice,
            likelihoods=reply.likelihoods,
        )
        for reply in replies
    ]


def _share(verdicts: Sequence[tuple[str, bool]]) -> Share:
    """The share of true verdicts, each with its medium."""
    judged = Judged(values=np.array([verdict for _, verdict in verdicts], dtype=np.float64))
    return figure_of(judged, [medium for medium, _ in verdicts])


def _is_echo(question: Question, reply: Reply) -> bool:
    """Whether an answer holds the last turn's question, word for word."""
    asked = words(text_of({"messages": question.prompt["messages"][-1:]}))
    said = words(reply.text)
    starts = range(len(said) - len(asked) + 1)
    return len(asked) >= _LEAST_ECHO and any(
        said[start : start + len(asked)] == asked for start in starts
    )
