"""What a recipe's model makes of a row, without the weights of its language model.

Does not check anything; `anymal.data.checks` asks it.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from anymal.assemble import build_processor
from anymal.bundle.extend import extended
from anymal.data.checks.length import Length
from anymal.data.checks.media import LIMITS, DecodeOne
from anymal.data.show.pieces import Piece
from anymal.decoding.medium import decode_medium
from anymal.errors import ConversationError
from anymal.media.limits import Limits
from anymal.modality import Medium
from anymal.processor import Processor
from anymal.protocol.conversation import Conversation
from anymal.recipe.schema import Recipe
from anymal.sample import IGNORED, Sample

_ANY_NUMBER = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeModel:
    """The processor of a recipe's model.

    Attributes:
        processor: As in training, but that it measures rows of any length.
        most: How many tokens the model takes.
    """

    processor: Processor
    most: int

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """Build it.

        Raises:
            RecipeError: A part cannot be built.
        """
        processor = build_processor(extended(recipe).model)
        patient = copy.copy(processor)
        patient.max_tokens = _ANY_NUMBER
        return cls(processor=patient, most=processor.max_tokens)

    def decode(self, medium: Medium, modality: str) -> Any:
        """See `anymal.data.checks.row.Model`."""
        if (own := self.processor.modalities.get(modality)) is None:
            raise ConversationError(
                f"the recipe's model takes no {modality}; it takes "
                f"{', '.join(self.processor.modalities)}"
            )
        return decode_medium(medium, own.preprocessor, modality=modality, limits=LIMITS)

    def length(self, conversation: Conversation, base_dir: Path, decode: DecodeOne) -> Length:
        """See `anymal.data.checks.row.Model`."""
        sample = self._sample(conversation, base_dir, decode)
        learnt = (sample.labels != IGNORED).nonzero()
        return Length(
            num_tokens=len(sample.ids),
            first_learnt=int(learnt[0]) if len(learnt) else None,
            most=self.most,
        )

    def pieces(
        self, conversation: Conversation, base_dir: Path, decode: DecodeOne
    ) -> Iterator[Piece]:
        """What the model reads, in runs of one kind."""
        sample = self._sample(conversation, base_dir, decode)
        starts = {slot.start: slot for slot in sample.slots}
        numbers = {slot.start: number for number, slot in enumerate(sample.slots, start=1)}
        place = 0
        while place < len(sample.ids):
            if (slot := starts.get(place)) is not None and slot.length:
                text = f"{slot.modality} {numbers[place]}"
                yield Piece(text=text, kind="slot", num_tokens=slot.length)
                place += slot.length
                continue
            end = self._end_of_run(sample, place, set(starts))
            is_learnt = int(sample.labels[place]) != IGNORED
            yield Piece(
                text=str(self.processor.tokenizer.decode(sample.ids[place:end].tolist())),
                kind="learnt" if is_learnt else "read",
                num_tokens=end - place,
            )
            place = end

    def _sample(self, conversation: Conversation, base_dir: Path, decode: DecodeOne) -> Sample:
        """A conversation as training sees it, its media decoded already."""

        def decoded(medium: Medium, preprocessor: object, *, modality: str, limits: Limits) -> Any:
            return decode(medium, modality)

        return self.processor.decoding_by(decoded)(conversation, base_dir=base_dir)

    @staticmethod
    def _end_of_run(sample: Sample, place: int, starts: set[int]) -> int:
        """Where the run of text ends that begins at a place."""
        is_learnt = sample.labels != IGNORED
        end = place + 1
        while end < len(sample.ids) and end not in starts and is_learnt[end] == is_learnt[place]:
            end += 1
        return end
