"""Qwen2-Audio (arXiv 2407.10759), as transformers publishes it.

An encoder made from Whisper's that does not hear the silence behind a sound, one linear layer, and
Qwen2. Sounds are cut at the 30 s that the class reads.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, Qwen2AudioForConditionalGeneration

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


def qwen2_audio_llm(published: Published) -> PreTrainedModel:
    """The language model."""
    whole = published.model
    return causal_lm(whole.config.text_config, whole.model.language_model, whole.lm_head, whole)


def qwen2_audio_parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its sounds."""
    model, config = published.model.model, published.model.config
    audio = ImportedModality(
        encoder=encoder_recipe("whisper", silence="masked", max_windows=1),
        tower=model.audio_tower,
        processor=published.processor.feature_extractor,
        aligner=AlignerRecipe(
            kind="projection", num_tokens=None, depth=1, norm="none", start="plain"
        ),
        weights=linear_weights(project=model.multi_modal_projector.linear),
        placeholders=(config.audio_token_id,),
    )
    return {"audio": audio}


def qwen2_audio_soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """The class's own, of each sound; it makes them inside its pass alone."""
    model, made = published.model.model, []

    def keep(module: Any, given: Any, output: Tensor) -> None:
        made.append(output)

    hook = model.multi_modal_projector.register_forward_hook(keep)
    try:
        published.model(**inputs)
    finally:
        hook.remove()
    num_frames = inputs["feature_attention_mask"].sum(dim=-1)
    _, counts = model.audio_tower._get_feat_extract_output_lengths(num_frames)
    return [one[:count] for one, count in zip(made[0], counts.tolist(), strict=True)]


QWEN2_AUDIO = Importer(
    class_name="Qwen2AudioForConditionalGeneration",
    load=load_class(Qwen2AudioForConditionalGeneration),
    llm=qwen2_audio_llm,
    parts=qwen2_audio_parts,
    soft_tokens=qwen2_audio_soft_tokens,
)
