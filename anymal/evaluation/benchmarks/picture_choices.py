"""Questions about pictures with given answers: ScienceQA and Hateful Memes.

Does not read pictures.
"""

from typing import Any

from anymal.data.rows import Record
from anymal.evaluation.benchmarks.folder import Folder, Made, Row
from anymal.evaluation.metrics.auc import Auc
from anymal.evaluation.metrics.letters import LETTER_ACCURACY, lettered
from anymal.evaluation.metrics.right import RightOrWrong
from anymal.evaluation.scoring import is_right
from anymal.evaluation.task import Task
from anymal.recipe.prompts import PROMPTS

_KEYS = ("question", "choices", "answer", "subject")
_LABELS = ("no", "yes")


def scienceqa(folder: Folder, *, note: str) -> list[Task]:
    """Open ScienceQA's test split as two tasks: questions with a picture, and the others.

    Raises:
        DataError: The folder is laid out otherwise.
    """
    problems, splits = folder.json("problems.json"), folder.json("pid_splits.json")
    numbers = splits.get("test") if isinstance(splits, dict) else None
    if not isinstance(numbers, list) or not isinstance(problems, dict):
        folder.fail("pid_splits.json has no list 'test', or problems.json is no object")
    if strange := [one for one in numbers if one not in problems]:
        folder.fail(f"{len(strange):,} of pid_splits.json are not in problems.json: {strange[0]}")
    chosen = [problems[one] for one in numbers]
    folder.rows(chosen, "problems.json", _KEYS)
    rows = [{**row, "pid": pid} for pid, row in zip(numbers, chosen, strict=True)]
    seen = [row for row in rows if row.get("image")]
    if seen:
        folder.all_media("test", (_picture(row) for row in seen))
    return [
        Task(
            name=f"{folder.name}-{kind}",
            records=Made(rows=some, make=_science_record),
            metrics=(LETTER_ACCURACY,),
            base_dir=folder.path / "test",
            note=f"{note}, {kind}",
            has_controls=kind == "image",
        )
        for kind, some in (("image", seen), ("text", [row for row in rows if not row.get("image")]))
        if some
    ]


def hateful_memes(folder: Folder, *, note: str) -> list[Task]:
    """Open the development set of Hateful Memes, whose labels are public.

    Raises:
        DataError: The folder is laid out otherwise.
    """
    names = ("dev_seen.jsonl", "dev.jsonl")
    rows = folder.rows(folder.json_lines(*names), names[0], ("id", "img", "label", "text"))
    folder.all_media(".", (row["img"] for row in rows))
    return [
        Task(
            name=folder.name,
            records=Made(rows=rows, make=_meme_record),
            metrics=(Auc(positive=_LABELS[1]), RightOrWrong(scorer=is_right)),
            base_dir=folder.path,
            note=note,
        )
    ]


def _picture(row: Row) -> str:
    return f"{row['pid']}/{row['image']}"


def _science_record(row: Any) -> Record:
    """A question, with its context before it and its options by letters."""
    style = PROMPTS["science"]
    hint = str(row.get("hint") or "")
    answer = row["choices"][int(row["answer"])]
    filled = style.conversation(
        {
            "id": row["pid"],
            "image": _picture(row) if row.get("image") else "none",
            "question": "\n".join(one for one in (hint, row["question"]) if one),
            "options": lettered(row["choices"]),
            "text": answer,
            "meta": {
                "task": row["subject"],
                "answer": answer,
                "choices": row["choices"],
                "references": [answer],
            },
        }
    )
    return filled if row.get("image") else _without_picture(filled)


def _without_picture(record: Record) -> Record:
    """The same question, asked without a picture and without the words that announce one."""
    return {**record, "messages": record["messages"][1:]}


def _meme_record(row: Any) -> Record:
    answer = _LABELS[int(row["label"])]
    return PROMPTS["meme"].conversation(
        {
            "id": str(row["id"]),
            "image": row["img"],
            "ocr": row["text"],
            "text": answer,
            "meta": {"task": "hateful-memes", "answer": answer, "choices": list(_LABELS)},
        }
    )
