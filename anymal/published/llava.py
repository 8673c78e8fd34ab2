"""LLaVA and LLaVA-1.5 (arXiv 2304.08485, 2310.03744), as transformers publishes them.

A CLIP or SigLIP tower, a projection of two layers, and any language model. Does not read the layout
of the original code; `anymal.published.llava_original` does.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import LlavaForConditionalGeneration, PreTrainedModel

from anymal.published.base import (
    ImportedModality,
    Importer,
    Published,
    causal_lm,
    encoder_recipe,
    linear_weights,
    load_class,
)
from anymal.recipe.schema import AlignerRecipe


def load_llava(model_class: Any) -> Callable[[Path], Published]:
    """`load_class`, for processors that count the soft tokens of a picture.

    Those of older checkpoints do not say how; it follows from the model.

    Args:
        model_class: Of transformers, with a `vision_tower`.
    """

    def load(folder: Path) -> Published:
        published = load_class(model_class)(folder)
        processor, model = published.processor, published.model
        if processor.patch_size is None:
            names = [name for name, _ in model.model.vision_tower.named_parameters()]
            processor.patch_size = model.config.vision_config.patch_size
            processor.vision_feature_select_strategy = getattr(
                model.config, "vision_feature_select_strategy", "default"
            )
            processor.num_additional_image_tokens = sum("class_embedding" in name for name in names)
        return published

    return load


def llava_llm(published: Published) -> PreTrainedModel:
    """The language model."""
    whole = published.model
    return causal_lm(whole.config.text_config, whole.model.language_model, whole.lm_head, whole)


def llava_parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    model, config = published.model.model, published.model.config
    projector = model.multi_modal_projector
    aligner = AlignerRecipe(
        kind="projection",
        num_tokens=None,
        depth=2,
        activation=config.projector_hidden_act,
        bias=config.multimodal_projector_bias,
        norm="none",
        start="plain",
    )
    image = ImportedModality(
        encoder=encoder_recipe(
            "vision",
            layer=config.vision_feature_layer,
            drop_cls=config.vision_feature_select_strategy == "default",
        ),
        tower=model.vision_tower,
        processor=published.processor.image_processor,
        aligner=aligner,
        weights=linear_weights(project__0=projector.linear_1, project__2=projector.linear_2),
        placeholders=(config.image_token_id,),
    )
    return {"image": image}


def llava_soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """The class's own, of each picture."""
    found = published.model.get_image_features(pixel_values=inputs["pixel_values"])
    soft_tokens: Sequence[Tensor] = found.pooler_output
    return soft_tokens


LLAVA = Importer(
    class_name="LlavaForConditionalGeneration",
    load=load_llava(LlavaForConditionalGeneration),
    llm=llava_llm,
    parts=llava_parts,
    soft_tokens=llava_soft_tokens,
)
