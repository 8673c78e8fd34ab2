"""Idefics3 (arXiv 2408.12637), as transformers publishes it.

A tower like SigLIP's, squares of patches joined in one, a projection of one layer. Pictures are
read whole: the class writes words between the tiles of a picture, and a bundle has no place for
words inside a medium.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import Idefics3ForConditionalGeneration, PreTrainedModel

from anymal.errors import BundleError
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


def _load(folder: Path) -> Published:
    """The model, whose processor leaves pictures whole."""
    published = load_class(Idefics3ForConditionalGeneration)(folder)
    image_processor = published.processor.image_processor
    image_processor.do_image_splitting = False
    _check_size(image_processor, published.model.config.vision_config.image_size)
    return published


def _check_size(image_processor: Any, side: int) -> None:
    """Refuse pictures that the model does not take, before one is read: files may ask for any."""
    sizes = dict(image_processor.size), dict(image_processor.max_image_size)
    if sizes[1] != {"longest_edge": side} or set(sizes[0]) != {"longest_edge"}:
        raise BundleError(
            f"the image processor makes pictures of {sizes[0]}, then {sizes[1]}, and the model "
            f"takes squares of {side} pixels; import a checkpoint whose files agree"
        )


def _llm(published: Published) -> PreTrainedModel:
    """The language model."""
    whole = published.model
    return causal_lm(whole.config.text_config, whole.model.text_model, whole.lm_head, whole)


def _parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    model, config, processor = published.model.model, published.model.config, published.processor
    aligner = AlignerRecipe(
        kind="projection",
        num_tokens=None,
        depth=1,
        bias=False,
        norm="none",
        merge=config.scale_factor**2,
        start="plain",
    )
    image = ImportedModality(
        encoder=encoder_recipe(
            "vision", layer=None, order="blocks", block_size=config.scale_factor
        ),
        tower=model.vision_model,
        processor=processor.image_processor,
        aligner=aligner,
        weights=linear_weights(project=model.connector.modality_projection.proj),
        prefix=processor.fake_image_token + processor.global_image_tag,
        suffix=processor.fake_image_token,
        placeholders=(config.image_token_id,),
    )
    return {"image": image}


def _soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """The class's own, of all pictures of a conversation."""
    found = published.model.get_image_features(
        pixel_values=inputs["pixel_values"], pixel_attention_mask=inputs["pixel_attention_mask"]
    )
    soft_tokens: Sequence[Tensor] = found.pooler_output
    return soft_tokens


IDEFICS3 = Importer(
    class_name="Idefics3ForConditionalGeneration",
    load=_load,
    llm=_llm,
    parts=_parts,
    soft_tokens=_soft_tokens,
    notes=(
        "pictures are read whole, as with do_image_splitting: false; tiles with words between them "
        "cannot stand in one medium",
    ),
)
