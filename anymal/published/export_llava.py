"""LLaVA and LLaVA-1.5 of a bundle: a grid of patches and a projection of two layers.

The inverse of `anymal.published.llava`.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

from anymal.errors import BundleError
from anymal.published.base import Published
from anymal.published.holder import NEXT_STEP, Allowed, Holder, Whole, one_of
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which features of a tower are read, as configurations say it.

    Attributes:
        strategy: `full`, or `default` without the class token.
        before: Features that stand in no row, whether or not they are read.
        patch: Pixels of a patch, both ways.
        patches: How many of them one view has.
    """

    strategy: Literal["default", "full"]
    before: int
    patch: int
    patches: int


@torch.no_grad()
def selection(whole: Whole, read: Any) -> Selection:
    """What a class reads of a tower.

    Args:
        whole: A bundle.
        read: The encoder's `ReadTokens`.

    Returns:
        The selection.

    Raises:
        BundleError: The class has no such selection, or cannot ask the tower.
    """
    tower = whole.encoder.model
    patch = getattr(tower.config, "patch_size", None)
    blank = whole.encoder.preprocessor(Image(pixels=np.zeros((32, 32, 3), np.uint8)))
    if not isinstance(patch, int) or "spatial_shapes" in blank:
        raise BundleError(
            f"the tower is a {type(tower).__name__}, whose pictures have no grid of square "
            f"patches that is always the same, as the class needs; {NEXT_STEP}"
        )
    pixels = blank["pixel_values"][:1]
    patches = (pixels.shape[2] // patch) * (pixels.shape[3] // patch)
    seen = replace(read, drop_cls=False)(tower, {"pixel_values": pixels}).values
    before = int(seen.shape[1]) - patches
    if before > 1 and read.drop_cls:
        raise BundleError(
            f"the tower makes {before} features before its patches, and the class leaves out one "
            f"or none; train with modalities.image.encoder.drop_cls: false, or {NEXT_STEP}"
        )
    strategy: Literal["default", "full"] = "default" if before and read.drop_cls else "full"
    return Selection(strategy=strategy, before=before, patch=patch, patches=patches)


def fill(model: Any, whole: Whole, *, tower: nn.Module) -> None:
    """Give a model the weights of a bundle.

    Args:
        model: On the meta device; its layers are named as those of LLaVA.
        whole: The bundle.
        tower: Of the model.
    """
    inner = model.model
    tower.load_state_dict(whole.encoder.model.state_dict(), assign=True)
    inner.language_model.load_state_dict(whole.llm.base_model.state_dict(), assign=True)
    inner.multi_modal_projector.load_state_dict(scaled_layers(whole.aligner), assign=True)
    model.lm_head.load_state_dict(whole.llm.get_output_embeddings().state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = whole.llm.generation_config


def processor_of(made_of: Any, whole: Whole, read: Selection) -> Any:
    """A processor of LLaVA's family.

    Args:
        made_of: Its class.
        whole: The bundle.
        read: What is read of its tower.
    """
    return made_of(
        whole.encoder.preprocessor.processor,
        whole.tokenizer,
        patch_size=read.patch,
        vision_feature_select_strategy=read.strategy,
        chat_template=whole.tokenizer.chat_template,
        image_token=whole.token,
        num_additional_image_tokens=read.before,
    )


def _llava(whole: Whole) -> Published:
    """The class."""
    read = selection(whole, whole.encoder.read)
    config = LlavaConfig(
        vision_config=section(whole.encoder.model.config),
        text_config=section(whole.llm.config),
        image_token_index=whole.token_id,
        image_seq_length=read.patches + (read.before if read.strategy == "full" else 0),
        projector_hidden_act=whole.options["aligner.activation"],
        vision_feature_select_strategy=read.strategy,
        vision_feature_layer=whole.options["encoder.layer"],
        multimodal_projector_bias=whole.options["aligner.bias"],
    )
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    fill(model, whole, tower=model.model.vision_tower)
    return Published(model=model, processor=processor_of(LlavaProcessor, whole, read))


LLAVA = Holder(
    class_name="LlavaForConditionalGeneration",
    modality="image",
    encoder="vision",
    options=TOWER | PROJECTION,
    token="<image>",
    build=_llava,
)
