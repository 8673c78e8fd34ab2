"""Kosmos-2 (arXiv 2306.14824), as transformers publishes it: CLIP, one bare attention, a decoder.

Its language model counts positions in its own way (`anymal.llm.auto_class`). Of one picture, as its
processor takes it; does not write boxes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Kosmos2ForConditionalGeneration,
    PreTrainedModel,
)

from anymal.llm.auto_class import Kosmos2Text
from anymal.published.base import (
    ImportedModality,
    Importer,
    PromptFormat,
    Published,
    encoder_recipe,
    linear_weights,
    load_class,
)
from anymal.published.probe import Probe, one_question
from anymal.recipe.schema import AlignerRecipe

_BEGIN, _END = "<image>", "</image> "
# The class puts soft tokens over any ids; this word stands in no prompt.
_PLACEHOLDER = "</doc>"


def kosmos2_llm(published: Published) -> PreTrainedModel:
    """The language model, under the class that tells its positions."""
    own: Any = published.model.text_model
    with torch.device("meta"):
        model: Any = Kosmos2Text(own.config)
    model.model, model.lm_head = own.model, own.lm_head
    model.generation_config = published.model.generation_config
    causal: PreTrainedModel = model.eval()
    return causal


def kosmos2_parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    model, config = published.model, published.model.config
    resampler, attention = model.image_to_text_projection, model.image_to_text_projection.x_attn
    aligner = AlignerRecipe(
        kind="perceiver",
        num_tokens=config.latent_query_num,
        depth=1,
        hidden_dim="llm",
        num_heads=attention.num_heads,
        head_dim=attention.head_dim,
        mult=0,
        norm="none",
        residual=False,
        bias=True,
        project_out=False,
        start="plain",
    )
    weights = linear_weights(
        project_in=resampler.dense,
        layers__0__to_query=attention.q_proj,
        layers__0__to_key=attention.k_proj,
        layers__0__to_value=attention.v_proj,
        layers__0__to_out=attention.out_proj,
    )
    image = ImportedModality(
        encoder=encoder_recipe("vision", layer=-1, post_norm=True, drop_cls=False, unit=True),
        tower=_tower(model.vision_model.model),
        processor=published.processor.image_processor,
        aligner=aligner,
        weights={**weights, "queries": resampler.latent_query.detach().clone()},
        prefix=_BEGIN,
        suffix=_END,
        placeholders=(_placeholder(published),),
    )
    return {"image": image}


def _tower(vision: Any) -> CLIPVisionModel:
    """The tower as CLIP's own class, which has the same weights by the same names."""
    own: Any = vision.config
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    more = ("num_channels", "image_size", "patch_size", "hidden_act", "layer_norm_eps")
    config: Any = CLIPVisionConfig(**{name: getattr(own, name) for name in (*names, *more)})
    tower: Any = CLIPVisionModel(config).to(next(vision.parameters()).dtype)
    prefix = next(iter(tower.state_dict())).partition("embeddings.")[0]
    tower.load_state_dict({prefix + name: each for name, each in vision.state_dict().items()})
    clip: CLIPVisionModel = tower.eval()
    return clip


def kosmos2_prompt(published: Published) -> PromptFormat:
    """As its processor writes: the begin of text, a picture, the question."""
    return PromptFormat(template="base", media_first=True)


def kosmos2_inputs(published: Published, probe: Probe) -> Mapping[str, Tensor]:
    """What the class reads, by its own processor."""
    made = dict(
        published.processor(
            text=list(probe.questions),
            num_image_tokens=published.model.config.latent_query_num,
            first_image_token_id=0,
            return_tensors="pt",
            **probe.arguments(),
        )
    )
    is_soft = made["image_embeds_position_mask"].bool()
    made["input_ids"] = made["input_ids"].masked_fill(is_soft, _placeholder(published))
    return made


def kosmos2_soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """The class's own, of each picture."""
    model = published.model
    seen = model.vision_model(pixel_values=inputs["pixel_values"]).last_hidden_state
    seen = functional.normalize(model.vision_model.model.post_layernorm(seen), dim=-1)
    soft_tokens: Sequence[Tensor] = model.image_to_text_projection(seen)[0]
    return soft_tokens


def _placeholder(published: Published) -> int:
    return int(published.processor.tokenizer.convert_tokens_to_ids(_PLACEHOLDER))


KOSMOS2 = Importer(
    class_name="Kosmos2ForConditionalGeneration",
    load=load_class(Kosmos2ForConditionalGeneration),
    llm=kosmos2_llm,
    parts=kosmos2_parts,
    soft_tokens=kosmos2_soft_tokens,
    prompt=kosmos2_prompt,
    inputs=kosmos2_inputs,
    probe=one_question,
)
