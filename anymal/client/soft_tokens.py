"""A medium's soft tokens, as the client returns them.

Does not compute it; a service does. Reads safetensors by itself, so that numpy is all it needs.

Shapes: Q soft tokens, D_llm width of the language model's embeddings.
"""

import base64
import json
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import httpx

from anymal.client.errors import ServerError
from anymal.client.requests import REQUEST_ID, parse
from anymal.protocol.conversation import PromptEmbeds, PromptEmbedsPart
from anymal.protocol.responses import SoftTokensReply

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TENSOR = "embeds"
_NUMPY_NAMES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aligned:
    """The soft tokens of one medium.

    Attributes:
        embeds: `[Q, D_llm]` float; bfloat16 arrives as float32, which holds all of it.
            `[Q, D_side]` where the model reads them beside the row.
        modality: Which kind of medium it was.
        model: Name of the model whose language model they are for.
        part: The same as a part of a message, for a service that takes soft tokens from this key.
        request_id: The request's id in the service's log.
        beside: Whether the model reads them beside the row; it then takes no such `part`.
    """

    embeds: "NDArray[np.floating[Any]]"
    modality: str
    model: str
    part: PromptEmbedsPart = field(repr=False)
    request_id: str | None = None
    beside: bool = False


def read_aligned(response: httpx.Response) -> Aligned:
    """Unpack a response.

    Args:
        response: In the safetensors format, its body read.

    Returns:
        The soft tokens.

    Raises:
        ServerError: If they are not what the response says.
    """
    request_id = response.headers.get(REQUEST_ID)
    reply = parse(SoftTokensReply, response.content, request_id)
    text = str(reply.embeds)
    try:
        embeds = _read(base64.b64decode(text, validate=True))
        if list(embeds.shape) != reply.shape:
            raise ValueError(f"{list(embeds.shape)} where {reply.shape} was promised")
    except (ValueError, LookupError, TypeError) as error:
        raise ServerError(
            f"the service sent soft tokens that cannot be read ({error!r})", request_id=request_id
        ) from error
    return Aligned(
        embeds=embeds,
        modality=reply.modality,
        model=reply.model,
        part=PromptEmbedsPart(prompt_embeds=PromptEmbeds(data=text, modality=reply.modality)),
        request_id=request_id,
        beside=reply.beside,
    )


def _read(data: bytes) -> "NDArray[np.floating[Any]]":
    """The tensor of a safetensors file: a header's size, the header in JSON, the numbers."""
    import numpy as np

    start = 8 + int.from_bytes(data[:8], "little")
    about = json.loads(data[8:start])[_TENSOR]
    first, last = about["data_offsets"]
    shape = about["shape"]
    numbers = np.frombuffer(data[start + first : start + last], _NUMPY_NAMES[about["dtype"]])
    if len(numbers) != prod(shape):
        raise ValueError(f"{len(numbers)} numbers for the shape {shape}")
    if about["dtype"] == "BF16":  # the upper half of a float32
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    return numbers.reshape(shape)
