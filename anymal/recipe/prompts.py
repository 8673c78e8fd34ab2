"""Named prompts: from a plain row, such as a picture and its caption, to a conversation.

The named ones follow AnyMAL (arXiv 2309.16058), appendix B.1: the system message ends with the
medium, the user's message asks. Where only the purpose of a prompt is quoted below, the wording is
ours. Does not read files and does not know chat templates.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from anymal.errors import ConversationError
from anymal.modality import MODALITIES
from anymal.recipe.row_boxes import BOX, HEIGHT, WIDTH, read_boxes

_KEPT = ("id", "meta")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptStyle:
    """Words around one medium; `{name}` in them is filled from the row.

    Attributes:
        modality: Of the medium, and the row's key for it.
        system: Stands before the medium; if empty, the medium opens the request.
        user: The request.
        source: Where the wording comes from.
        answer_key: Key of the JSON object that the answer is written as; None writes it plainly.
        more: Other requests. A hash of the row chooses one of all of them, always the same.
        answer: The answer.
        coordinates: How `{box}` is written, a name in `anymal.chat.coordinates`; None has no boxes.
        square: Whether pictures are padded to squares, so that boxes are written as in a square.
    """

    modality: str
    system: str
    user: str
    source: str
    answer_key: str | None = None
    more: tuple[str, ...] = ()
    answer: str = "{text}"
    coordinates: str | None = None
    square: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Keys that a row needs besides the medium and `text`, usually the answer."""
        names = self.named
        sides = () if self.coordinates is None else (WIDTH, HEIGHT)
        return tuple(name for name in (*names, *sides) if name != "text")

    @property
    def named(self) -> tuple[str, ...]:
        """What stands between braces in its words."""
        parsed = Formatter().parse("".join((self.system, self.user, *self.more, self.answer)))
        return tuple(dict.fromkeys(name for _, name, _, _ in parsed if name))

    def conversation(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Write a row as a record of a manifest.

        Args:
            row: The medium under the name of its modality, as a path, a data URL or an object
                with `url`; the answer under `text`; `fields`; perhaps `id` and `meta`.

        Returns:
            The record, with `messages`.

        Raises:
            ConversationError: A key is missing or unknown.
        """
        needed = (self.modality, "text", *self.fields)
        missing = [key for key in needed if key not in row]
        unknown = sorted(set(row) - {*needed, *_KEPT})
        if missing or unknown:
            raise ConversationError(
                f"a row for this prompt has the keys {', '.join(needed)}, and perhaps "
                f"{' and '.join(_KEPT)}; missing: {', '.join(missing) or 'none'}; "
                f"unknown: {', '.join(unknown) or 'none'}"
            )
        filled = {key: _as_text(row[key]) for key in (*self.fields, "text")}
        meta: dict[str, Any] = {}
        if self.coordinates is not None:
            boxes = read_boxes(row, coordinates=self.coordinates, square=self.square)
            filled[BOX] = boxes.text
            meta = boxes.meta if self.answer == f"{{{BOX}}}" else {}
        asked = _chosen((self.user, *self.more), row).format_map(filled)
        medium = self._medium(row[self.modality])
        said = self.answer.format_map(filled)
        answer = {
            "role": "assistant",
            "content": json.dumps({self.answer_key: said}) if self.answer_key else said,
        }
        if self.system:
            system = {"type": "text", "text": self.system.format_map(filled)}
            opening = [
                {"role": "system", "content": [system, medium]},
                {"role": "user", "content": asked},
            ]
        else:
            question = {"type": "text", "text": asked}
            opening = [{"role": "user", "content": [medium, question]}]
        kept = {key: row[key] for key in _KEPT if key in row}
        if meta:
            kept["meta"] = {**meta, **(row.get("meta") or {})}
        return {"messages": [*opening, answer]} | kept

    def _medium(self, value: Any) -> dict[str, Any]:
        """The medium as a part; of the part types of a modality, the last takes a URL."""
        part_type = MODALITIES[self.modality].part_types[-1]
        return {"type": part_type, part_type: {"url": value} if isinstance(value, str) else value}


def _as_text(value: Any) -> str:
    """A field as it stands in a prompt: a list is written with commas."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _chosen(templates: tuple[str, ...], row: Mapping[str, Any]) -> str:
    """One of several requests, by what the row holds and not by chance."""
    held = json.dumps(row, sort_keys=True, default=str).encode()
    number = int.from_bytes(hashlib.sha256(held).digest()[:8], "big")
    return templates[number % len(templates)]


_ASSISTANT = "You are a multimodal assistant, designed to provide helpful answers to users' "
_ONE_PHRASE = "Reply directly with only one phrase. Do not start your answer with 'Sure ...'."
_IMAGE = f"{_ASSISTANT}image-related questions. \n\n Here is the image: "
_IMAGE_ONE_PHRASE = f"{_ASSISTANT}image-related questions. {_ONE_PHRASE} \n\n Here is the image: "
_VIDEO = f"{_ASSISTANT}video-related questions. \n\n Here is the video: "
_AUDIO = f"{_ASSISTANT}audio-related questions. \n\n Here is the audio: "
_IMU = (
    f"{_ASSISTANT}questions about motion sensor signals reading from a head-mounted IMU device. "
    "Always answer under 30 words. \n\n Here are the user's predicted motions: "
)

PROMPTS: dict[str, PromptStyle] = {
    "image": PromptStyle(
        modality="image", system=_IMAGE, user="{question}", source="B.1, MM-IT; as quoted"
    ),
    "describe_image": PromptStyle(
        modality="image", system=_IMAGE, user="Describe the image.", source="ours, for captions"
    ),
    "vqa": PromptStyle(
        modality="image",
        system=_IMAGE_ONE_PHRASE,
        user="In the image, {question} Reply in one word.",
        source="B.1, VQAv2 and its like; as quoted",
    ),
    "vqa_unanswerable": PromptStyle(
        modality="image",
        system=_IMAGE_ONE_PHRASE,
        user="In the image, {question} Reply in one word, or with 'unanswerable'.",
        source="B.1, VizWiz, which allows 'unanswerable'; our wording",
    ),
    "meme": PromptStyle(
        modality="image",
        system=_IMAGE_ONE_PHRASE,
        user="The image carries the text: {ocr} Is this hateful? Reply yes or no.",
        source="B.1, Hateful Memes, which passes the text on the image; our wording",
    ),
    "caption": PromptStyle(
        modality="image",
        system=_IMAGE,
        user=(
            "Say in one generic sentence what the image shows. Reply in JSON, like "
            '{{"caption": "A man rides a bicycle down a street."}} or '
            '{{"caption": "Two plates of food on a table."}}'
        ),
        source="B.1, COCO, one generic sentence as JSON with two examples; our wording",
        answer_key="caption",
    ),
    "science": PromptStyle(
        modality="image",
        system=_IMAGE_ONE_PHRASE,
        user="{question} Options: {options}. Reply with a single letter.",
        source="B.1, ScienceQA, answered by one letter; our wording",
    ),
    "video": PromptStyle(
        modality="video", system=_VIDEO, user="{question}", source="ours, after that of images"
    ),
    "describe_video": PromptStyle(
        modality="video", system=_VIDEO, user="Describe the video.", source="ours, for captions"
    ),
    "video_choice": PromptStyle(
        modality="video",
        system=_VIDEO,
        user="{question} Select exactly one option from the following: {options}.",
        source="B.1, video questions; the request as quoted",
    ),
    "audio": PromptStyle(
        modality="audio",
        system=_AUDIO,
        user="Describe the sound.",
        source="B.1, AudioCaps; the request as quoted",
    ),
    "imu": PromptStyle(
        modality="imu",
        system=_IMU,
        user="Describe this motion.",
        source="B.1, Ego4D motion; as quoted, its gaps in our words",
    ),
}
