"""Fuyu's own processor, and tiny random checkpoints of its class."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import Unigram
from tokenizers.normalizers import Prepend, Replace, Sequence
from transformers import (
    FuyuConfig,
    FuyuForCausalLM,
    FuyuImageProcessorPil,
    FuyuProcessor,
    PreTrainedTokenizerFast,
)

from tests.systems.checkpoints import save_whole, text_sizes

_ENDS = ("<unk>", "<s>", "</s>")
_SPACE = "\u2581"


def fuyu_tokenizer() -> Any:
    """A tokeniser like Fuyu's: letters and bytes, words for pictures, a space before each text."""
    words = dict.fromkeys(("|SPEAKER|", "|NEWLINE|"), 0.0)
    words |= dict.fromkeys([f"<0x{byte:02X}>" for byte in range(256)], -1.0)
    words |= dict.fromkeys([_SPACE, *map(chr, range(33, 127))], -2.0)
    pieces = [(word, 0.0) for word in _ENDS] + list(words.items())
    tokenizer = Tokenizer(Unigram(pieces, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = Sequence([Prepend(_SPACE), Replace(" ", _SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    unknown, begin, end = _ENDS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=unknown, bos_token=begin, eos_token=end
    )


def fuyu_processor(**options: Any) -> Any:
    """Fuyu's processor."""
    return FuyuProcessor(FuyuImageProcessorPil(**options), fuyu_tokenizer())


def save_fuyu(folder: Path, *, patch: int = 8, **changes: Any) -> Path:
    """Save a Fuyu.

    Args:
        folder: Where.
        patch: Pixels of a patch's side; a picture has at most 8 x 12 patches.
        changes: To the language model's sizes.

    Returns:
        The folder.
    """
    sides = {"height": patch, "width": patch}
    processor = fuyu_processor(patch_size=sides, size={"height": 8 * patch, "width": 12 * patch})
    torch.manual_seed(0)
    sizes = {"qk_layernorm": True, "partial_rotary_factor": 0.5, **changes}
    text = text_sizes(processor.tokenizer, **sizes) | {"model_type": "persimmon"}
    config = FuyuConfig(text_config=text, patch_size=patch, image_token_id=processor.image_token_id)
    return save_whole(FuyuForCausalLM(config), processor, folder)
