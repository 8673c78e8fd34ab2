"""Fuyu, as transformers publishes it: no tower, patches of pixels straight into the language model.

A word of the language model ends each row of patches; here it becomes part of the aligner. Of one
picture and one question, as its processor takes them; does not write boxes or points.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import (
    FuyuForCausalLM,
    FuyuImageProcessorPil,
    FuyuProcessor,
)

from anymal.published.base import (
    ImportedModality,
    Importer,
    PromptFormat,
    Published,
    encoder_recipe,
    linear_weights,
    load_class,
)
from anymal.published.llava import llava_llm
from anymal.published.probe import Probe, one_question
from anymal.recipe.schema import AlignerRecipe
from encoders.pixels import pixels_config

# The processor's own: a picture, the begin of text, the question, the begin of the answer.
_AFTER_PICTURES = "<s>"
_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}{{ message.content ~ eos_token }}"
    "{% else %}{{ message.content ~ '<0x04>' }}{% endif %}"
    "{% endfor %}"
)


class _TakesTensors(FuyuImageProcessorPil):
    """Cuts the tensors that Fuyu's processor hands to it; transformers' own needs arrays."""

    def patchify_image(self, image: Any, patch_size: Any = None) -> Any:
        """Patches of one picture, `[1, N, D_enc]`."""
        patches = super().patchify_image(np.asarray(image), patch_size)
        return torch.from_numpy(patches)[None]


def fuyu_inputs(published: Published, probe: Probe) -> dict[str, Tensor]:
    """What the class reads, by its own processor."""
    own, build = published.processor, cast(Any, FuyuProcessor)  # which is not typed
    processor = build(_TakesTensors(**own.image_processor.to_dict()), own.tokenizer)
    made = processor(
        text=list(probe.questions), return_legacy_image_output=False, **probe.arguments()
    )
    return {name: made[name] for name in ("input_ids", "attention_mask", "pixel_values")}


def fuyu_parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    model, processor = published.model.model, published.processor
    cut = pixels_config(processor.image_processor)  # files may ask for any size
    table = model.get_input_embeddings().weight
    image = ImportedModality(
        encoder=encoder_recipe("pixels", patch=cut.patch),
        tower=None,
        processor=processor.image_processor,
        aligner=AlignerRecipe(
            kind="projection",
            num_tokens=None,
            depth=1,
            norm="none",
            newline=True,
            start="plain",
        ),
        weights={
            **linear_weights(project=model.vision_embed_tokens),
            "newline": table[processor.image_newline_id].detach().clone(),
        },
        suffix=_AFTER_PICTURES,
        placeholders=_placeholders(processor),
    )
    return {"image": image}


def fuyu_soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """The class's own: projected patches, and the word that ends a row in its places."""
    model, [ids] = published.model.model, inputs["input_ids"]
    ids = ids[torch.isin(ids, torch.tensor(_placeholders(published.processor)))]
    values = model.get_input_embeddings()(ids)
    patches = model.get_image_features(pixel_values=inputs["pixel_values"]).last_hidden_state
    values[ids == published.processor.image_token_id] = patches
    return [values]


def fuyu_prompt(published: Published) -> PromptFormat:
    """What its processor writes around a question; it has no chat template."""
    return PromptFormat(chat_template=_TEMPLATE, media_first=True)


def _placeholders(processor: Any) -> tuple[int, ...]:
    """Ids that stand where soft tokens go."""
    return (processor.image_token_id, processor.image_newline_id)


FUYU = Importer(
    class_name="FuyuForCausalLM",
    load=load_class(FuyuForCausalLM),
    llm=llava_llm,
    parts=fuyu_parts,
    soft_tokens=fuyu_soft_tokens,
    prompt=fuyu_prompt,
    inputs=fuyu_inputs,
    probe=one_question,
)
