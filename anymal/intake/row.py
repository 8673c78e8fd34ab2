"""Written segments to one row: ids, labels, and the slots of media.

Does not know any template; `anymal.chat` writes segments.
"""

from collections.abc import Sequence

import torch

from anymal.chat.segments import MediaSegment, Segment
from anymal.chat.tokens import TextEncoder, runs_of
from anymal.intake.collected import Collected
from anymal.sample import IGNORED, SLOT_ID, LearntRun, Sample, Slot


def lay_out(
    segments: Sequence[Segment],
    media: Collected,
    text: TextEncoder,
    *,
    enough: int,
    with_labels: bool,
    name: str,
) -> Sample:
    """Write a sample.

    Args:
        segments: The conversation.
        media: Those that it shows.
        text: The tokeniser.
        enough: How many ids are surely too many.
        with_labels: Whether answers are learnt.
        name: Of the sample.

    Raises:
        TooLong: There are more ids than that.
    """
    ids: list[int] = []
    labels: list[int] = []
    facts: list[bool] = []
    slots: list[Slot] = []
    learnt: list[LearntRun] = []
    for item in runs_of(segments, text, enough=enough):
        if isinstance(item, MediaSegment):
            length = media.length(item)
            slots.append(
                Slot(
                    modality=item.modality,
                    start=len(ids),
                    length=length,
                    item=item.index,
                    window=item.window,
                )
            )
            ids += [SLOT_ID] * length
            labels += [IGNORED] * length
            facts += [False] * length
        else:
            is_learnt = item.is_target and with_labels
            ids += item.ids
            labels += item.ids if is_learnt else [IGNORED] * len(item.ids)
            facts += [item.is_fact] * len(item.ids)
            if is_learnt:
                learnt.append(LearntRun(text=item.text, follows=item.follows, length=len(item.ids)))
    return Sample(
        ids=torch.tensor(ids, dtype=torch.int64),
        labels=torch.tensor(labels, dtype=torch.int64),
        slots=tuple(slots),
        media=media.items,
        facts=torch.tensor(facts) if any(facts) else None,
        name=name,
        learnt=tuple(learnt),
    )
