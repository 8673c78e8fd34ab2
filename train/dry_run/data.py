"""Generated records in place of a recipe's data: a few of each medium, as files and a manifest.

Does not read recipes (see `train.dry_run.run`).
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from anymal.modality import blank_part, find_modality
from anymal.playground import sources
from anymal.playground.manifest import write_manifest
from anymal.recipe.objective import PreferenceRecipe
from anymal.recipe.own_prompt import OwnPrompt, style_of
from anymal.recipe.prompts import PromptStyle
from anymal.recipe.reward import RewardRecipe

_RECORDS_EACH = 2
_SOURCES: dict[str, Callable[..., sources.LazyRecords]] = {
    "image": sources.lone_shapes,
    "video": sources.clips,
    "audio": sources.sounds,
    "imu": sources.motions,
}
_OPTIONS = ["yes", "no"]
_BOX = {"box": [1, 1, 20, 20], "width": 32, "height": 32}  # of no picture in particular


def write_data(
    modalities: Sequence[str],
    prompt: str | OwnPrompt | None,
    folder: Path,
    compares: PreferenceRecipe | RewardRecipe | None = None,
) -> Path:
    """Write generated records as a manifest.

    Args:
        modalities: Media of its records; where there are several and no prompt, each record has all
            of them, so that two steps see every medium.
        prompt: The prompt that its rows are for; None writes conversations.
        folder: Is created.
        compares: How a stage compares answers, which says what its records have; None writes
            records with one answer.

    Returns:
        Path of the manifest.
    """
    of_each = [_records(name) for name in modalities]
    if prompt is None and len(modalities) > 1:
        together = enumerate(zip(*of_each, strict=True))
        records = [_together(number, alone, modalities) for number, alone in together]
    else:
        records = [record for of_one in of_each for record in of_one]
    manifest = write_manifest(records, folder)
    if prompt is not None:
        _rewrite(manifest, lambda record: _row(record, style_of(prompt)))
    elif compares is not None:
        _rewrite(manifest, lambda record: _pair(record, compares))
    return manifest


def length_of_answers(
    prompts: list[Any], completions: list[list[dict[str, str]]], **columns: list[Any]
) -> list[float]:
    """A reward in place of a recipe's own, which no stand-in could earn."""
    return [float(len(said[-1]["content"])) for said in completions]


def _rewrite(manifest: Path, make: Callable[[sources.Record], dict[str, Any]]) -> None:
    """Replace each record of a manifest."""
    records = map(json.loads, manifest.read_text(encoding="utf-8").splitlines())
    rows = "".join(f"{json.dumps(make(record))}\n" for record in records)
    manifest.write_text(rows, encoding="utf-8")


def _records(modality: str) -> Sequence[sources.Record]:
    """A few records of one modality; of another package's, they show its blank file."""
    if modality in _SOURCES:
        return _SOURCES[modality](split="train", size=_RECORDS_EACH)
    question = [blank_part(find_modality(modality)), {"type": "text", "text": "What is this?"}]
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "Nothing."},
    ]
    return [{"id": f"{modality}-{i}", "messages": messages} for i in range(_RECORDS_EACH)]


def _together(
    number: int, records: Sequence[sources.Record], modalities: Sequence[str]
) -> sources.Record:
    """One conversation about the media of several records, each of which is enough to answer."""
    media = [record["messages"][0]["content"][0] for record in records]
    question = {"type": "text", "text": "How many are there?"}
    answer = {"role": "assistant", "content": str(len(media))}
    return {
        "id": f"together-{number}",
        "messages": [{"role": "user", "content": [*media, question]}, answer],
        "meta": {"enough": [[name] for name in modalities]},
    }


def _row(record: sources.Record, prompt: PromptStyle) -> dict[str, Any]:
    """A record as the plain row that a prompt takes."""
    medium, question = record["messages"][0]["content"]
    known: dict[str, Any] = {"question": question["text"], "options": _OPTIONS, **_BOX}
    return {
        prompt.modality: medium[medium["type"]],
        "text": record["messages"][1]["content"],
        **{field: known.get(field, "none") for field in prompt.fields},
    }


def _pair(record: sources.Record, compares: PreferenceRecipe | RewardRecipe) -> dict[str, Any]:
    """A record with its answer chosen, and another rejected."""
    *asked, answer = record["messages"]
    answers = {"chosen": str(answer["content"]), "rejected": "Something else."}
    if isinstance(compares, RewardRecipe):
        return {"id": record["id"], "messages": asked, **answers, "meta": {"facts": "A fact."}}
    meta: dict[str, Any] = dict.fromkeys(compares.numbers, 1.0)
    if compares.unit == "phrase":
        meta["phrases"] = {name: [[0, len(said), 1]] for name, said in answers.items()}
    return {"id": record["id"], "messages": asked, **answers, "meta": meta}
