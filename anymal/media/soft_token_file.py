"""Soft tokens as text and back: base64 of a safetensors file with one tensor, `embeds`.

Does not know conversations or who may send soft tokens. Never unpickles.

Shapes: Q soft tokens, D_llm width of the language model's embeddings.
"""

import base64
import hashlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from anymal.errors import MediaCorrupt, MediaTooLarge, MediaUnsupported
from anymal.media.limits import Limits
from anymal.media.source import read_base64, reason, shorten

EMBEDS = "embeds"  # name of the tensor, and of the kind of tokens
_SOURCE = "prompt_embeds"
# Of the text in front of the numbers, which names the tensors and may hold a few notes.
_LONGEST_HEADER = 2**16
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def pack(embeds: Tensor) -> str:
    """Write soft tokens.

    Args:
        embeds: `[Q, D_llm]` float.

    Returns:
        Base64 of the file.
    """
    return base64.b64encode(save({EMBEDS: embeds.detach().cpu().contiguous()})).decode("ascii")


def unpack(text: str, *, width: int, limits: Limits) -> Tensor:
    """Read soft tokens of somebody else's.

    Args:
        text: Base64 of the file.
        width: D_llm.
        limits: How many bytes are accepted.

    Returns:
        `[Q, D_llm]` float32, Q at least 1, all finite.

    Raises:
        MediaCorrupt: No safetensors file, or numbers that are not finite.
        MediaTooLarge: More bytes than accepted, or a longer header.
        MediaUnsupported: Other tensors, another shape or another dtype.
    """
    wanted = f"one tensor {EMBEDS!r} [Q, {width}] of float32, float16 or bfloat16"
    data = read_base64(text, limits=limits, name=_SOURCE).data
    header_length = int.from_bytes(data[:8], "little")
    if _LONGEST_HEADER < header_length <= len(data):
        found = f"a header of {header_length:,} bytes"
        raise MediaTooLarge(_SOURCE, found, f"at most {_LONGEST_HEADER:,} bytes of header")
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a dtype torch has not
        raise MediaCorrupt(
            _SOURCE, f"no safetensors file ({reason(error)})", f"a safetensors file with {wanted}"
        ) from error
    if list(tensors) != [EMBEDS]:
        raise MediaUnsupported(_SOURCE, f"tensors {shorten(str(sorted(tensors)))}", wanted)
    embeds = tensors[EMBEDS]
    if embeds.dtype not in _DTYPES:
        raise MediaUnsupported(_SOURCE, f"dtype {embeds.dtype}", wanted)
    if embeds.ndim != 2 or embeds.shape[1] != width or len(embeds) == 0:
        raise MediaUnsupported(_SOURCE, f"shape {list(embeds.shape)}", wanted)
    if not bool(embeds.isfinite().all()):
        raise MediaCorrupt(_SOURCE, "numbers that are not finite", "finite numbers")
    return embeds.float()


def embeds_digest(embeds: Tensor) -> str:
    """SHA-256 of soft tokens.

    Args:
        embeds: `[Q, D_llm]` float32 on the CPU.

    Returns:
        The digest, in hexadecimal digits.
    """
    digest = hashlib.sha256(f"{EMBEDS} {tuple(embeds.shape)} ".encode())
    digest.update(embeds.contiguous().numpy().tobytes())
    return digest.hexdigest()
