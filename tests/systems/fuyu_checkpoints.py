"""Fuyu's own processor, and tiny random checkpoints of its class."""

from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders
from tokenizers.models import Unigram
from tokenizers.normalizers import Prepend, Replace, Sequence
from transformers import FuyuProcessor, PreTrainedTokenizerFast

_ENDS = ("<unk>", "<s>", "</s>")
_SPACE = "\u2581"


class FuyuImageProcessorPil(transformers.FuyuImageProcessorPil):
    """Takes the tensors that `FuyuProcessor` hands to it, which it does not do by itself."""

    def patchify_image(self, image: Any, patch_size: Any = None) -> Any:
        """Patches of one picture, `[1, N, P * P * 3]`."""
        patches = super().patchify_image(np.asarray(image), patch_size)
        return torch.from_numpy(patches)[None]


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
