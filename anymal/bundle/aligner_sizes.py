"""Checks that aligners and side of a manifest are about as large as the weights beside it.

Does not compare them exactly; loading does. Sizes that multiply to more than memory are refused
before anything of them is allocated.
"""

from pathlib import Path

import torch

from aligners.registry import ALIGNERS, build_aligner
from anymal.bundle.manifest import ALIGNERS as WEIGHTS
from anymal.bundle.manifest import Manifest
from anymal.errors import BundleError

_MOST_LAYERS = 256
# After a small change of the recipe, the later error is clearer: it names the field that differs.
_SLACK_BYTES = 64 * 2**20


def check_aligner_sizes(manifest: Manifest, folder: Path) -> None:
    """Refuse aligners that would take much more memory than their weights.

    Those of other packages are not measured: they need not be built without memory.

    Args:
        manifest: Of the bundle.
        folder: Of the bundle.

    Raises:
        BundleError: One is too large.
        AlignerError: One cannot be built.
    """
    file = folder / WEIGHTS
    most = _SLACK_BYTES + (file.stat().st_size if file.is_file() else 0)
    for name, facts in manifest.modalities.items():
        if name not in manifest.recipe.modalities:  # check_equal names the difference
            continue
        recipe = manifest.recipe.modalities[name].aligner
        if recipe.kind not in ALIGNERS:
            continue
        depth = recipe.options.get("depth", 1)
        if isinstance(depth, int) and depth > _MOST_LAYERS:
            raise BundleError(
                f"modalities.{name}.aligner.depth is {depth}; at most {_MOST_LAYERS} are loaded"
            )
        with torch.device("meta"):
            aligner = build_aligner(
                recipe.kind,
                encoder_dim=facts.width,
                llm_dim=manifest.recipe.media_width(manifest.llm.hidden_size),
                embedding_rms=1.0,
                num_tokens=recipe.num_tokens,
                **recipe.options,
            )
        needed = sum(tensor.nbytes for tensor in aligner.state_dict().values())
        if needed > most:
            raise BundleError(
                f"modalities.{name}.aligner of the bundle {str(folder)!r} takes {needed} bytes, "
                f"many more than its weights in {WEIGHTS}; copy the bundle again"
            )
