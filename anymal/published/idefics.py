"""Idefics (arXiv 2306.16527), a reproduction of Flamingo, as transformers publishes it.

A Llama, a tower that is CLIP's, a resampler, and blocks of gated cross-attention before every n-th
layer: pictures stand beside the row. Words that read several pictures, and checkpoints without a
resampler, are not known of this class.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    IdeficsForVisionText2Text,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from anymal.errors import BundleError
from anymal.published.base import (
    ImportedModality,
    ImportedSide,
    Importer,
    PromptFormat,
    Published,
    encoder_recipe,
    load_class,
)
from anymal.published.probe import Probe
from anymal.recipe.schema import AlignerRecipe
from anymal.recipe.side import CrossRecipe

_PICTURE, _AROUND, _END = "<image>", "<fake_token_around_image>", "<end_of_utterance>"
# As the model cards of the instructed checkpoints write a conversation.
_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize ~ ':' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}"
    "{% elif part['type'] == 'text' %}{{ (' ' if loop.first else '') ~ part['text'] }}"
    "{% endif %}{% endfor %}{{ '<end_of_utterance>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Of a block, by our names.
_BLOCK = {
    "to_query": "cross_attn.q_proj",
    "to_key": "cross_attn.k_proj",
    "to_value": "cross_attn.v_proj",
    "to_out": "cross_attn.o_proj",
    "norm_query": "cross_attn.q_layer_norm",
    "norm_key": "cross_attn.k_layer_norm",
    "norm": "input_layernorm",
    "norm_fed": "post_attention_layernorm",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.down": "mlp.down_proj",
}
# Of a layer of the resampler: attention (0) and feed-forward (1).
_RESAMPLER = {
    "to_query": "0.q_proj",
    "to_key": "0.k_proj",
    "to_value": "0.v_proj",
    "to_out": "0.output_proj",
    "norm_context": "0.context_layer_norm",
    "norm_queries": "0.latents_layer_norm",
    "norm_query_heads": "0.q_layer_norm",
    "norm_key_heads": "0.k_layer_norm",
    "feed_forward.0": "1.ln",
    "feed_forward.1": "1.fc",
    "feed_forward.3": "1.c_proj",
}


def _load(folder: Path) -> Published:
    """The model, its added words in one table with the others."""
    published = load_class(IdeficsForVisionText2Text)(folder)
    model, config = published.model, published.model.config
    if not config.use_resampler:
        raise BundleError(
            f"{str(folder)!r} has no resampler (use_resampler: false), which no published Idefics "
            "lacks; import a checkpoint with one"
        )
    if config.hidden_act != "silu":
        raise BundleError(
            f"the blocks of {str(folder)!r} feed forward by {config.hidden_act!r}; those of a "
            "bundle take silu; import a checkpoint that does"
        )
    if _END not in published.processor.tokenizer.get_vocab():
        raise BundleError(
            f"the tokeniser of {str(folder)!r} has no {_END!r}, so that answers have no end; "
            "import an instructed checkpoint, such as HuggingFaceM4/idefics-9b-instruct"
        )
    words, head = model.model.embed_tokens, model.lm_head
    if config.additional_vocab_size:
        model.model.embed_tokens = nn.Embedding(1, 1, device="meta")
        model.model.embed_tokens.weight = _joined(words.weight, words.additional_embedding.weight)
        model.lm_head = nn.Linear(1, 1, bias=False, device="meta")
        model.lm_head.weight = _joined(head.weight, head.additional_fc.weight)
    return published


def _joined(weight: Tensor, added: Tensor) -> nn.Parameter:
    """Rows of words, then those of added ones."""
    return nn.Parameter(torch.cat([weight.detach(), added.detach()]), requires_grad=False)


def _llm(published: Published) -> PreTrainedModel:
    """A Llama around the layers, which copies no weight."""
    whole, config = published.model.model, published.model.config
    text = LlamaConfig(
        vocab_size=whole.embed_tokens.weight.shape[0],
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        hidden_act=config.hidden_act,
        max_position_embeddings=config.max_position_embeddings,
        rms_norm_eps=config.rms_norm_eps,
        rope_parameters=config.rope_parameters,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        tie_word_embeddings=False,
        dtype=whole.embed_tokens.weight.dtype,
    )
    with torch.device("meta"):
        model: Any = LlamaForCausalLM(text)
    rotary = type(model.model.rotary_emb)(text)  # its frequencies are no weights
    model.model.rotary_emb = rotary
    model.model.embed_tokens, model.model.norm = whole.embed_tokens, whole.norm
    for own, theirs in zip(model.model.layers, whole.layers, strict=True):
        own.mlp = theirs.mlp
        own.input_layernorm = theirs.input_layernorm
        own.post_attention_layernorm = theirs.post_attention_layernorm
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(own.self_attn, name, getattr(theirs.self_attn, name))
    model.lm_head = published.model.lm_head
    model.generation_config = published.model.generation_config
    llm: PreTrainedModel = model.eval()
    return llm


def _parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its pictures."""
    model, config = published.model.model, published.model.config
    resampler, sizes = model.perceiver_resampler, config.perceiver_config
    weights = {
        "queries": resampler.latents.detach(),
        **_renamed(resampler.layer_norm, {"norm": ""}),
    }
    for number, block in enumerate(resampler.blocks):
        own = _renamed(block, _RESAMPLER)
        weights |= {f"layers.{number}.{name}": tensor for name, tensor in own.items()}
    image = ImportedModality(
        encoder=encoder_recipe("vision", layer=None, drop_cls=False),
        tower=_tower(model.vision_model),
        processor=_image_processor(published.processor.image_processor),
        aligner=AlignerRecipe(
            kind="perceiver",
            num_tokens=sizes.resampler_n_latents,
            depth=sizes.resampler_depth,
            num_heads=sizes.resampler_n_heads,
            head_dim=sizes.resampler_head_dim,
            activation="relu",
            normalise_heads=sizes.qk_layer_norms_perceiver,
            project_out=False,
            start="plain",
        ),
        weights=weights,
        # A word reads the last picture whose <image> stands before it, or is it.
        prefix=_AROUND,
        suffix=_PICTURE + _AROUND,
        placeholders=(),
    )
    return {"image": image}


def _side(published: Published) -> ImportedSide:
    """Its blocks."""
    model, config = published.model.model, published.model.config
    weights: dict[str, Tensor] = {}
    for number, block in enumerate(model.gated_cross_attn_layers):
        own = _renamed(block, _BLOCK) | {
            "gate": block.alpha_cross_attn.detach().flatten(),
            "gate_fed": block.alpha_dense.detach().flatten(),
        }
        layer = number * config.cross_layer_interval
        weights |= {f"blocks.{layer}.{name}": tensor for name, tensor in own.items()}
    recipe = CrossRecipe(
        kind="cross",
        every=config.cross_layer_interval,
        first=0,
        media_dim=config.vision_config.embed_dim,
        num_heads=config.num_attention_heads,
        head_dim=config.hidden_size // config.num_attention_heads,
        feed_forward="swiglu",
        ffn_dim=config.intermediate_size,
        gate="vector" if config.alpha_type == "vector" else "scalar",
        norm="rms",
        eps=config.rms_norm_eps,
        normalise_heads=config.qk_layer_norms,
    )
    return ImportedSide(recipe=recipe, weights=weights)


def _tower(vision: Any) -> CLIPVisionModel:
    """The tower as CLIP's own class, which has the same weights by the same names."""
    config: Any = vision.config
    sizes = CLIPVisionConfig(
        hidden_size=config.embed_dim,
        image_size=config.image_size,
        patch_size=config.patch_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_channels=config.num_channels,
        hidden_act=config.hidden_act,
        layer_norm_eps=config.layer_norm_eps,
    )
    tower: Any = CLIPVisionModel(sizes).to(next(vision.parameters()).dtype)
    names = tower.state_dict()
    prefix = next(iter(names)).partition("embeddings.")[0]
    tower.load_state_dict({prefix + name: each for name, each in vision.state_dict().items()})
    clip: CLIPVisionModel = tower.eval()
    return clip


def _image_processor(own: Any) -> CLIPImageProcessorPil:
    """The same steps by CLIP's processor, which tells what its tensors are called."""
    return CLIPImageProcessorPil(
        size=dict(own.size),
        resample=own.resample,
        do_center_crop=False,
        image_mean=own.image_mean,
        image_std=own.image_std,
        rescale_factor=own.rescale_factor,
    )


def _renamed(module: nn.Module, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Weights by our names of their layers; a layer that the model lacks is left out."""
    state = module.state_dict()
    found = {}
    for ours, theirs in names.items():
        for part in ("weight", "bias"):
            key = f"{theirs}.{part}" if theirs else part
            if key in state:
                found[f"{ours}.{part}"] = state[key]
    return found


def _soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """The class's own, of each picture."""
    model, [pictures] = published.model.model, inputs["pixel_values"]
    seen = model.vision_model(pixel_values=pictures).last_hidden_state
    soft_tokens: Sequence[Tensor] = model.perceiver_resampler(seen)
    return soft_tokens


def _prompt(published: Published) -> PromptFormat:
    """As the model cards write it; the class has no chat template."""
    return PromptFormat(chat_template=_TEMPLATE)


def _inputs(published: Published, probe: Probe) -> Mapping[str, Tensor]:
    """What the class reads, by its own processor: texts and pictures one after the other."""
    pictures = iter(probe.arguments()["images"])
    text, pieces = "", list[Any]()
    for message in probe.messages():
        text += message["role"].capitalize() + ":"
        for number, part in enumerate(message["content"]):
            if part["type"] == "image":
                pieces += text, next(pictures)
                text = ""
            else:
                text += (" " if number == 0 else "") + part["text"]
        text += _END + "\n"
    pieces.append(text + "Assistant:")
    return dict(published.processor(text=pieces, add_end_of_utterance_token=False))


IDEFICS = Importer(
    class_name="IdeficsForVisionText2Text",
    load=_load,
    llm=_llm,
    parts=_parts,
    side=_side,
    soft_tokens=_soft_tokens,
    prompt=_prompt,
    inputs=_inputs,
    notes=(
        "between pictures that follow each other stands <fake_token_around_image> twice; the class "
        "writes it once",
    ),
)
