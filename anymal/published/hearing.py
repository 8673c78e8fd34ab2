"""What importers of models that hear share: their processor in parts, and whole recordings as mel.

Knows no class of models.

Shapes: N samples, K mel bands, T mel frames.
"""

from dataclasses import dataclass
from typing import Any

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
