"""Voxtral of a bundle: chunks of 30 s, silence and all, and a projection of joined positions.

The inverse of `anymal.published.voxtral`.
"""

from typing import Any

import torch
from transformers import (
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
    WhisperFeatureExtractor,
)

from anymal.errors import BundleError
from anymal.published.base import Published
from anymal.published.export_llava import PROJECTION, fill, section
from anymal.published.holder import NEXT_STEP, Allowed, Holder, Whole, one_of

_NUMBER = Allowed(told="a number", holds=lambda value: isinstance(value, int))


def _voxtral(whole: Whole) -> Published:
    """The class."""
    tower, merge = whole.encoder.model.config, whole.options["aligner.merge"]
    if merge * tower.d_model != tower.encoder_ffn_dim:
        raise BundleError(
            f"modalities.audio.aligner.merge is {merge}, and the class joins as many positions as "
            f"its tower's encoder_ffn_dim is wider than its d_model ({tower.encoder_ffn_dim} and "
            f"{tower.d_model}); {NEXT_STEP}"
        )
    config = VoxtralConfig(
        audio_config=section(tower),
        text_config=section(whole.llm.config),
        audio_token_id=whole.token_id,
        projector_hidden_act=whole.options["aligner.activation"],
    )
    with torch.device("meta"):
        model = VoxtralForConditionalGeneration(config)
    fill(model, whole, tower=model.model.audio_tower)
    extractor = WhisperFeatureExtractor.from_pretrained(whole.encoder.model.name_or_path)
    processors: Any = VoxtralProcessor
    return Published(model=model, processor=processors(extractor, whole.tokenizer))


VOXTRAL = Holder(
    class_name="VoxtralForConditionalGeneration",
    modality="audio",
    encoder="whisper",
    options=PROJECTION
    | {
        "encoder.max_windows": _NUMBER,
        "encoder.silence": one_of("kept"),
        "encoder.spectrogram": one_of("recording"),
        "aligner.bias": one_of(False),
        "aligner.merge": _NUMBER,
    },
    token="[AUDIO]",
    build=_voxtral,
    lacks=(
        "tekken.json, from which the processor of the class makes prompts: copy it from the "
        "checkpoint that the language model is of"
    ),
)
