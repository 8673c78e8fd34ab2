"""ViP-LLaVA (arXiv 2312.00784), as transformers publishes it: several layers of CLIP, joined.

The rest is LLaVA's.
"""

from collections.abc import Mapping

from transformers import VipLlavaForConditionalGeneration

from anymal.errors import BundleError
from anymal.published.base import (
    ImportedModality,
    Importer,
    Published,
    encoder_recipe,
    linear_weights,
)
from anymal.published.llava import llava_llm, llava_soft_tokens, load_llava
from anymal.recipe.schema import AlignerRecipe

_EPS = 1e-5  # of the norms of a projection


def _parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    model, config = published.model.model, published.model.config
    projector = model.multi_modal_projector
    if config.projector_layernorm_eps != _EPS:
        raise BundleError(
            f"projector_layernorm_eps is {config.projector_layernorm_eps}; a projection has {_EPS}"
        )
    aligner = AlignerRecipe(
        kind="projection",
        num_tokens=None,
        depth=2,
        activation=config.projector_hidden_act,
        norm="layer",
        start="plain",
    )
    image = ImportedModality(
        encoder=encoder_recipe("vision", layer=config.vision_feature_layer, drop_cls=True),
        tower=model.vision_tower,
        processor=published.processor.image_processor,
        aligner=aligner,
        weights=linear_weights(
            norm=projector.projector_layernorm,
            project__0=projector.linear_1,
            project__2=projector.linear_2,
        ),
        placeholders=(config.image_token_id,),
    )
    return {"image": image}


VIPLLAVA = Importer(
    class_name="VipLlavaForConditionalGeneration",
    load=load_llava(VipLlavaForConditionalGeneration),
    llm=llava_llm,
    parts=_parts,
    soft_tokens=llava_soft_tokens,
)
