"""Voxtral (arXiv 2507.13264), as transformers publishes it.

An encoder made from Whisper's that reads a recording in chunks of 30 s, silence and all, a
projection of four positions at once, and Llama. The vocabulary is Mistral's tekken.json, read
without the package mistral-common; the class has no chat template, so it is written here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    VoxtralForConditionalGeneration,
    WhisperFeatureExtractor,
)

from aligners.limits import MOST_TOKENS
from anymal.published.base import (
    ImportedModality,
    Importer,
    PromptFormat,
    Published,
    causal_lm,
    encoder_recipe,
    linear_weights,
    load_whole,
)
from anymal.published.hearing import MAX_WINDOWS, HearingParts, whole_mel
from anymal.published.probe import Probe
from anymal.published.prompt_ids import filled_ids
from anymal.published.rendering import rendered
from anymal.recipe.schema import AlignerRecipe

_MEDIUM = "[AUDIO]"
# Mistral's seventh format, no space between words and tokens; `mistral_common` writes the same.
_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% set opening = {'user': '[INST]', 'system': '[SYSTEM_PROMPT]', 'assistant': ''} %}"
    "{% set closing = {'user': '[/INST]', 'system': '[/SYSTEM_PROMPT]', 'assistant': eos_token} %}"
    "{{ opening[message['role']] }}{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'audio' %}"
    "[BEGIN_AUDIO][AUDIO]{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ closing[message['role']] }}{% endfor %}"
)


def _load(folder: Path) -> Published:
    """The model and its parts."""
    tokenizers: Any = AutoTokenizer
    tokenizer = tokenizers.from_pretrained(
        folder,
        mistral_format=False,
        trust_remote_code=False,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"audio_token": _MEDIUM},
        chat_template=_TEMPLATE,
    )
    return Published(
        model=load_whole(VoxtralForConditionalGeneration, folder),
        processor=HearingParts(
            feature_extractor=WhisperFeatureExtractor.from_pretrained(folder), tokenizer=tokenizer
        ),
    )


def _llm(published: Published) -> PreTrainedModel:
    """The language model."""
    whole = published.model
    return causal_lm(whole.config.text_config, whole.model.language_model, whole.lm_head, whole)


def _parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its sounds."""
    model, config = published.model.model, published.model.config
    projector = model.multi_modal_projector
    audio = ImportedModality(
        encoder=encoder_recipe(
            "whisper",
            silence="kept",
            spectrogram="recording",
            max_windows=min(MAX_WINDOWS, MOST_TOKENS // _per_chunk(config)),
        ),
        tower=model.audio_tower,
        processor=published.processor.feature_extractor,
        aligner=AlignerRecipe(
            kind="projection",
            num_tokens=None,
            depth=2,
            activation=config.projector_hidden_act,
            bias=False,
            merge=config.audio_config.intermediate_size // config.audio_config.hidden_size,
            norm="none",
            start="plain",
        ),
        weights=linear_weights(project__0=projector.linear_1, project__2=projector.linear_2),
        placeholders=(config.audio_token_id,),
    )
    return {"audio": audio}


def _inputs(published: Published, probe: Probe) -> Mapping[str, Tensor]:
    """What the class reads: chunks of all sounds, and as many placeholders as they give."""
    parts, config = published.processor, published.model.config
    extractor = parts.feature_extractor
    chunks = []
    for sound in probe.arguments()["audio"]:
        mel = whole_mel(extractor, sound, step=extractor.n_samples)
        chunks.append(mel.view(len(mel), -1, extractor.nb_max_frames).transpose(0, 1))
    ids = filled_ids(
        parts.tokenizer,
        rendered(parts, probe, generate=True),
        medium=_MEDIUM,
        placeholder=config.audio_token_id,
        counts=[_per_chunk(config) * len(chunk) for chunk in chunks],
    )
    return {**ids, "input_features": torch.cat(chunks)}


def _per_chunk(config: Any) -> int:
    """Soft tokens of a chunk."""
    tower = config.audio_config
    count: int = tower.max_source_positions * tower.hidden_size // tower.intermediate_size
    return count


def _soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """The class's own, of all sounds."""
    found = published.model.get_audio_features(inputs["input_features"])
    return [found.pooler_output]


def _prompt(published: Published) -> PromptFormat:
    """The format that mistral-common writes."""
    return PromptFormat(chat_template=_TEMPLATE)


VOXTRAL = Importer(
    class_name="VoxtralForConditionalGeneration",
    load=_load,
    llm=_llm,
    parts=_parts,
    soft_tokens=_soft_tokens,
    inputs=_inputs,
    prompt=_prompt,
    notes=(
        f"one recording takes at most {MOST_TOKENS} positions: of one longer than 5 minutes, ten "
        "chunks of 30 s are heard, at even spacing",
    ),
)
