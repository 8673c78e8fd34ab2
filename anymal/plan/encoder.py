"""The size of an encoder and what it needs for each media item, before its weights are loaded.

Does not build encoders (`encoders.outline` does, without memory).
"""

from dataclasses import dataclass
from pathlib import Path

from anymal.errors import RecipeError
from anymal.plan.footprint import Peak
from anymal.recipe.known_configs import config_of
from anymal.recipe.schema import EncoderRecipe
from encoders.base import EncoderError
from encoders.frozen import WINDOWS_AT_ONCE
from encoders.outline import outline

# Kinds whose sizes are built into this project, unless there is a folder with others.
OWN_SIZES = ("imagebind_", "imu_transformer", "imu2clip")
_FLOAT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Sizes of an encoder.

    Attributes:
        num_parameters: How many weights it has.
        width: D_enc.
        num_features: F, of the longest media item.
        num_windows: W, of the longest media item.
        working: Numbers that it holds while it encodes one window; an upper bound, because all
            hidden states are kept and attention may not run as one fused kernel.
    """

    num_parameters: int
    width: int
    num_features: int
    num_windows: int
    working: int

    def encoding(self, num_items: int) -> int:
        """Numbers held while it encodes media items: of the windows at work and all features."""
        at_once = min(num_items * self.num_windows, WINDOWS_AT_ONCE)
        return at_once * self.working + num_items * self.num_features * self.width


def measure_encoder(name: str, recipe: EncoderRecipe) -> Encoder:
    """Compute an encoder's sizes from its configuration.

    Args:
        name: Of the modality.
        recipe: The encoder.

    Returns:
        Its sizes.

    Raises:
        RecipeError: They cannot be computed; the message names the key.
    """
    has_own = recipe.kind.startswith(OWN_SIZES) or Path(recipe.path).is_dir()
    config = None if has_own else config_of(recipe.path)
    peak = Peak()
    try:
        with peak:
            found = outline(recipe.kind, config, recipe.path, **recipe.options)
    except EncoderError as error:
        raise RecipeError(f"modalities.{name}.encoder: {error}") from error
    # The outline is drawn in float32.
    return Encoder(
        num_parameters=found.num_parameters,
        width=found.width,
        num_features=found.num_features,
        num_windows=found.num_windows,
        working=max(0, peak.bytes // _FLOAT - found.num_parameters),
    )
