"""The configuration of a model, with small sizes in place of large ones.

Knows transformers' names of sizes; builds no model. What decides the number of positions or
features (patches, frames, windows, image sides) stays as it is.
"""

from typing import Any

_WIDTH, _HEADS = 64, 4
# Key of transformers' configurations -> small size.
_SIZES: dict[str, int] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "word_embed_proj_dim"), _WIDTH),
    **dict.fromkeys(("embedding_size", "projection_dim", "mit_hidden_size"), _WIDTH),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "mit_intermediate_size"), 2 * _WIDTH),
    **dict.fromkeys(("moe_intermediate_size", "n_inner"), 2 * _WIDTH),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 2 * _WIDTH),
    **dict.fromkeys(("num_attention_heads", "n_head", "mit_num_attention_heads"), _HEADS),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), _HEADS),
    **dict.fromkeys(("prompt_num_attention_heads", "pred_num_attention_heads"), _HEADS),
    **dict.fromkeys(("decoder_layers", "mit_num_hidden_layers", "prompt_layers"), 1),
    **dict.fromkeys(("pred_num_hidden_layers", "decoder_num_hidden_layers"), 1),
    **dict.fromkeys(("pred_hidden_size", "decoder_hidden_size"), _WIDTH),
    **dict.fromkeys(("decoder_num_attention_heads",), _HEADS),
    **dict.fromkeys(("decoder_intermediate_size",), 2 * _WIDTH),
    "head_dim": _WIDTH // _HEADS,
    "patch_embeds_hidden_size": _WIDTH // 4,
}
_LAYERS = ("num_hidden_layers", "n_layer", "encoder_layers")
# Half of a model that is not used.
_FEW_WORDS = {"vocab_size": 64, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
_AT_MOST = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2}


def shrunk(config: Any, *, num_layers: int) -> dict[str, Any]:
    """Shrink a configuration.

    Args:
        config: A transformers configuration.
        num_layers: How many layers remain.

    Returns:
        Its values, smaller, for `type(config).from_dict`.
    """
    return _smaller(config.to_dict(), num_layers)


def _smaller(values: dict[str, Any], num_layers: int) -> dict[str, Any]:
    """The values of a configuration or of one of its parts."""
    small = {key: _size(key, value, num_layers) for key, value in values.items()}
    small["dtype"] = "float32"
    if small.get("num_key_value_heads"):
        # As many heads share their keys as not: grouped attention stays grouped.
        is_grouped = values["num_key_value_heads"] < values["num_attention_heads"]
        small["num_key_value_heads"] = _HEADS // 2 if is_grouped else _HEADS
    if "patch_embeds_hidden_size" in small:  # CLAP's width doubles from stage to stage
        stages = len(small["depths"])
        small["hidden_size"] = small["patch_embeds_hidden_size"] * 2 ** (stages - 1)
    return small


def _size(key: str, value: Any, num_layers: int) -> Any:
    """One value."""
    if isinstance(value, dict) and key.endswith("_config"):
        small = _smaller(value, num_layers)
        return small | _FEW_WORDS if key == "text_config" else small
    if isinstance(value, list):
        return _sizes(key, value, num_layers)
    if value is None or isinstance(value, dict):
        return value
    if key in _LAYERS:
        return num_layers
    if key in _AT_MOST:
        return min(value, _AT_MOST[key])
    return _SIZES.get(key, value)


def _sizes(key: str, values: list[Any], num_layers: int) -> list[Any]:
    """One value for each stage or layer of a model."""
    if key == "layer_types":
        return values[:num_layers]
    each = {"depths": 1, "hidden_sizes": _WIDTH, "num_attention_heads": _HEADS}
    return [each[key]] * len(values) if key in each else values
