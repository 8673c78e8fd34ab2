"""A question as the language model reads it, for reports: a prompt differs between two models.

Does not make prompts; the processor does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anymal.processor import Processor


def prompt_text(processor: Processor, prompt: Mapping[str, Any], *, base_dir: Path | None) -> str:
    """The words that are generated from, special tokens included.

    Args:
        processor: The model's own.
        prompt: A conversation without its answer.
        base_dir: Folder that media paths are relative to.

    Returns:
        The text; `<image: 16>` stands for sixteen soft tokens of an image.
    """
    sample = processor(prompt, base_dir=base_dir, generate=True)
    pieces, start = [], 0
    for slot in sample.slots:
        pieces.append(processor.tokenizer.decode(sample.ids[start : slot.start].tolist()))
        pieces.append(f"<{slot.modality}: {slot.length}>")
        start = slot.start + slot.length
    pieces.append(processor.tokenizer.decode(sample.ids[start:].tolist()))
    return "".join(pieces)
