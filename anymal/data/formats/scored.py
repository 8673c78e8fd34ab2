"""Published answers with scores, several to a question: VLFeedback (Silkie) and BPO.

They become `completions`; `anymal data pairs --rule` makes pairs of these. Does not judge answers.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from anymal.data.compared import COMPLETIONS, Completion
from anymal.data.formats.pairs import asked_about
from anymal.data.formats.turns import kept, open_turns
from anymal.data.media_folder import is_list
from anymal.data.options import Options
from anymal.data.rows import Record, Rows
from anymal.data.unread import Unread
from anymal.errors import DataError

_IMAGE = "img_path"  # VLFeedback's name of it
_RATING = "Rating"


def open_vlfeedback(path: Path, options: Options) -> Rows:
    """Open VLFeedback's answers.

    Raises:
        DataError: The file cannot be opened.
    """
    return open_turns(path, options, vlfeedback_record, ("prompt", COMPLETIONS, _IMAGE, "models"))


def open_bpo(path: Path, options: Options) -> Rows:
    """Open BPO's answers.

    Raises:
        DataError: The file cannot be opened.
    """
    return open_turns(path, options, bpo_record, ("prompt", COMPLETIONS))


def vlfeedback_record(row: Mapping[str, Any], unread: Unread | None = None) -> Record:
    """Make a record of one row of VLFeedback.

    Args:
        row: With `prompt`, `img_path` or `image`, and `completions`: a list of objects with
            `response` and `annotations`, or, as tables hold them, an object of two lists. A rating
            that is no number is kept as none.
        unread: Is not needed; rows have no turns.

    Raises:
        DataError: It is of another shape.
    """
    given = dict(row)
    if given.get("image") is None:
        given["image"] = given.get(_IMAGE)
    completions = [
        Completion(text=_text(one, place), ratings=_ratings(one.get("annotations"), place))
        for place, one in _completions(row.get(COMPLETIONS))
    ]
    return _record(given, completions)


def bpo_record(row: Mapping[str, Any], unread: Unread | None = None) -> Record:
    """Make a record of one row of BPO.

    Args:
        row: With `prompt`, `image`, and `completions`: objects with `response` and `score`.
        unread: Is not needed; rows have no turns.

    Raises:
        DataError: It is of another shape.
    """
    completions = []
    for place, one in _completions(row.get(COMPLETIONS)):
        score = one.get("score")
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise DataError(f"{place}.score is {score!r:.80}; it should be a number")
        completions.append(Completion(text=_text(one, place), score=float(score)))
    return _record(row, completions)


def _record(row: Mapping[str, Any], completions: list[Completion]) -> Record:
    if not isinstance(prompt := row.get("prompt"), str) or not prompt.strip():
        raise DataError(f"prompt is {prompt!r:.80}; it should be the question in words")
    written = [one.written() for one in completions]
    return {"messages": asked_about(row, prompt), COMPLETIONS: written} | kept(row)


def _completions(given: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each answer with its place; of a list of objects, or an object of lists."""
    if isinstance(given, Mapping):
        lists = {name: values for name, values in given.items() if is_list(values)}
        if "response" not in lists or len({len(values) for values in lists.values()}) != 1:
            raise DataError(
                f"{COMPLETIONS} has {', '.join(map(repr, given))}; it should have response and "
                "others as lists of one length"
            )
        given = [
            dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)
        ]
    if not is_list(given) or not given:
        raise DataError(f"{COMPLETIONS} is {given!r:.80}; it should be a list of answers")
    for number, one in enumerate(given):
        if not isinstance(one, Mapping):
            raise DataError(f"{COMPLETIONS}.{number} is {one!r:.80}; it should be an object")
        yield f"{COMPLETIONS}.{number}", one


def _text(completion: Mapping[str, Any], place: str) -> str:
    if not isinstance(text := completion.get("response"), str):
        raise DataError(f"{place}.response is {text!r:.80}; it should be words")
    return text


def _ratings(given: Any, place: str) -> dict[str, float | None]:
    """Ratings by aspect, from `{aspect: {Rating, Rationale}}`."""
    if not isinstance(given, Mapping) or not all(
        isinstance(one, Mapping) and _RATING in one for one in given.values()
    ):
        raise DataError(
            f"{place}.annotations is {given!r:.80}; it should be a {_RATING} for each aspect"
        )
    return {aspect: _rating(one[_RATING]) for aspect, one in given.items()}


def _rating(value: Any) -> float | None:
    """A rating as a number: 4 or '4'; none for 'N/A' and its like."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.strip().isdecimal():
        return float(value)
    return None
