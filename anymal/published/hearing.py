"""What importers of models that hear share: their processor in parts, and whole recordings as mel.

Knows no class of models.

Shapes: N samples, K mel bands, T mel frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anymal.published.probe import SOUND_HZ

# Windows of 30 s in the longest sound that is accepted (`anymal.media.limits`).
MAX_WINDOWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HearingParts:
    """A processor in two parts, for layouts whose own is not at hand.

    Attributes:
        feature_extractor: Whisper's.
        tokenizer: Of the language model.
    """

    feature_extractor: Any
    tokenizer: Any

    @property
    def chat_template(self) -> Any:
        """The tokeniser's."""
        return self.tokenizer.chat_template


def whole_mel(extractor: Any, sound: Any, *, step: int) -> Tensor:
    """The spectrogram of a whole recording, filled up with silence to whole steps.

    Args:
        extractor: Whisper's feature extractor.
        sound: `[N]` float32.
        step: Samples.

    Returns:
        `[K, T]` float32.
    """
    made = extractor(
        sound,
        sampling_rate=SOUND_HZ,
        padding="longest",
        truncation=False,
        pad_to_multiple_of=step,
        return_tensors="pt",
    )
    mel: Tensor = made.input_features[0]
    return mel


def filled_ids(
    tokenizer: Any, written: str, *, medium: str, placeholder: int, counts: Sequence[int]
) -> Mapping[str, Tensor]:
    """A prompt by ids, a number of placeholders where each sound stands.

    Args:
        tokenizer: Of the language model.
        written: By the chat template, `medium` for each sound.
        medium: Text that stands for a sound.
        placeholder: Id that fills its place.
        counts: How many, for each sound.

    Returns:
        `input_ids` and `attention_mask` `[1, T]`.
    """
    pieces = [
        tokenizer(piece, add_special_tokens=False).input_ids for piece in written.split(medium)
    ]
    ids = list(pieces[0])
    for count, piece in zip(counts, pieces[1:], strict=True):
        ids += [placeholder] * count + piece
    return {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids)).long()}
