"""What the rows of several formats share: turns under their own names, media columns, id and meta.

Does not open media and knows no format by name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anymal.data.containers.choose import open_raw
from anymal.data.media_folder import is_list, media_parts
from anymal.data.options import Options
from anymal.data.placeholders import Media
from anymal.data.rows import Mapped, Record, Rows
from anymal.data.unread import Unread
from anymal.errors import DataError
from anymal.modality import MODALITIES

Message = dict[str, Any]

KEPT = ("id", "meta")
# `image` or `images`, and so on; `imu` and `imus` are ours.
MEDIA_NAMES = tuple(name for modality in MODALITIES for name in (modality, f"{modality}s"))
LOSS = "loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """What the keys and roles of a turn are called.

    Attributes:
        role: Key of the role.
        content: Key of the words.
        roles: From the roles of the file to those of the REST API.
    """

    role: str = "role"
    content: str = "content"
    roles: Mapping[str, str] = field(default_factory=dict)


SHAREGPT = Tags(role="from", content="value", roles={"human": "user", "gpt": "assistant"})
OPENAI = Tags()


def open_turns(
    path: Path,
    options: Options,
    make: Callable[[Mapping[str, Any], Unread], Record],
    columns: Iterable[str],
) -> Rows:
    """Open a file of conversations.

    Args:
        path: JSONL, a JSON array, or a table.
        options: As the recipe says.
        make: From a row to a record; warns of keys of turns that are left out.
        columns: Those that `make` reads besides media, `id` and `meta`.

    Raises:
        DataError: The file cannot be opened.
    """
    unread = Unread(path)
    return Mapped(
        raw=open_raw(path),
        make=lambda row: make(row, unread),
        base_dir=options.media_of(path),
        licence=options.licence,
        columns=options.columns,
        known=frozenset([*columns, *MEDIA_NAMES, *KEPT]),
        unread=unread,
    )


def read_turns(
    turns: Any, *, column: str, tags: Tags | None = None, unread: Unread | None = None
) -> list[Message]:
    """Bring turns to `role` and `content`, which may hold placeholders; `loss` is kept.

    Args:
        turns: What the row has there.
        column: Its name, for errors.
        tags: How turns are written; None takes `role` and `content`, or else `from` and `value`.
        unread: Warns of other keys, which are left out.

    Raises:
        DataError: They are no list of turns, or one lacks its role or its words.
    """
    if not is_list(turns) or not turns:
        found = "is missing" if turns is None else f"is {type(turns).__name__} {turns!r:.80}"
        raise DataError(f"{column} {found}; it should be a list of turns")
    return [
        _read_turn(turn, f"{column}.{number}", tags, unread) for number, turn in enumerate(turns)
    ]


def _read_turn(turn: Any, place: str, tags: Tags | None, unread: Unread | None) -> Message:
    """One turn."""
    if not isinstance(turn, Mapping):
        raise DataError(f"{place} is {type(turn).__name__}; a turn is an object")
    if tags is None:
        tags = OPENAI if OPENAI.role in turn else SHAREGPT
    missing = [key for key in (tags.role, tags.content) if turn.get(key) is None]
    if missing:
        raise DataError(f"{place} has no {missing[0]!r}; it has {', '.join(map(repr, turn))}")
    if not isinstance(turn[tags.role], str):
        raise DataError(f"{place}.{tags.role} is {turn[tags.role]!r:.80}; a role is a word")
    if unread is not None:
        given = [key for key, value in turn.items() if value is not None]
        unread.tell(given, (tags.role, tags.content, LOSS), inside=f"{place.rpartition('.')[0]}.")
    role = tags.roles.get(turn[tags.role], turn[tags.role])
    message: Message = {"role": role, "content": turn[tags.content]}
    if role == "assistant" and turn.get(LOSS) is not None:
        message[LOSS] = turn[LOSS]
    return message


def question_and_answer(
    question: Sequence[Any], answer: Any, *, history: Any = None
) -> list[Message]:
    """Turns of a row that has a question and an answer in columns of their own.

    Args:
        question: Its pieces, each on a line of its own; empty ones are left out.
        answer: What is learnt.
        history: Earlier questions and answers, in pairs.

    Raises:
        DataError: There is no question or no answer, or the history holds something else.
    """
    asked = "\n".join(str(piece) for piece in question if piece)
    if not asked or not isinstance(answer, str):
        raise DataError(f"the row has no {'answer' if asked else 'question'} in words")
    pairs = [] if history is None else history
    if not is_list(pairs) or not all(is_list(pair) and len(pair) == 2 for pair in pairs):
        raise DataError(f"history is {pairs!r:.80}; it should be a list of [question, answer]")
    return [
        {"role": role, "content": words}
        for pair in (*pairs, (asked, answer))
        for role, words in zip(("user", "assistant"), pair, strict=True)
    ]


def with_system(messages: list[Message], system: Any) -> list[Message]:
    """Put the system text of a row's own column first; that of the messages goes before it."""
    if not system or (messages and messages[0]["role"] == "system"):
        return messages
    return [{"role": "system", "content": str(system)}, *messages]


def media_of(row: Mapping[str, Any]) -> Media:
    """The media of a row, under singular or plural names.

    Raises:
        DataError: A row has both names of a modality, or one of its media is none.
    """
    media = {}
    for modality in MODALITIES:
        given = [name for name in (modality, f"{modality}s") if row.get(name) is not None]
        if len(given) > 1:
            raise DataError(f"the row has {' and '.join(given)}; keep one of them")
        media[modality] = media_parts(modality, row[given[0]] if given else None)
    return media


def kept(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a row goes into its record as it is."""
    return {name: row[name] for name in KEPT if row.get(name) is not None}
