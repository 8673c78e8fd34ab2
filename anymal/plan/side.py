"""The size of layers beside the row and what they keep for the backward pass, on the meta device.

Does not know stages. What a position keeps does not depend on the others, so it is measured as the
difference of two rows.

Shapes: Q soft tokens of a medium; T positions; H heads; D width of a head; D_llm width of a layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anymal.plan.footprint import saved_bytes
from anymal.plan.language_model import LanguageModel
from anymal.recipe.side import PrefixRecipe, SideRecipe
from anymal.side.base import Media, SideLayers, side_is
from anymal.side.reads import Reader
from anymal.side.registry import build_side
from anymal.side.sizes import DecoderSizes

_FLOAT = 4
_SHORT, _LONG = 64, 128  # positions


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSize:
    """Sizes of layers beside the row, as in float32.

    Attributes:
        num_parameters: Held in float32.
        sample: Bytes kept of one sample: keys and values of its longest medium.
        first_layer: The decoder layer that reads beside itself first: what stands before it has no
            gradient while only aligners and side train.
        position: Bytes kept of one position, over all layers.
        stays: As `position`, where layers are computed again in the backward pass.
        running: Bytes of one position while one of them is, its backward pass included.
        is_float32: Whether they compute in float32 whatever the language model computes in.
        weights: Size of each parameter, by its name.
    """

    num_parameters: int
    sample: int
    first_layer: int
    position: int
    stays: int
    running: int
    is_float32: bool
    weights: Mapping[str, int]

    def bytes_of(self, measured: int, *, number: int) -> int:
        """Bytes of one of the above, where the language model's numbers take `number` bytes."""
        return measured if self.is_float32 else measured * number // _FLOAT


def measure_side(recipe: SideRecipe, llm: LanguageModel, *, num_tokens: int) -> SideSize:
    """Build the layers on the meta device and run two rows past them.

    Args:
        recipe: What they are.
        llm: Sizes of the language model.
        num_tokens: Q of the longest medium.

    Returns:
        Their sizes.

    Raises:
        RecipeError: They do not fit the language model.
    """
    sizes = DecoderSizes(
        num_layers=llm.num_layers,
        hidden_dim=llm.hidden_dim,
        num_heads=llm.num_heads,
        head_dim=llm.head_dim,
    )
    with torch.device("meta"):
        side = build_side(recipe.kind, sizes=sizes, options=recipe.options)
        # Prompts take what an aligner says of each, or of all at once.
        width = num_tokens if side.is_positional else 1
        media = torch.zeros(1, width, side.media_dim)
        layers = [_Projections(llm) for _ in range(llm.num_layers)]
        short, long = (_kept(side, media, layers, llm, length) for length in (_SHORT, _LONG))
    position = (long - short) // (_LONG - _SHORT)
    num_layers = len(side.numbers)
    # A block keeps what it is given; prompts are computed again with their decoder layer.
    given = _FLOAT * llm.hidden_dim if side.is_positional else 0
    return SideSize(
        num_parameters=sum(parameter.numel() for parameter in side.parameters()),
        sample=short - _SHORT * position,
        first_layer=side.numbers[0],
        position=position,
        stays=given * num_layers,
        running=position // num_layers - given + _FLOAT * _backward(recipe, llm),
        is_float32=side.is_positional,
        weights={name: parameter.numel() for name, parameter in side.named_parameters()},
    )


def _backward(recipe: SideRecipe, llm: LanguageModel) -> int:
    """Numbers of one position that the backward pass of a layer holds at its peak."""
    if isinstance(recipe, PrefixRecipe):
        return 2 * llm.query_dim
    inner = recipe.ffn_dim or 4 * llm.hidden_dim
    return (3 if recipe.feed_forward == "swiglu" else 2) * inner + llm.hidden_dim


class _Projections(nn.Module):
    """As much of a decoder layer as prompts need."""

    def __init__(self, llm: LanguageModel) -> None:
        super().__init__()
        self.attention = nn.Module()
        for name in ("k_proj", "v_proj"):
            linear = nn.Linear(llm.hidden_dim, llm.key_dim, bias=False).requires_grad_(False)
            self.attention.add_module(name, linear)


def _kept(
    side: SideLayers, media: Tensor, layers: list[_Projections], llm: LanguageModel, length: int
) -> int:
    """Bytes that one sample keeps, with a medium before its first position."""
    reader = Reader(start=0, length=length, offset=0, places=(0,))

    def run() -> Tensor:
        active = side.side(
            Media(values=media, mask=None, counts=(1,)),
            [reader],
            layers=layers,
            dtype=torch.float32,
            num_positions=length,
        )
        hidden = torch.zeros(1, length, llm.hidden_dim, requires_grad=True)
        query = torch.zeros(1, llm.num_heads, length, llm.head_dim, requires_grad=True)
        out = hidden
        added = query.transpose(1, 2)
        with side_is(active):
            for number in range(llm.num_layers):
                out = side.before(number, out, active)
                own = side.beside(number, query, active, scaling=None)
                added = added if own is None else added + own
        return out.sum() + added.sum()

    frozen = [weight for layer in layers for weight in layer.parameters()]
    return saved_bytes(run, parameters=[*side.parameters(), *frozen])
