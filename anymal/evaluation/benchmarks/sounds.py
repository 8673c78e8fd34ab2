"""Captions of sounds: AudioCaps and Clotho.

Does not read sounds.
"""

from collections import defaultdict
from collections.abc import Sequence

from anymal.data.sound_names import clip_names, converted_names
from anymal.evaluation.benchmarks.caption_task import Described, caption_task
from anymal.evaluation.benchmarks.folder import Folder
from anymal.evaluation.task import Task

_PROMPT = "audio"
_CAPTIONS = [f"caption_{number}" for number in range(1, 6)]


def audiocaps(folder: Folder, *, note: str, java: bool) -> list[Task]:
    """Open AudioCaps' test set.

    Clips that are gone from the web are left out, and the note says so.

    Raises:
        DataError: The folder is laid out otherwise, or has no sound at all.
    """
    rows = folder.rows(
        folder.table("test.csv"), "test.csv", ("youtube_id", "start_time", "caption")
    )
    captions: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        captions[row["youtube_id"], row["start_time"]].append(row["caption"])
    there = folder.files("audio")
    media = [
        Described(id=name, medium=name, captions=texts)
        for (clip, start), texts in captions.items()
        if (name := _first(clip_names(clip, start), there))
    ]
    if not media:
        folder.fail(f"none of {len(captions):,} sounds is in {folder.path / 'audio'}")
    if left_out := len(captions) - len(media):
        note = f"{note}; {left_out:,} of {len(captions):,} clips are not in the folder"
    return [caption_task(folder, media, prompt=_PROMPT, below="audio", note=note, java=java)]


def clotho(folder: Folder, *, note: str, java: bool) -> list[Task]:
    """Open Clotho's evaluation split, five captions a sound.

    Raises:
        DataError: The folder is laid out otherwise, or lacks a sound.
    """
    table = "clotho_captions_evaluation.csv"
    rows = folder.rows(folder.table(table), table, ("file_name", *_CAPTIONS))
    there = folder.files("evaluation")
    media = [
        Described(
            id=row["file_name"],
            medium=_first(converted_names(row["file_name"]), there) or row["file_name"],
            captions=[row[name] for name in _CAPTIONS],
        )
        for row in rows
    ]
    folder.all_media("evaluation", (str(one.medium) for one in media))
    return [caption_task(folder, media, prompt=_PROMPT, below="evaluation", note=note, java=java)]


def _first(names: Sequence[str], there: frozenset[str]) -> str | None:
    """The first of some names that a file has."""
    return next((name for name in names if name in there), None)
