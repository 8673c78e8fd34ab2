"""Open questions about pictures that ten people answered: VQAv2, OK-VQA, TextVQA, VizWiz.

Does not read pictures.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from anymal.data.rows import Record
from anymal.evaluation.benchmarks.folder import Folder, Made, Row
from anymal.evaluation.metrics.vqa import VqaAccuracy
from anymal.evaluation.task import Task
from anymal.recipe.prompts import PROMPTS

_COCO_PICTURE = "COCO_val2014_{:012d}.jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question about a picture, and its answers; `kind` breaks the score down."""

    id: str
    picture: str
    question: str
    answers: Sequence[str]
    kind: str = ""


def vqa(folder: Folder, *, questions: str, annotations: str, note: str) -> list[Task]:
    """Open questions and annotations about COCO's pictures, as VQAv2 and OK-VQA publish them.

    Raises:
        DataError: The folder is laid out otherwise.
    """
    asked = folder.rows(
        _inside(folder.json(questions), "questions"),
        questions,
        ("question_id", "image_id", "question"),
    )
    annotated = folder.rows(
        _inside(folder.json(annotations), "annotations"),
        annotations,
        ("question_id", "answers", "answer_type"),
    )
    by_id = {row["question_id"]: row for row in annotated}
    if bare := [row["question_id"] for row in asked if row["question_id"] not in by_id]:
        folder.fail(f"{len(bare):,} questions are not in {annotations}, such as {bare[0]}")
    rows = [
        Asked(
            id=str(row["question_id"]),
            picture=_COCO_PICTURE.format(int(row["image_id"])),
            question=row["question"],
            answers=_answers(folder, by_id[row["question_id"]], annotations),
            kind=by_id[row["question_id"]]["answer_type"],
        )
        for row in asked
    ]
    return [_task(folder, rows, images="val2014", note=note)]


def textvqa(folder: Folder, *, note: str) -> list[Task]:
    """Open TextVQA's validation set, whose pictures lie among those for training.

    Raises:
        DataError: The folder is laid out otherwise.
    """
    name = "TextVQA_0.5.1_val.json"
    keys = ("question_id", "image_id", "question", "answers")
    rows = [
        Asked(
            id=str(row["question_id"]),
            picture=f"{row['image_id']}.jpg",
            question=row["question"],
            answers=[str(one) for one in row["answers"]],
        )
        for row in folder.rows(_inside(folder.json(name), "data"), name, keys)
    ]
    return [_task(folder, rows, images="train_images", note=note, variant="evalai")]


def vizwiz(folder: Folder, *, note: str) -> list[Task]:
    """Open VizWiz's validation set, in which "unanswerable" is an answer.

    Raises:
        DataError: The folder is laid out otherwise.
    """
    name = "val.json"
    keys = ("image", "question", "answers", "answer_type")
    rows = [
        Asked(
            id=row["image"],
            picture=row["image"],
            question=row["question"],
            answers=_answers(folder, row, name),
            kind=row["answer_type"],
        )
        for row in folder.rows(folder.json("annotations/val.json", name), name, keys)
    ]
    return [_task(folder, rows, images="val", note=note, prompt="vqa_unanswerable")]


def _task(
    folder: Folder,
    rows: Sequence[Asked],
    *,
    images: str,
    note: str,
    prompt: str = "vqa",
    variant: Literal["official", "evalai"] = "official",
) -> Task:
    """The task; the benchmark's own variant of the accuracy comes first."""
    style = PROMPTS[prompt]
    folder.all_media(images, (row.picture for row in rows))

    def record(row: Asked) -> Record:
        ((answer, _),) = Counter(row.answers).most_common(1)
        return style.conversation(
            {
                "id": row.id,
                "image": row.picture,
                "question": row.question,
                "text": answer,
                "meta": {
                    "task": row.kind or folder.name,
                    "answer": answer,
                    "references": list(row.answers),
                },
            }
        )

    other: Literal["official", "evalai"] = "official" if variant == "evalai" else "evalai"
    return Task(
        name=folder.name,
        records=Made(rows=rows, make=record),
        metrics=(VqaAccuracy(variant=variant), VqaAccuracy(variant=other)),
        base_dir=folder.path / images,
        note=note,
    )


def _inside(whole: Any, key: str) -> Any:
    """What an object holds under a key; None where it is no object or has none."""
    return whole.get(key) if isinstance(whole, dict) else None


def _answers(folder: Folder, row: Row, what: str) -> list[str]:
    """The answers of the people that were asked."""
    if not isinstance(row["answers"], list) or not all(
        isinstance(one, dict) and "answer" in one for one in row["answers"]
    ):
        folder.fail(f"{what}: the answers of a question are no list of objects with an answer")
    return [str(one["answer"]) for one in row["answers"]]
