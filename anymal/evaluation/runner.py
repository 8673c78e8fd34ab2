"""Measures a model on tasks: with the true media, as the controls ask, and with perturbed media.

Does not ask by itself (`asker.py`) and does not print: callbacks get the progress and the answers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from anymal.data.rows import Record
from anymal.evaluation import answered as figures
from anymal.evaluation.answer_log import AnswerLog, Valued
from anymal.evaluation.answered import Answered
from anymal.evaluation.asker import Asker, Progress
from anymal.evaluation.controls import text_of
from anymal.evaluation.guessing import chance_of, prior_of
from anymal.evaluation.intervals import SEED, difference_of
from anymal.evaluation.perturb import Perturbation
from anymal.evaluation.prompt_text import prompt_text
from anymal.evaluation.questions import (
    CONTROLS,
    Control,
    as_controls_ask,
    check_known,
    perturbed,
    read_questions,
)
from anymal.evaluation.results import Compared, Perturbed, Results, TaskResult
from anymal.evaluation.task import Task, as_tasks, pick
from anymal.evaluation.ways import Way, check_choices, check_metrics, way_of
from anymal.serving.assistant import Assistant

TRUE, OTHER = "media", "other"
Watch = Callable[[Task, Answered], None]


def evaluate(
    assistant: Assistant,
    tasks: Iterable[Task] | Mapping[str, Sequence[Record]],
    *,
    controls: Sequence[Control] = CONTROLS,
    perturbations: Sequence[Perturbation] = (),
    way: Way | None = None,
    batch_size: int = 16,
    limit: int | None = None,
    max_tokens: int = 48,
    other: Assistant | None = None,
    bundle: str = "",
    identities: tuple[str, str] = ("", OTHER),
    progress: Progress | None = None,
    log: AnswerLog | None = None,
    watch: Watch | None = None,
) -> Results:
    """Measure a model on tasks, greedily and repeatably.

    Args:
        assistant: What answers; see `start_batch_assistant`.
        tasks: Tasks, or just a mapping of name to records.
        controls: Which controls to run besides the true media.
        perturbations: Which changes of the media to try besides.
        way: How questions are answered; None: by text, or by likelihood where a metric needs it.
        batch_size: Questions answered at a time.
        limit: Most records of each task; None takes all.
        max_tokens: Most tokens of an answer.
        other: Another model to compare with, question by question.
        bundle: Name of the model in the report.
        identities: What tells the answers of the model, and of the other one, in the log.
        progress: Called with what is running, questions done, questions in all.
        log: Gets every answer. What it holds already is not asked again.
        watch: Called with the answers of each task about its true media.

    Returns:
        The figures.

    Raises:
        DataError: If a record or a control is not usable.
    """
    check_known(controls, perturbations)
    asker = Asker(
        assistant=assistant,
        identity=identities[0],
        batch_size=batch_size,
        max_tokens=max_tokens,
        way=way,
        log=AnswerLog() if log is None else log,
        progress=progress,
    )
    theirs = replace(asker, assistant=other, identity=identities[1]) if other else None
    processor = assistant.processor
    rows = []
    measured = as_tasks(tasks)
    for task in measured:
        chosen = way_of(task, way)
        check_metrics(task, chosen)
        if chosen != "text":
            check_choices(task, pick(task.records, limit, seed=SEED), chosen)
    for task in measured:
        questions = read_questions(task, pick(task.records, limit, seed=SEED), processor)
        true = asker.ask(task, questions, TRUE)
        _log_values(asker.log, task, true)
        if watch is not None:
            watch(task, true)
        asked = {
            label: asker.ask(task, rewritten, label)
            for label, rewritten in as_controls_ask(questions, task, processor, controls)
            if rewritten
        }
        changed: dict[str, Answered] = {
            how: asker.ask(task, perturbed(questions, task, processor, how), how)
            for how in perturbations
        }
        others = theirs.ask(task, questions, OTHER) if theirs else None
        prompt = prompt_text(processor, questions[0].prompt, base_dir=task.base_dir)
        rows.append(_row(task, true, asked, changed, others, prompt))
    settings = {
        "batch_size": batch_size,
        "limit": limit,
        "max_tokens": max_tokens,
        "temperature": 0,
        "seed": SEED,
        "controls": list(controls),
        "perturb": list(perturbations),
        "answer": way or "by task",
    }
    return Results(bundle=bundle, settings=settings, tasks=rows)


def _row(
    task: Task,
    true: Answered,
    asked: Mapping[str, Answered],
    changed: Mapping[str, Answered],
    others: Answered | None,
    prompt: str,
) -> TaskResult:
    """One row of the table."""
    expected = [question.expected for question in true.questions]
    chance = true.metrics[0].chance
    return TaskResult(
        name=task.name,
        note=task.note,
        modalities=figures.modalities(true),
        metric=true.metrics[0].name,
        score=true.score(),
        figures=figures.further(true),
        num_media=len(set(true.media)),
        chance=chance_of(expected) if chance is None else chance,
        prior=prior_of(expected) if chance is None else 0.0,
        controls={name: answered.score() for name, answered in asked.items()},
        follows_donor=figures.follows_donor(asked["swapped"]) if "swapped" in asked else None,
        share=figures.share(true, asked),
        perturbed={
            how: Perturbed(score=answered.score(), change=figures.change_from(true, answered))
            for how, answered in changed.items()
            if answered.questions
        },
        hygiene=figures.hygiene(true),
        confusion=figures.confusion(true),
        breakdown=figures.breakdown(true),
        words=list(dict.fromkeys(word for want in expected for word in want.choices)),
        example=f"{text_of(true.questions[0].prompt)} -> {true.replies[0].text}",
        prompt=prompt,
        target=task.target,
        reference=task.reference,
        compared=_compare(true, others) if others else None,
    )


def _log_values(log: AnswerLog, task: Task, true: Answered) -> None:
    """Write what each answer is worth, for `anymal eval compare`."""
    values = [
        Valued(asked=question.asked, medium=question.medium, value=value)
        for question, value in zip(true.questions, true.judged.values.tolist(), strict=True)
    ]
    log.add_values(
        task.name,
        true.metrics[0].name,
        values,
        is_mean=true.judged.total is None,
        highest=true.judged.highest,
    )


def _compare(this: Answered, other: Answered) -> Compared:
    """Another model's figures on the same questions."""
    gain = difference_of(this.judged, other.judged, this.media)
    return Compared(score=other.score(), gain=gain)
