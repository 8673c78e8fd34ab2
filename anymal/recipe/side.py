"""What a recipe says of layers that read media beside the row.

Does not build them; `anymal.side` does.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from anymal.recipe.section import Positive, Section


class _SideSection(Section):
    """What both kinds share."""

    def media_width(self, hidden_dim: int) -> int:
        """Width that aligners give, by that of the decoder layers."""
        return hidden_dim

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments for the kind."""
        return self.model_dump(exclude={"kind"})


class CrossRecipe(_SideSection):
    """Gated cross-attention before decoder layers: Flamingo, OpenFlamingo, Otter, Idefics."""

    kind: Literal["cross"] = Field(description="gated cross-attention before decoder layers")
    every: Positive = Field(1, description="decoder layers from one block to the next")
    first: int | None = Field(
        None, ge=0, description="layer of the first block, from 0; null is every - 1"
    )
    media_dim: Positive | None = Field(
        None, description="width of media; null is that of the layers"
    )
    num_heads: Positive = Field(8, description="heads of a block")
    head_dim: Positive = Field(64, description="width of a head")
    reads: Literal["last", "all"] = Field("last", description="media before it that a word reads")
    feed_forward: Literal["gelu", "relu", "squared_relu", "swiglu"] = Field(
        "gelu", description="activation of a block"
    )
    ffn_dim: Positive | None = Field(
        None, description="inner width; null is four times the layers'"
    )
    gate: Literal["scalar", "vector"] = Field("scalar", description="numbers of a gate")
    norm: Literal["layer", "rms"] = Field("layer", description="LayerNorm or RMSNorm")
    eps: float = Field(1e-5, gt=0, description="of the norms")
    normalise_heads: bool = Field(False, description="RMSNorm on the heads of queries and keys")

    def media_width(self, hidden_dim: int) -> int:
        """See `_SideSection.media_width`."""
        return self.media_dim or hidden_dim


class PrefixRecipe(_SideSection):
    """Learned prompts beside attention: LLaMA-Adapter."""

    kind: Literal["prefix"] = Field(description="learned prompts beside attention")
    num_tokens: Positive = Field(10, description="prompts of a layer")
    layers: Positive | None = Field(None, description="how many of the last layers; null is all")
    gate: Literal["per_head", "per_layer"] = Field("per_head", description="numbers of a gate")


SideRecipe = Annotated[CrossRecipe | PrefixRecipe, Field(discriminator="kind")]
