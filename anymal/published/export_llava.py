"""LLaVA and LLaVA-1.5 of a bundle: a grid of patches and a projection of two layers.

The inverse of `anymal.published.llava`.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

from anymal.errors import BundleError
from anymal.published.base import Published
from anymal.published.holder import Allowed, Holder, Whole, one_of
from encoders.signals import Image

_OF_A_FILE = {"_name_or_path", "architectures", "dtype", "transformers_version"}
NUMBERS = Allowed(
    told="a number, or several",
    holds=lambda layer: layer is not None,
)
PROJECTION = {
    "aligner.num_tokens": one_of(None),
    "aligner.depth": one_of(2),
    "aligner.activation": one_of("gelu", "silu", "relu"),
    "aligner.bias": one_of(True, False),
    "aligner.norm": one_of("none"),
    "aligner.start": one_of("plain", "rms"),
}
TOWER = {"encoder.layer": NUMBERS, "encoder.drop_cls": one_of(True, False)}


def scaled_layers(aligner: Any) -> dict[str, Tensor]:
    """The two layers of a projection, its scale inside the second.

    Args:
        aligner: A `Projection` of depth 2.

    Returns:
        Weights and biases, as `linear_1` and `linear_2`.
    """
    state, scale = aligner.project.state_dict(), aligner.scale
    names = {"0": "linear_1", "2": "linear_2"}
    return {
        f"{names[place]}.{part}": tensor * scale if place == "2" else tensor
        for name, tensor in state.items()
        for place, part in [name.split(".")]
    }


def section(config: Any) -> dict[str, Any]:
    """The configuration of a model as a part of another one's, without what is of the file alone.

    Args:
        config: Of a model of transformers.
    """
    return {key: value for key, value in config.to_dict().items() if key not in _OF_A_FILE}


def tokens_before(encoder: Any) -> int:
    """How many features a tower makes that stand in no row, whether or not they are kept."""
    blank = encoder.preprocessor(Image(pixels=np.zeros((32, 32, 3), np.uint8)))
    patches = replace(encoder.layout, before=0)(blank)
    with torch.no_grad():
        seen = replace(encoder.read, drop_cls=False)(encoder.model, blank)
    return int(seen.values.shape[1]) - patches.count


def feature_selection(whole: Whole, before: int) -> str:
    """What the class calls the choice of features.

    Args:
        whole: A bundle.
        before: From `tokens_before`.

    Raises:
        BundleError: The class has no such choice.
    """
    if not whole.options["encoder.drop_cls"] or before == 0:
        return "full"
    if before > 1:
        raise BundleError(
            f"the tower makes {before} features before its patches, and classes of transformers "
            "leave out one or none; train with modalities.image.encoder.drop_cls: false, or write "
            "the language model alone, with --to merged"
        )
    return "default"


def fill(model: Any, whole: Whole) -> None:
    """Give a model of LLaVA's family the weights of a bundle.

    Args:
        model: On the meta device.
        whole: The bundle.
    """
    inner = model.model
    inner.vision_tower.load_state_dict(whole.encoder.model.state_dict(), assign=True)
    inner.language_model.load_state_dict(whole.llm.base_model.state_dict(), assign=True)
    inner.multi_modal_projector.load_state_dict(scaled_layers(whole.aligner), assign=True)
    model.lm_head.load_state_dict(whole.llm.get_output_embeddings().state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = whole.llm.generation_config


def _llava(whole: Whole) -> Published:
    """The class."""
    before = tokens_before(whole.encoder)
    strategy = feature_selection(whole, before)
    tower = whole.encoder.model.config
    config = LlavaConfig(
        vision_config=section(tower),
        text_config=section(whole.llm.config),
        image_token_index=whole.token_id,
        image_seq_length=(tower.image_size // tower.patch_size) ** 2,
        projector_hidden_act=whole.options["aligner.activation"],
        vision_feature_select_strategy=strategy,
        vision_feature_layer=whole.options["encoder.layer"],
        multimodal_projector_bias=whole.options["aligner.bias"],
    )
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    fill(model, whole)
    processor = LlavaProcessor(
        whole.encoder.preprocessor.processor,
        whole.tokenizer,
        patch_size=tower.patch_size,
        vision_feature_select_strategy=strategy,
        chat_template=whole.tokenizer.chat_template,
        image_token=whole.token,
        num_additional_image_tokens=before,
    )
    return Published(model=model, processor=processor)


LLAVA = Holder(
    class_name="LlavaForConditionalGeneration",
    modality="image",
    encoder="vision",
    options=TOWER | PROJECTION,
    token="<image>",
    build=_llava,
)
