"""What the decoder layers keep for the backward pass, and what one layer needs while it runs.

Counts what autograd keeps of a frozen layer of transformers: inputs of norms, what attention read
and gave, what the feed-forward layer multiplied. The inputs of frozen linear layers are not kept,
unless LoRA's gradients need them. Sums checked against allocations in `tests/anymal/plan`; layers
unlike Llama's (mixtures of experts, state spaces) are only approximated.

All numbers are bytes of one token unless they say otherwise.
"""

from dataclasses import dataclass

from anymal.llm.cross_entropy import chunk_rows
from anymal.plan.device import DeviceType
from anymal.plan.language_model import LanguageModel
from anymal.plan.trainable import Lora
from anymal.plan.weights import compute_bytes
from anymal.recipe.schema import Precision

_FLOAT = 4
# Of each layer and pass, not token: the state of the random generator, which a checkpoint keeps.
RANDOM_STATE = 5056


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBytes:
    """What decoder layers take.

    Attributes:
        kept: Of each layer, from its forward to its backward pass.
        running: Besides, while one layer runs backward, at its fullest moment.
        unpacking: As `running`, where a matrix is unpacked at that moment.
    """

    kept: int
    running: int
    unpacking: int


def layer_bytes(
    llm: LanguageModel,
    lora: Lora,
    *,
    precision: Precision,
    device: DeviceType,
    is_checkpointed: bool,
) -> LayerBytes:
    """Work out what a layer takes.

    Args:
        llm: Its sizes.
        lora: Adapters that train; empty ones where none do.
        precision: How the frozen weights are held.
        device: Where they are.
        is_checkpointed: Whether only the input of a layer is kept, and the rest computed anew.

    Returns:
        Bytes of one token.
    """
    number = compute_bytes(precision, device)
    hidden, ffn = number * llm.hidden_dim, number * llm.ffn_dim
    norm = _FLOAT * llm.hidden_dim + _FLOAT  # what it read in float32, and one scale
    inner = (3 if llm.is_gated else 1) * ffn  # gate, its activation, what it gates; or one input
    kept = 2 * norm + inner + _attention(llm, number=number)
    kept += number * (lora.inputs + lora.ranks) // llm.num_layers
    # Where the gated product is taken apart; what LoRA kept of the product is gone by then.
    gated = (3 if llm.is_gated else 2) * ffn - (ffn if lora.num_parameters else 0) + hidden
    # Around the turning of queries and keys, once all behind attention is done; the fuller moment
    # in models with narrow feed-forward layers only.
    turning = hidden + number * (6 * llm.query_dim + 4 * llm.key_dim) - norm - inner
    unpacking = 2 * hidden + ffn
    # LLM.int8 keeps what it read where checkpoints do not see it.
    hidden_from_checkpoints = number * llm.input_width // llm.num_layers
    stays = hidden_from_checkpoints if precision == "int8" else 0
    kept += stays
    if not is_checkpointed:
        return LayerBytes(kept=kept, running=max(gated, turning), unpacking=unpacking)
    again = kept - (norm if number == _FLOAT else 0)  # the input is there already
    return LayerBytes(
        kept=hidden + stays,
        running=again + max(gated + hidden, turning),
        unpacking=again + unpacking + hidden,
    )


def rotary_bytes(llm: LanguageModel, *, number: int) -> int:
    """Cosines and sines of one token, which all layers share."""
    return 2 * number * llm.head_dim


def logits_bytes(num_rows: int, *, vocab_size: int, number: int) -> int:
    """Bytes at the fullest moment: log-probabilities and two gradients in float32.

    Args:
        num_rows: Labelled positions of the pass.
        vocab_size: V.
        number: Bytes of what the output head gives; a copy of less than float32 has a gradient too.

    Returns:
        Bytes.
    """
    rows = min(num_rows, chunk_rows(vocab_size))
    copies = 0 if number == _FLOAT else 2 * number
    return rows * vocab_size * (3 * _FLOAT + copies)


def _attention(llm: LanguageModel, *, number: int) -> int:
    """What a fused kernel reads and gives, and one sum for each head."""
    return number * (2 * llm.query_dim + 2 * llm.key_dim) + _FLOAT * llm.num_heads
