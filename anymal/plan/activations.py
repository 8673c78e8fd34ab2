"""What the decoder layers keep for the backward pass, and what one layer needs while it runs.

Counts what autograd keeps of a frozen layer of transformers: inputs of norms, inputs and
output of attention, factors of the feed-forward layer. The inputs of frozen linear layers are not
kept, unless LoRA's gradients need them. Checked against allocations in `tests/anymal/plan`; layers
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
    """Memory of the decoder layers.

    Attributes:
        kept: Of each layer, from its forward to its backward pass.
        running: In addition, at the peak of one layer's backward pass.
        unpacking: As `running`, at the moment that a quantised matrix is unpacked.
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
    num_norms: int = 0,
) -> LayerBytes:
    """Compute the memory of a decoder layer.

    Args:
        llm: Its sizes.
        lora: Adapters and linear layers that train; all sizes 0 where none do.
        precision: How the frozen weights are held.
        device: Where they are.
        is_checkpointed: Whether only the input of a layer is kept, and the rest recomputed.
        num_norms: Norms that train, of all layers; their gradients need what they scaled.

    Returns:
        Bytes of one token.
    """
    number = compute_bytes(precision, device)
    hidden, ffn = number * llm.hidden_dim, number * llm.ffn_dim
    norm = _FLOAT * llm.hidden_dim + _FLOAT  # its input in float32, and one scale
    inner = (3 if llm.is_gated else 1) * ffn  # gate, its activation, what it gates; or one input
    kept = 2 * norm + inner + _attention(llm, number=number)
    kept += number * (lora.inputs + lora.outputs + lora.ranks) // llm.num_layers
    kept += hidden * num_norms // llm.num_layers
    # The backward pass of the gated product; what LoRA kept of the product is freed by then.
    gated = (3 if llm.is_gated else 2) * ffn - (ffn if lora.num_parameters else 0) + hidden
    # The backward pass of the rotary embedding, after all that follows attention; a higher peak
    # only in models with narrow feed-forward layers.
    rotating = hidden + number * (6 * llm.query_dim + 4 * llm.key_dim) - norm - inner
    unpacking = 2 * hidden + ffn
    # LLM.int8 keeps its inputs outside the reach of checkpointing.
    hidden_from_checkpoints = number * llm.input_width // llm.num_layers
    stays = hidden_from_checkpoints if precision == "int8" else 0
    kept += stays
    if not is_checkpointed:
        return LayerBytes(kept=kept, running=max(gated, rotating), unpacking=unpacking)
    again = kept - (norm if number == _FLOAT else 0)  # the input is kept already
    return LayerBytes(
        kept=hidden + stays,
        running=again + max(gated + hidden, rotating),
        unpacking=again + unpacking + hidden,
    )


def rotary_bytes(llm: LanguageModel, *, number: int) -> int:
    """Cosines and sines of one token, which all layers share."""
    return 2 * number * llm.head_dim


def logits_bytes(num_rows: int, *, vocab_size: int, number: int) -> int:
    """Bytes of the loss at its peak: log-probabilities and two gradients in float32.

    Args:
        num_rows: Labelled positions of the pass.
        vocab_size: V.
        number: Bytes of one logit; logits of less than float32 are copied, and both have gradients.

    Returns:
        Bytes.
    """
    rows = min(num_rows, chunk_rows(vocab_size))
    copies = 0 if number == _FLOAT else 2 * number
    return rows * vocab_size * (3 * _FLOAT + copies)


def _attention(llm: LanguageModel, *, number: int) -> int:
    """Inputs and output of a fused kernel, and one sum for each head."""
    return number * (2 * llm.query_dim + 2 * llm.key_dim) + _FLOAT * llm.num_heads
