"""Segments to runs of ids, with the places of media between them.

Does not reserve positions for media and knows no labels but which run is learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from anymal.chat.segments import MediaSegment, Segment
from anymal.chat.tokens import TextEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Ids of one stretch of text.

    Attributes:
        ids: The ids.
        is_target: Whether the model learns to write them.
    """

    ids: Sequence[int]
    is_target: bool


def runs_of(segments: Sequence[Segment], text: TextEncoder) -> list[Run | MediaSegment]:
    """Tokenise text between special tokens, media and changes of target as one run each.

    So the text of the template and the words inside it meet as they do in the model's own
    training, while ids never depend on what comes after a run.

    Args:
        segments: A written conversation.
        text: The tokeniser.

    Returns:
        Runs of ids, and media between them.
    """
    runs: list[Run | MediaSegment] = []
    words, is_target = "", False

    def end_run() -> None:
        nonlocal words
        if words:
            runs.append(Run(ids=text.encode_run(words), is_target=is_target))
        words = ""

    for segment in segments:
        if isinstance(segment, MediaSegment):
            end_run()
            runs.append(segment)
            continue
        if segment.is_target != is_target:
            end_run()
            is_target = segment.is_target
        for piece in text.split_special(segment.text) if segment.is_markup else [segment.text]:
            if isinstance(piece, str):
                words += piece
            else:
                end_run()
                runs.append(Run(ids=[piece], is_target=is_target))
    end_run()
    return runs
