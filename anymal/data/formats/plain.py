"""A row of a table whose columns are not published: messages, a question and answer, or a caption.

What several formats share that differ in where rows and media come from. Does not read files.
"""

from collections.abc import Mapping
from typing import Any

from anymal.data.formats.llava import llava_record
from anymal.data.formats.trl import trl_record
from anymal.data.formats.turns import KEPT, kept, media_of, question_and_answer
from anymal.data.media_folder import Part, is_list
from anymal.data.options import Options
from anymal.data.placeholders import with_media
from anymal.data.rows import Record
from anymal.data.unread import Unread
from anymal.errors import DataError
from anymal.modality import MODALITIES
from anymal.recipe.prompts import PROMPTS, PromptStyle

QUESTION, ANSWER = "question", "answer"
# What data sets call the words that describe a medium; the first that a row has counts.
CAPTIONS = ("text", "caption", "label")
MEDIA = {modality: f"{modality}s" for modality in MODALITIES}
_NAMES = (
    *("messages", "conversations", "prompt", "completion", QUESTION, ANSWER),
    *(*CAPTIONS, *KEPT, *MEDIA.values()),
)
_CAPTION_PROMPTS = {
    "image": "describe_image",
    "video": "describe_video",
    "audio": "audio",
    "imu": "imu",
}


def known_names(options: Options) -> frozenset[str]:
    """The names that are read from a row."""
    return frozenset([*_NAMES, *(options.prompt.fields if options.prompt else ())])


def listed(value: Any) -> list[Any]:
    """The media of a column that has one, several or none."""
    values = value if is_list(value) else [value]
    return [one for one in values if one is not None and one != ""]


def with_files(row: Mapping[str, Any], media: Mapping[str, list[str]]) -> dict[str, Any]:
    """Put media that lie beside a row into it.

    Args:
        row: The words.
        media: Under the names that `plain_record` takes.

    Raises:
        DataError: The row has media of that name itself.
    """
    if both := [name for name in media if row.get(name) is not None]:
        raise DataError(f"the row has {', '.join(both)}, and files beside it; keep one of them")
    return {**row, **media}


def plain_record(
    row: Mapping[str, Any], style: PromptStyle | None, unread: Unread | None = None
) -> Record:
    """Make a conversation of a row.

    Args:
        row: Words under the names above, and media in lists under `images`, `videos`, `audios` and
            `imus`, each as `media_part` takes it.
        style: The words around the row; None takes those that the row has, and for a caption those
            that ask for one.
        unread: Warns of keys of messages that are left out.

    Returns:
        The record.

    Raises:
        DataError: The row has none of these shapes.
        ConversationError: It lacks what the prompt needs.
    """
    row = {name: value for name, value in row.items() if value is not None}
    if style is not None:
        return style.conversation(_plain(row, style))
    if "conversations" in row:
        return llava_record(row, unread)
    if "messages" in row or {"prompt", "completion"} <= row.keys():
        return trl_record(row, unread)
    media = media_of(row)
    if {QUESTION, ANSWER} <= row.keys():
        messages = question_and_answer([row[QUESTION]], str(row[ANSWER]))
        return {"messages": with_media(messages, media, none_is_first=True)} | kept(row)
    given = [modality for modality, parts in media.items() if parts]
    if len(given) != 1:
        raise DataError(
            f"the row has {', '.join(row)}: neither messages, nor {QUESTION} and {ANSWER}, nor "
            "media of one kind and a caption; say in columns which column is which"
        )
    style = PROMPTS[_CAPTION_PROMPTS[given[0]]]
    return style.conversation(_plain(row, style))


def _plain(row: Mapping[str, Any], style: PromptStyle) -> dict[str, Any]:
    """The row that a prompt takes."""
    media = media_of(row)[style.modality]
    if len(media) != 1:
        raise DataError(f"the prompt takes one {style.modality}; the row has {len(media)}")
    answer = next((row[name] for name in (ANSWER, *CAPTIONS) if name in row), None)
    if answer is None:
        raise DataError(
            f"the row has {', '.join(row)}, and no words to learn under {ANSWER}, "
            f"{', '.join(CAPTIONS)}; say in columns which column has them"
        )
    fields = {name: row[name] for name in style.fields if name in row}
    return {style.modality: _body(media[0]), "text": answer, **fields, **kept(row)}


def _body(part: Part) -> Any:
    """What a part holds beside its type."""
    return part[part["type"]]
