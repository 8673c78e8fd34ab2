"""Modality dropout: one kind of medium is left out of a mixed sample, where it can be done without.

A record says so itself: `meta.enough` lists sets of modalities, each of which is enough to answer.
Without it every medium is needed. Draws no records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from anymal.errors import DataError, RecipeError
from anymal.modality import find_modality, modality_of
from anymal.protocol.conversation import Conversation, Message, PromptEmbedsPart, TextPart
from anymal.protocol.sound_track import with_sound
from anymal.recipe.schema import StageRecipe
from encoders.plugins import PluginError
from train.data.sources import Source

_PURPOSE = 3  # `train.data.sampler` draws for 0 to 2
_LOOKED_AT = 16  # records of each source, to see whether any of them can do without a medium

Enough = Sequence[frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout:
    """Which medium is left out of which sample.

    Attributes:
        share: How often, of the samples that can do without one.
        seed: Of the run.
        stage: Index of the stage.
    """

    share: float
    seed: int
    stage: int

    def __call__(
        self, conversation: Conversation, enough: Enough, *, position: int, record: int
    ) -> Conversation:
        """A conversation with or without one kind of medium.

        Args:
            conversation: Of the record.
            enough: What the record says.
            position: Of the sample in the stage; with the record it decides, so that a run that
                continues sees what it would have seen.
            record: Index in its source.
        """
        spare = spare_modalities(conversation, enough)
        random = np.random.default_rng((self.seed, self.stage, _PURPOSE, position, record))
        if not spare or random.random() >= self.share:
            return conversation
        return without(conversation, spare[int(random.integers(len(spare)))])


def enough_of(record: Mapping[str, Any], *, where: str) -> Enough:
    """What a record says is enough to answer it.

    Raises:
        DataError: It is no list of lists of modalities, or `meta` is no object; the message begins
            with `where`.
    """
    meta = record.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise DataError(f"{where}: meta is {meta!r:.80}; write an object, or leave it out")
    found = meta.get("enough")
    if found is None:
        return ()
    is_list = isinstance(found, list) and all(isinstance(each, list) for each in found)
    if not is_list or not all(isinstance(name, str) for each in found for name in each):
        raise DataError(
            f"{where}: meta.enough is {found!r}; write a list of lists of modalities, each enough "
            'to answer, such as [["audio"], ["video"]]'
        )
    for name in {name for each in found for name in each}:
        try:
            find_modality(name)
        except PluginError as error:
            raise DataError(f"{where}: meta.enough: {error}") from None
    return [frozenset(each) for each in found]


def spare_modalities(conversation: Conversation, enough: Enough) -> list[str]:
    """The kinds of media of which one may be left out; none of a sample with one kind."""
    present = {name for message in conversation.messages for name in _modalities(message)}
    if len(present) < 2:
        return []
    return sorted(
        name for name in present if any(each <= present - {name} for each in enough if each)
    )


def without(conversation: Conversation, modality: str) -> Conversation:
    """The same conversation without the media of one kind; a film may lose its sound alone."""
    messages = [_without(message, modality) for message in conversation.messages]
    return conversation.model_copy(update={"messages": messages})


def check_dropout(stage: StageRecipe, sources: Sequence[Source]) -> None:
    """Refuse to leave media out where no record says what it can do without.

    Raises:
        RecipeError: Names the stage.
        DataError: A record cannot be used.
    """
    if not stage.modality_dropout:
        return
    for source in sources:
        for index in islice(range(len(source.records)), _LOOKED_AT):
            record = source.records[index]
            enough = enough_of(record, where=source.where(index))
            if spare_modalities(source.check(record, index), enough):
                return
    raise RecipeError(
        f"stages.{stage.name}.modality_dropout is {stage.modality_dropout:g}, but of the first "
        f"{_LOOKED_AT} records of each source none has two kinds of media and a meta.enough that "
        "can do without one; add it to records, or set modality_dropout=0"
    )


def _modalities(message: Message) -> list[str]:
    return [
        modality_of(each)
        for part in message.media.values()
        if not isinstance(part, PromptEmbedsPart)
        for each in with_sound(part)
    ]


def _without(message: Message, modality: str) -> Message:
    if modality not in _modalities(message):
        return message
    content = [
        each
        for part in message.parts
        for each in ([part] if isinstance(part, TextPart | PromptEmbedsPart) else with_sound(part))
        if isinstance(each, TextPart | PromptEmbedsPart) or modality_of(each) != modality
    ]
    return message.model_copy(update={"content": content or ""})
