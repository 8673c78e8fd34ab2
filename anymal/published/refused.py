"""Models that read media in a way that a bundle has no words for, by the cause.

A bundle puts soft tokens where words could stand, in one row that is read from left to right. Does
not know what can be imported (`anymal.published.registry`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

_BOTH_WAYS = "it attends both ways over the positions of a picture"
_GRID = "its positions have three dimensions (M-RoPE)"
_LAYERS = "it reads media in several of its layers, not at the first alone"
_ENCODER = "its language model is an encoder and a decoder"

# Their configurations do not say it.
_CLASSES = {
    "PaliGemmaForConditionalGeneration": _BOTH_WAYS,
    "Gemma3ForConditionalGeneration": _BOTH_WAYS,
    "Gemma4ForConditionalGeneration": _BOTH_WAYS,
    "GitForCausalLM": _BOTH_WAYS,
    "VisionEncoderDecoderModel": _ENCODER,
}
# Keys of a configuration, however deep, that have a value in such models alone.
_KEYS = {
    "mrope_section": _GRID,
    "deepstack_visual_indexes": _LAYERS,
    "deepstack_layer_map": _LAYERS,
    "cross_attention_layers": _LAYERS,
    "use_bidirectional_attention": _BOTH_WAYS,
    "is_encoder_decoder": _ENCODER,
}
# Whose older configurations name the positions by a key that others share.
_TYPES = {"qwen2_vl": _GRID, "qwen2_5_vl": _GRID, "t5": _ENCODER}


def cause_of(config: Mapping[str, Any], class_name: str) -> str | None:
    """Why a model cannot become a bundle, as far as is known.

    Args:
        config: Of the checkpoint, as it is written.
        class_name: Of the model.

    Returns:
        The cause; None where none is known.
    """
    if class_name in _CLASSES:
        return _CLASSES[class_name]
    found = (_KEYS[key] for key, value in _settings(config) if key in _KEYS and value)
    return next(found, _TYPES.get(str(config.get("model_type"))))


def _settings(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, however deep."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item
            yield from _settings(item)
