"""Records as questions of EvalScope's `general_vqa`: OpenAI's messages, and the right answer.

EvalScope reads files from the folder that it runs in, so paths are written whole. It has no motion.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from anymal.data.conversation_media import map_media
from anymal.data.exporting.json_file import write_lines
from anymal.data.media_folder import Part, is_list
from anymal.errors import DataError

_SOUNDS = {".wav": "wav", ".mp3": "mp3"}
_FILMS = (".mp4", ".mpeg", ".mov", ".avi")


def evalscope_row(record: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
    """Write a record as a question.

    Args:
        record: What is asked is all up to the last answer, which EvalScope compares with the
            model's by the words they share; where there is none, the answer in `meta` counts.
        base_dir: Folder that paths in the record are relative to.

    Raises:
        DataError: There is no answer, or a medium that EvalScope does not take.
    """
    *asked, last = record["messages"]
    if last["role"] != "assistant":
        asked, last = record["messages"], None
    answer = last["content"] if last else (record.get("meta") or {}).get("answer")
    if not isinstance(answer, str):
        raise DataError("there is no answer in words, neither at the end nor as meta.answer")
    messages = [
        {"role": message["role"], "content": message["content"]}
        for message in map_media(asked, lambda part: _part(part, base_dir.resolve()))
    ]
    return {"messages": messages, "answer": answer}


def write_evalscope(rows: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write questions to `data.jsonl`, the subset `data`; returns the file."""
    return write_lines(rows, folder / "data.jsonl")


def _part(part: Part, base_dir: Path) -> Part:
    """A medium as EvalScope takes it."""
    kind = part["type"]
    url = part[kind].get("url") if kind != "input_imu" else None
    if url is None or is_list(url):
        raise DataError(f"EvalScope takes no {'frames' if is_list(url) else kind}; leave it out")
    path = base_dir / url
    ending = path.suffix.lower()
    if kind == "audio_url" and ending in _SOUNDS:
        audio = {"data": str(path), "format": _SOUNDS[ending]}
        return {"type": "input_audio", "input_audio": audio}
    if kind == "image_url" or (kind == "video_url" and ending in _FILMS):
        return {"type": kind, kind: {"url": str(path)}}
    taken = ", ".join([*_SOUNDS, *_FILMS])
    raise DataError(f"EvalScope takes no {ending} file as {kind}; it takes {taken}; convert {url}")
