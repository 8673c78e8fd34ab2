"""Ways to learn which choice a model takes: its words, a letter, or how likely it finds each.

Does not ask about words; `answers.py` does. Does not judge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal, get_args

from anymal.chat.given import GivenAnswers
from anymal.data.rows import Record
from anymal.errors import DataError
from anymal.evaluation.answers import Reply
from anymal.evaluation.metrics.base import Metric
from anymal.evaluation.metrics.letters import chosen_by_letter, lettered
from anymal.evaluation.metrics.right import RightOrWrong
from anymal.evaluation.questions import Question
from anymal.evaluation.scoring import Expected, read_expected
from anymal.evaluation.task import Task
from anymal.serving.assistant import Assistant

Way = Literal["text", "letter", "likelihood", "likelihood-per-token"]
WAYS: tuple[Way, ...] = get_args(Way)
LIKELIHOODS = ("likelihood", "likelihood-per-token")
_INSTRUCTION = "Answer with the letter."


def check_way(name: str | None) -> Way | None:
    """Refuse a way that does not exist.

    Raises:
        DataError: The message names those that do.
    """
    found = next((way for way in WAYS if way == name), None)
    if found is None and name is not None:
        raise DataError(f"unknown way to answer '{name}'; known: {', '.join(WAYS)}")
    return found


def way_of(task: Task, wanted: Way | None) -> Way:
    """How the questions of a task are answered.

    Args:
        task: With its metrics, some of which need likelihoods.
        wanted: By whoever evaluates; None leaves it to the task.
    """
    if wanted is not None:
        return wanted
    return "likelihood" if any(each.needs_likelihoods for each in task.judged_by) else "text"


def metrics_of(task: Task, way: Way) -> Sequence[Metric]:
    """What is measured; of answers that are choices, whether the right one was taken."""
    if way == "text":
        return task.judged_by
    chosen = RightOrWrong(scorer=_is_chosen, name=f"right (by {way})")
    return (*(each for each in task.metrics if each.needs_likelihoods), chosen)


def _is_chosen(choice: str, want: Expected) -> bool:
    return choice == want.answer


def check_metrics(task: Task, way: Way) -> None:
    """Refuse a task whose metrics cannot measure answers of a way, before any question is asked.

    Raises:
        DataError: A metric needs likelihoods.
    """
    needy = [each.name for each in task.judged_by if each.needs_likelihoods]
    if needy and way not in LIKELIHOODS:
        raise DataError(
            f"task '{task.name}' is measured by {', '.join(needy)}, which needs likelihoods; "
            "answer by likelihood, or choose other tasks"
        )


def check_choices(task: Task, records: Sequence[Record], way: Way) -> None:
    """Refuse a task with a question that cannot be answered in a way, before any is asked.

    Raises:
        DataError: A question's choices do not compete, several of them are right at once, or there
            are more than letters.
    """
    for number, record in enumerate(records):
        want = read_expected(record, default_task=task.name)
        name = f"question '{record.get('id', number)}' of task '{task.name}'"
        if want.all_of or want.score != "choice":
            raise DataError(
                f"{name} is no choice of one of meta.choices, so it cannot be answered by {way}; "
                "answer it by text, or choose other tasks"
            )
        if way == "letter" and len(want.choices) > len(ascii_uppercase):
            raise DataError(
                f"{name} has {len(want.choices)} choices, more than letters; answer it by text or "
                "by likelihood"
            )


def with_letters(prompt: Mapping[str, Any], choices: Sequence[str]) -> dict[str, Any]:
    """A question followed by its choices as (A), (B) and so on.

    Args:
        prompt: A conversation that ends with the question.
        choices: In the order of the letters.
    """
    *before, last = prompt["messages"]
    options = f"\n{lettered(choices)}\n{_INSTRUCTION}"
    content = last["content"]
    if isinstance(content, str):
        content += options
    else:
        content = list(content)
        place = max((n for n, part in enumerate(content) if part["type"] == "text"), default=None)
        if place is None:
            content.append({"type": "text", "text": options.lstrip()})
        else:
            content[place] = {**content[place], "text": content[place]["text"] + options}
    return {**prompt, "messages": [*before, {**last, "content": content}]}


def by_letter(reply: Reply, question: Question) -> Reply:
    """A reply with the choice whose letter it gives."""
    return replace(reply, choice=chosen_by_letter(reply.text, question.expected))


def by_likelihood(
    assistant: Assistant,
    prompt: Mapping[str, Any],
    choices: Sequence[str],
    *,
    base_dir: Path | None,
    per_token: bool,
) -> Reply:
    """A reply with the likeliest choice; of choices that are equally likely, the first.

    Args:
        assistant: As `answer` takes it.
        prompt: A conversation that ends with a question.
        choices: For its answer.
        base_dir: Folder that media paths are relative to; None refuses paths.
        per_token: Compare the means of the tokens' log-probabilities instead of their sums, which
            favour short choices. The token that ends an answer is counted, as in training.

    Raises:
        ConversationError: The model does not take the conversation.
        MediaError: A medium cannot be read or decoded.
    """
    given = GivenAnswers(texts=tuple(choices))
    sample = assistant.processor(prompt, base_dir=base_dir, generate=True, answers=given)
    rows = [each.logprobs for each in assistant.grade(sample).answers]
    scores = tuple(fsum(row) / (len(row) if per_token else 1) for row in rows)
    choice = choices[scores.index(max(scores))]
    return Reply(text=choice, ended="stop", choice=choice, likelihoods=scores)
