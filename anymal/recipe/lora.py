"""What a recipe says of LoRA.

Does not attach adapters; `anymal.llm.lora` does.
"""

from pydantic import Field

from anymal.recipe.section import Positive, Section


class LoraRecipe(Section):
    """Low-rank adapters on the language model."""

    r: Positive = Field(64, description="rank")
    alpha: Positive = Field(
        16, description="scale is alpha / r, or with use_rslora alpha / sqrt(r)"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="probability on the adapters' input")
    targets: str | list[str] = Field("all-linear", description="module names, or all-linear")
    use_rslora: bool = Field(False, description="scale by alpha / sqrt(r): rank-stabilised LoRA")
    use_dora: bool = Field(False, description="train the size of each output's weights too: DoRA")
