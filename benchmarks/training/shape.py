"""The one shape on which training steps are compared, and the batches that all of them read.

Does not build or train anything.

Shapes: B samples, S positions, of which Q soft tokens and T words.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anymal.sample import IGNORED, SLOT_ID, Item, Sample, Slot
from benchmarks.serving.shape import NUM_SOFT, NUM_TEXT, WIDE

VIT: dict[str, Any] = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "image_size": 112,
    "patch_size": 14,
}
LAYER = -2  # whose hidden states are the features, as LLaVA has it
BATCH, LENGTH = 4, NUM_SOFT + NUM_TEXT
IMAGE_ID = WIDE["vocab_size"] - 1  # stands where peers put soft tokens; no word of a batch has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the words of a sample stand.

    Attributes:
        before: Words before the soft tokens, the same in every sample, as a system prompt is.
        after: Words after them.
        learnt: How many of the last words are learnt.
    """

    before: int
    after: int
    learnt: int

    def __post_init__(self) -> None:
        assert self.before + self.after == NUM_TEXT, (self.before, self.after)


LAYOUTS = {
    # As the recipes put it (AnyMAL, appendix B.1): about 125 characters of system prompt and the
    # template's marks, taken as 32 words; the image; a request; a caption of 16 words.
    "prompted": Layout(before=32, after=32, learnt=16),
    # LLaVA's first stage: the image and its caption, nothing else.
    "plain": Layout(before=0, after=NUM_TEXT, learnt=NUM_TEXT),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """One batch, as peers and as this project read it.

    Attributes:
        pixels: `[B, 3, H, W]` float32.
        ids: `[B, S]` int64, `IMAGE_ID` where soft tokens go.
        labels: `[B, S]` int64, `IGNORED` where nothing is learnt.
        samples: The same, before collating.
    """

    pixels: Tensor
    ids: Tensor
    labels: Tensor
    samples: list[Sample]


def lesson(seed: int, layout: Layout) -> Lesson:
    """Draw a batch.

    Args:
        seed: No two seeds give the same batch.
        layout: Where words stand.

    Returns:
        The batch, on the CPU.
    """
    random = torch.Generator().manual_seed(seed)
    size = VIT["image_size"]
    pixels = torch.randn(BATCH, 3, size, size, generator=random)
    ids = torch.randint(IMAGE_ID, (BATCH, LENGTH), generator=random)
    ids[:, : layout.before] = torch.arange(layout.before)
    ids[:, layout.before : layout.before + NUM_SOFT] = IMAGE_ID
    labels = torch.full_like(ids, IGNORED)
    labels[:, -layout.learnt :] = ids[:, -layout.learnt :]
    samples = [
        Sample(
            ids=own.masked_fill(own == IMAGE_ID, SLOT_ID),
            labels=learnt,
            slots=(Slot(modality="image", start=layout.before, length=NUM_SOFT),),
            media={
                "image": [Item(tensors={"pixel_values": picture[None]}, digest=f"{seed} {number}")]
            },
            name=f"{seed} {number}",
        )
        for number, (own, learnt, picture) in enumerate(zip(ids, labels, pixels, strict=True))
    ]
    return Lesson(pixels=pixels, ids=ids, labels=labels, samples=samples)
