"""LLaVA in the layout of its own code (haotian-liu/LLaVA), which most work on it publishes in.

One folder holds the language model and `model.mm_projector.*`; the tower is another checkpoint,
named by `mm_vision_tower`. It is compared with `LlavaForConditionalGeneration` of the same weights.
The layout does not say how conversations are written; it is taken to be Vicuna's, as in LLaVA-1.5.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaImageProcessorPil,
    LlavaProcessor,
)

from anymal.bundle.contents import read_json
from anymal.errors import BundleError
from anymal.published.base import (
    ImportedModality,
    Importer,
    Published,
    encoder_recipe,
    load_whole,
)
from anymal.published.llava import llava_llm, llava_soft_tokens
from anymal.published.others import local_other
from anymal.published.tensors import read_tensors
from anymal.published.weight_files import weight_files
from anymal.recipe.schema import AlignerRecipe
from encoders.images import load_image_processor

_PROJECTOR = "model.mm_projector."
_TRAINED_TOWER = "model.vision_tower.vision_tower."  # its weights, where it was trained, too
_POSITIONS = "embeddings.position_ids"  # no weight; older ones were saved with it
_PROJECTORS = ("linear", "mlp2x_gelu")
# What each setting may be; a checkpoint without it has the first.
_ALLOWED: Mapping[str, Sequence[Any]] = {
    "mm_projector_type": _PROJECTORS,
    "image_aspect_ratio": (None, "square", "pad"),
    "mm_patch_merge_type": ("flat",),
    "mm_vision_select_feature": ("patch", "cls_patch"),
}
_STEPS = (
    *("size", "resample", "do_center_crop", "crop_size"),
    *("rescale_factor", "image_mean", "image_std"),
)
_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ 'A chat between a curious user and an artificial intelligence assistant. The assistant "
    "gives helpful, detailed, and polite answers to the user\\'s questions. ' }}{% endif %}"
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ message['role'] | upper + ': ' }}{% endif %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ 'MARKER\\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ part['text'] }}{% endfor %}"
    "{{ eos_token if message['role'] == 'assistant' else ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def _config(folder: Path) -> Mapping[str, Any]:
    """What `config.json` says, if all of it can be read.

    Raises:
        BundleError: A setting has another value.
    """
    config: Mapping[str, Any] = read_json(folder / "config.json")
    for key, allowed in _ALLOWED.items():
        if config.get(key, allowed[0]) not in allowed:
            known = ", ".join(str(value) for value in allowed if value is not None)
            raise BundleError(
                f"{key} of {str(folder)!r} is {config[key]!r}; this layout is read with {known}; "
                "import a checkpoint that was converted for transformers instead"
            )
    if not isinstance(config.get("mm_vision_tower"), str):
        raise BundleError(f"{str(folder)!r} names no mm_vision_tower; copy the checkpoint again")
    return config


def _text_config(config: Mapping[str, Any]) -> LlamaConfig:
    """The language model's part of the configuration."""
    known = LlamaConfig().to_dict().keys() | {"rope_theta", "rope_scaling"}
    return LlamaConfig.from_dict({key: config[key] for key in known & config.keys()})


def _others(config: Mapping[str, Any]) -> Sequence[str]:
    """The tower."""
    name = config.get("mm_vision_tower")
    return (name,) if isinstance(name, str) else ()


def _load(folder: Path) -> Published:
    """The class of transformers around the parts, none of which is in memory twice."""
    config = _config(folder)
    files = weight_files(folder, pickles=True)
    llm = load_whole(
        LlamaForCausalLM,
        folder,
        config=_text_config(config),
        use_safetensors=files[0].suffix == ".safetensors",
    )
    place = local_other(config["mm_vision_tower"], folder)
    tower = _tower(place, files)
    projector = _projector(files)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    marker = _marker(tokenizer, folder)
    has_class = hasattr(tower.embeddings, "class_embedding")
    is_cut = has_class and config.get("mm_vision_select_feature", "patch") == "patch"
    whole = LlavaConfig(
        vision_config=tower.config.to_dict(),
        text_config=llm.config.to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids(marker),
        vision_feature_layer=config.get("mm_vision_select_layer", -2),
        vision_feature_select_strategy="default" if is_cut else "full",
    )
    with torch.device("meta"):
        model: Any = LlavaForConditionalGeneration(whole)
    model.model.language_model, model.lm_head = llm.model, llm.lm_head
    model.model.vision_tower, model.model.multi_modal_projector = tower, projector
    model.generation_config = llm.generation_config
    processor_class: Any = LlavaProcessor
    processor = processor_class(
        _image_processor(place, pads=config.get("image_aspect_ratio") == "pad"),
        tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy=whole.vision_feature_select_strategy,
        image_token=marker,
        num_additional_image_tokens=int(has_class),
        chat_template=_template(marker, config),
    )
    return Published(model=model.eval(), processor=processor)


def _tower(place: Path, files: Sequence[Path]) -> Any:
    """The tower, with the weights that lie beside the language model's if there are any."""
    config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    has_text = hasattr(config, "vision_config")
    loaded = load_whole(AutoModel, place, use_safetensors=None)
    tower = loaded.vision_model if has_text else loaded
    if trained := read_tensors(files, _TRAINED_TOWER):
        trained = {name.removeprefix("vision_model."): tensor for name, tensor in trained.items()}
        trained.pop(_POSITIONS, None)
        if differing := sorted(trained.keys() ^ tower.state_dict().keys()):
            raise BundleError(
                f"the tower in {str(files[0].parent)!r} and the one that it names, {str(place)!r}, "
                f"differ in {len(differing)} weights, the first is {differing[0]!r}; name the "
                "tower that it was trained from in mm_vision_tower"
            )
        tower.load_state_dict(trained, assign=True)
    return tower


def _projector(files: Sequence[Path]) -> nn.Module:
    """The projector, as it is stored: one linear layer, or two with GELU between."""
    weights = read_tensors(files, _PROJECTOR)
    if not weights:
        raise BundleError(f"{files[0].parent} holds no {_PROJECTOR}*; give the merged checkpoint")
    with torch.device("meta"):
        layers = [_linear(weights, name) for name in ("0.", "2.") if f"{name}weight" in weights]
        projector = nn.Sequential(layers[0], nn.GELU(), layers[1]) if layers else None
        module = projector or _linear(weights, "")
    module.load_state_dict(weights, assign=True)
    return module


def _linear(weights: Mapping[str, Tensor], name: str) -> nn.Linear:
    """A layer of the size of its weights."""
    width_out, width_in = weights[f"{name}weight"].shape
    return nn.Linear(width_in, width_out, bias=f"{name}bias" in weights)


def _marker(tokenizer: Any, folder: Path) -> str:
    """A special token that no conversation holds, to stand for pictures in the class's prompts."""
    ends = {tokenizer.bos_token, tokenizer.eos_token, None}
    for token in (tokenizer.unk_token, tokenizer.pad_token):
        if token not in ends:
            return cast(str, token)
    raise BundleError(f"the tokeniser of {str(folder)!r} has no unk_token or pad_token; set one")


def _template(marker: str, config: Mapping[str, Any]) -> str:
    """Vicuna's conversations, pictures between special tokens if the checkpoint has them."""
    if config.get("mm_use_im_start_end"):
        marker = f"<im_start>{marker}<im_end>"
    return _TEMPLATE.replace("MARKER", marker)


def _image_processor(place: Path, *, pads: bool) -> Any:
    """The tower's own, after pictures were padded to squares in its mean colour."""
    own = load_image_processor(str(place))
    if not pads:
        return own
    steps = {name: getattr(own, name) for name in _STEPS if getattr(own, name, None) is not None}
    return LlavaImageProcessorPil(do_pad=True, **steps)


def _parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    model, config = published.model.model, published.model.config
    projector = model.multi_modal_projector
    weights = projector.state_dict()
    depth = 1 if isinstance(projector, nn.Linear) else 2
    image = ImportedModality(
        encoder=encoder_recipe(
            "vision",
            layer=config.vision_feature_layer,
            drop_cls=config.vision_feature_select_strategy == "default",
        ),
        tower=model.vision_tower,
        processor=published.processor.image_processor,
        aligner=AlignerRecipe(
            kind="projection",
            num_tokens=None,
            depth=depth,
            bias=any(name.endswith("bias") for name in weights),
            norm="none",
            start="plain",
        ),
        weights={f"project.{name}": tensor for name, tensor in weights.items()},
        placeholders=(config.image_token_id,),
    )
    return {"image": image}


def _outline(config: Mapping[str, Any]) -> nn.Module:
    """The language model, which is nearly all of it."""
    return LlamaForCausalLM(_text_config(config))


LLAVA_ORIGINAL = Importer(
    class_name="LlavaLlamaForCausalLM",
    load=_load,
    llm=llava_llm,
    parts=_parts,
    soft_tokens=llava_soft_tokens,
    outline=_outline,
    others=_others,
    reads_pickles=True,
    notes=(
        "the layout does not say how conversations are written; they are written as Vicuna's, as "
        "in LLaVA-1.5",
    ),
)
