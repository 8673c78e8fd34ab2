"""Which code a bundle may import: only what this machine's operator installed as an entry point.

Does not import anything; `encoders.plugins` says why a recipe may name more.
"""

from aligners.registry import ALIGNER_GROUP
from anymal.errors import BundleError
from anymal.recipe.schema import ModelRecipe
from encoders.plugins import PluginError, check_installed
from encoders.registry import ENCODER_GROUP


def check_imports(recipe: ModelRecipe) -> None:
    """Refuse `module:name` in the recipe of a bundle, unless an installed package registers it.

    Args:
        recipe: Of the bundle, before anything is built.

    Raises:
        BundleError: It names such a module.
    """
    for name, modality in recipe.modalities.items():
        try:
            check_installed(modality.encoder.kind, what="encoder", group=ENCODER_GROUP)
            check_installed(modality.aligner.kind, what="aligner", group=ALIGNER_GROUP)
        except PluginError as error:
            raise BundleError(f"modalities.{name}: {error}") from error
