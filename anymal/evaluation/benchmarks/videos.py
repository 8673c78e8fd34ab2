"""Questions about videos: NExT-QA, STAR and How2QA with options, MSVD-QA without.

Does not read videos. STAR and How2QA ask about a stretch of one.
"""

import random
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from anymal.data.rows import Record
from anymal.evaluation.benchmarks.folder import Folder, Made, Row
from anymal.evaluation.metrics.exact import EXACT_MATCH
from anymal.evaluation.task import Task
from anymal.recipe.prompts import PROMPTS
from anymal.recipe.suffixes import SUFFIXES, with_suffix

_VIDEOS = "videos"
_HOW2QA = ("video_id", "stretch", "wrong_1", "wrong_2", "wrong_3", "question", "right")
_STRETCH = re.compile(r"\[([\d.]+):([\d.]+)\]")
_CLIP_S = 60  # of the clips into which How2QA's videos are often cut

Videos = Mapping[str, str]
"""Files by their path without ending."""


def nextqa(folder: Folder, *, note: str) -> list[Task]:
    """Open the validation set of NExT-QA's questions with five options.

    Raises:
        DataError: The folder is laid out otherwise, or lacks a video.
    """
    options = [f"a{number}" for number in range(5)]
    keys = ("video", "question", "answer", "qid", "type", *options)
    rows = folder.rows(folder.table("val.csv"), "val.csv", keys)
    names = folder.json("map_vid_vidorID.json")
    if bare := [row["video"] for row in rows if row["video"] not in names]:
        folder.fail(f"map_vid_vidorID.json has no {bare[0]}")
    videos = _videos(folder)
    paths = {row["video"]: names[row["video"]] for row in rows}
    _all_there(folder, paths.values(), videos)

    def record(row: Any) -> Record:
        choices = [row[name] for name in options]
        return _choice_record(
            id=f"{row['video']}_{row['qid']}",
            video={"url": videos[paths[row["video"]]]},
            question=row["question"],
            choices=choices,
            answer=choices[int(row["answer"])],
            # Causal, temporal or descriptive.
            kind=row["type"][0],
        )

    return [_task(folder, rows, record, note)]


def star(folder: Folder, *, note: str) -> list[Task]:
    """Open STAR's validation set, which asks about stretches of Charades' videos.

    Raises:
        DataError: The folder is laid out otherwise, or lacks a video.
    """
    name = "STAR_val.json"
    keys = ("question_id", "question", "video_id", "start", "end", "answer", "choices")
    rows = folder.rows(folder.json(name), name, keys)
    videos = _videos(folder)
    _all_there(folder, (row["video_id"] for row in rows), videos)

    def record(row: Any) -> Record:
        url, start, end = videos[row["video_id"]], float(row["start"]), float(row["end"])
        return _choice_record(
            id=row["question_id"],
            video={"url": url, "start_s": start, "end_s": end},
            question=row["question"],
            choices=[one["choice"] for one in row["choices"]],
            answer=row["answer"],
            kind=row["question_id"].partition("_")[0],
        )

    return [_task(folder, rows, record, note)]


def how2qa(folder: Folder, *, note: str) -> list[Task]:
    """Open How2QA's validation set; videos that are gone from the web are left out.

    The file lists the right answer last, so the options are shuffled, always in the same way.

    Raises:
        DataError: The folder is laid out otherwise, or has no video at all.
    """
    name = "how2QA_val_release.csv"
    rows = folder.rows(folder.table(name, columns=_HOW2QA), name, _HOW2QA)
    videos = _videos(folder)
    found = [
        {**row, "number": number, "video": video}
        for number, row in enumerate(rows, start=1)
        if (video := _how2qa_video(folder, row, videos))
    ]
    if not found:
        folder.fail(f"none of the videos of {len(rows):,} questions is in {folder.path / _VIDEOS}")
    if left_out := len(rows) - len(found):
        note = f"{note}; {left_out:,} of {len(rows):,} questions have no video in the folder"

    def record(row: Any) -> Record:
        choices = [row[key] for key in _HOW2QA if key not in ("video_id", "stretch", "question")]
        random.Random(row["number"]).shuffle(choices)
        return _choice_record(
            id=str(row["number"]),
            video=row["video"],
            question=row["question"],
            choices=choices,
            answer=row["right"],
            kind=folder.name,
        )

    return [_task(folder, found, record, note)]


def msvdqa(folder: Folder, *, note: str) -> list[Task]:
    """Open MSVD-QA's test set: open questions, answered in one word.

    Raises:
        DataError: The folder is laid out otherwise, or lacks a video.
    """
    name = "test_qa.json"
    rows = folder.rows(folder.json(name), name, ("id", "question", "answer", "video_id"))
    lines = folder.file("youtube_mapping.txt").read_text(encoding="utf-8").splitlines()
    names = {words[1]: words[0] for words in map(str.split, lines) if len(words) == 2}
    videos = _videos(folder)
    if bare := [row["video_id"] for row in rows if f"vid{row['video_id']}" not in names]:
        folder.fail(f"youtube_mapping.txt has no vid{bare[0]}")
    paths = {row["id"]: names[f"vid{row['video_id']}"] for row in rows}
    _all_there(folder, paths.values(), videos)

    def record(row: Any) -> Record:
        asked = PROMPTS["video"].conversation(
            {
                "id": str(row["id"]),
                "video": videos[paths[row["id"]]],
                "question": row["question"],
                "text": row["answer"],
                "meta": {
                    "task": row["question"].split()[0].lower(),
                    "answer": row["answer"],
                    "references": [row["answer"]],
                },
            }
        )
        return with_suffix(asked, SUFFIXES["short"])

    return [_task(folder, rows, record, note, metrics=(EXACT_MATCH,))]


def _choice_record(
    *, id: str, video: Any, question: str, choices: list[str], answer: str, kind: str
) -> Record:
    """A question with options that the prompt lists."""
    return PROMPTS["video_choice"].conversation(
        {
            "id": id,
            "video": video,
            "question": question,
            "options": choices,
            "text": answer,
            "meta": {"task": kind, "answer": answer, "choices": choices, "references": [answer]},
        }
    )


def _task(
    folder: Folder, rows: Any, record: Callable[[Any], Record], note: str, **metrics: Any
) -> Task:
    return Task(
        name=folder.name,
        records=Made(rows=rows, make=record),
        base_dir=folder.path / _VIDEOS,
        note=note,
        **metrics,
    )


def _videos(folder: Folder) -> Videos:
    """The videos that are there."""
    return {str(PurePosixPath(name).with_suffix("")): name for name in folder.files(_VIDEOS)}


def _all_there(folder: Folder, wanted: Any, videos: Videos) -> None:
    """Make sure of the videos."""
    if missing := sorted({name for name in wanted if name not in videos}):
        folder.fail(
            f"{len(missing):,} videos are not in {folder.path / _VIDEOS}, such as {missing[0]}"
        )


def _how2qa_video(folder: Folder, row: Row, videos: Videos) -> dict[str, Any] | None:
    """The stretch that a question is about, in a whole video or in the clip of its minute."""
    found = _STRETCH.fullmatch(row["stretch"].strip())
    if found is None:
        folder.fail(f"the stretch {row['stretch']!r} of {row['video_id']} is no [start:end]")
    start, end = (float(one) for one in found.groups())
    minute = int(start // _CLIP_S) * _CLIP_S
    clip = f"{row['video_id']}_{minute}_{minute + _CLIP_S}"
    for name, offset in ((row["video_id"], 0), (clip, minute)):
        if name in videos:
            return {"url": videos[name], "start_s": start - offset, "end_s": end - offset}
    return None
