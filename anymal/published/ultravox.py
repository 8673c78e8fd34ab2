"""Ultravox's layout (github.com/fixie-ai/ultravox): a projector, and two checkpoints by their ids.

The weights are those of the projector, and of the encoder where that was trained; `text_model_id`
and `audio_model_id` in `config.json` name the rest. It is no class of transformers and its
checkpoints bring code, which is never run. The bundle is compared with our own re-derivation of
what the layout computes for each sound alone.

Shapes: K mel bands, T mel frames, P positions, Q soft tokens, D_llm embedding width, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from anymal.bundle.contents import read_json
from anymal.errors import BundleError
from anymal.llm.load import without_progress
from anymal.published.base import (
    ImportedModality,
    Importer,
    PromptFormat,
    Published,
    encoder_recipe,
    load_whole,
)
from anymal.published.hearing import MAX_WINDOWS, HearingParts, whole_mel
from anymal.published.others import local_other
from anymal.published.probe import Probe
from anymal.published.prompt_ids import filled_ids
from anymal.published.rendering import chat_template_of, written
from anymal.published.tensors import read_tensors
from anymal.published.weight_files import weight_files
from anymal.recipe.schema import AlignerRecipe
from anymal.sample import SLOT_ID
from encoders.checkpoint import load_part

_MEDIUM = "<|audio|>"  # no token: the text is cut there
_PROJECTOR, _TOWER = "multi_modal_projector.", "audio_tower."
_EPS = 1e-6
_POSITIONS_PER_S = 50  # of every Whisper


class UltravoxModel(nn.Module):
    """What a checkpoint of this layout computes, one sound at a time.

    Args:
        tower: Whisper's encoder.
        projector: Its weights, by the names of the file.
        language_model: A causal language model.
    """

    linear_1_weight: Tensor
    linear_2_weight: Tensor

    def __init__(
        self,
        tower: WhisperEncoder,
        projector: Mapping[str, Tensor],
        language_model: PreTrainedModel,
    ) -> None:
        super().__init__()
        self.audio_tower = tower
        self.language_model = language_model
        for name, tensor in projector.items():
            self.register_buffer(name.replace(".", "_"), tensor)
        # As the weights say; a configuration leaves out what is usual.
        self.stack_factor = self.linear_1_weight.shape[1] // tower.config.d_model

    def project(self, states: Tensor) -> Tensor:
        """Soft tokens `[Q, D_llm]` of the positions `[P, D_enc]` of one chunk."""
        size = self.stack_factor
        stacked = F.pad(states, (0, 0, 0, -len(states) % size)).reshape(-1, size * states.shape[1])
        left, right = F.linear(self._normed("ln_pre", stacked), self.linear_1_weight).chunk(
            2, dim=1
        )
        hidden = self._normed("ln_mid", left * F.silu(right))
        return self._normed("ln_post", F.linear(hidden, self.linear_2_weight))

    def hear(self, mel: Tensor) -> Tensor:
        """Positions `[P, D_enc]` of a chunk `[K, T]` that ends with the sound; T is even."""
        tower = self.audio_tower
        states = F.gelu(tower.conv2(F.gelu(tower.conv1(mel[None])))).transpose(1, 2)
        states = states + tower.embed_positions.weight[: states.shape[1]]
        for layer in tower.layers:
            states = layer(states, None)
        heard: Tensor = tower.layer_norm(states)[0]
        return heard

    def _normed(self, name: str, states: Tensor) -> Tensor:
        """States after a norm, if the file holds its weight."""
        weight = getattr(self, f"{name}_weight", None)
        return states if weight is None else F.rms_norm(states, weight.shape, weight, _EPS)


def _load(folder: Path) -> Published:
    """The model and its parts."""
    settings = read_json(folder / "config.json")
    weights = read_tensors(weight_files(folder, pickles=False), "")
    _check_layout(settings, weights, folder)
    llm = load_whole(AutoModelForCausalLM, local_other(settings["text_model_id"], folder))
    extractor: Any = WhisperFeatureExtractor
    tower: Any
    if settings.get("audio_model_id") is None:
        config = WhisperConfig(**settings["audio_config"])
        tower = WhisperEncoder(config)
        tower.load_state_dict(_below(weights, _TOWER))
        seconds = config.max_source_positions // _POSITIONS_PER_S
        mel = extractor(feature_size=config.num_mel_bins, chunk_length=seconds)
    else:
        audio = str(local_other(settings["audio_model_id"], folder))
        with without_progress():
            tower = load_part(audio, part=WhisperEncoder, whole=WhisperModel, tower="encoder").model
        mel = extractor.from_pretrained(audio)
    model = UltravoxModel(tower, _below(weights, _PROJECTOR), llm)
    tokenizers: Any = AutoTokenizer
    # Not the configuration in the folder, of a type that transformers does not know.
    tokenizer = tokenizers.from_pretrained(folder, config=llm.config, trust_remote_code=False)
    parts = HearingParts(feature_extractor=mel, tokenizer=tokenizer)
    return Published(model=model.eval(), processor=parts)


def _check_layout(settings: Mapping[str, Any], weights: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse variants of the layout that a bundle has no words for."""
    trained_tower = settings.get("audio_model_id") is None
    known = (_PROJECTOR, _TOWER) if trained_tower else (_PROJECTOR,)
    foreign = sorted(name for name in weights if not name.startswith(known) or "lora_" in name)
    if settings.get("text_model_id") is None or foreign:
        found = f"such as {foreign[0]!r}" if foreign else "and no text_model_id"
        raise BundleError(
            f"{str(folder)!r} holds more than a projector beside checkpoints that it names: "
            f"{found}; merge its adapters, and give the language model a folder of its own"
        )
    if settings.get("audio_latency_block_size"):
        raise BundleError(
            f"the encoder of {str(folder)!r} hears in blocks (audio_latency_block_size), which "
            "no encoder here does"
        )
    if settings.get("projector_act", "swiglu") != "swiglu":
        raise BundleError(
            f"projector_act of {str(folder)!r} is {settings['projector_act']!r}; only swiglu can "
            "be read"
        )


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin so, without that."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }


def _others(config: Mapping[str, Any]) -> Sequence[str]:
    """The checkpoints that it names."""
    names = (config.get("text_model_id"), config.get("audio_model_id"))
    return [name for name in names if name is not None]


def _llm(published: Published) -> PreTrainedModel:
    """The language model."""
    llm: PreTrainedModel = published.model.language_model
    return llm


def _parts(published: Published) -> Mapping[str, ImportedModality]:
    """Its sounds."""
    model: UltravoxModel = published.model
    projector = dict(model.named_buffers(recurse=False))
    has_middle = "ln_mid_weight" in projector
    names = {"ln_pre_weight": "norm", "linear_1_weight": "project.0"}
    names |= {"ln_mid_weight": "project.2", "ln_post_weight": "norm_out"}
    names["linear_2_weight"] = "project.3" if has_middle else "project.2"
    audio = ImportedModality(
        encoder=encoder_recipe(
            "whisper",
            silence="masked",
            spectrogram="bare",
            group=model.stack_factor,
            max_windows=MAX_WINDOWS,
        ),
        tower=model.audio_tower,
        processor=published.processor.feature_extractor,
        aligner=AlignerRecipe(
            kind="projection",
            num_tokens=None,
            depth=2,
            hidden_dim=len(projector["linear_1_weight"]),
            activation="swiglu",
            bias=False,
            merge=model.stack_factor,
            norm="rms",
            norm_middle="rms" if has_middle else "none",
            norm_out="none" if has_middle else "rms",
            start="plain",
        ),
        weights={f"{names[name]}.weight": tensor for name, tensor in projector.items()},
        placeholders=(SLOT_ID,),
    )
    return {"audio": audio}


def _inputs(published: Published, probe: Probe) -> Mapping[str, Tensor]:
    """The words by ids, and what each sound gives the language model."""
    model, parts = published.model, published.processor
    extractor = parts.feature_extractor
    heard = []
    for sound in probe.arguments()["audio"]:
        mel = whole_mel(extractor, sound, step=extractor.hop_length)
        chunks = torch.split(mel, extractor.nb_max_frames, dim=1)
        heard.append(torch.cat([model.project(model.hear(chunk)) for chunk in chunks]))
    messages = [
        {
            "role": message["role"],
            "content": "".join(part.get("text", _MEDIUM) for part in message["content"]),
        }
        for message in probe.messages()
    ]
    ids = filled_ids(
        parts.tokenizer,
        written(parts, messages, generate=True),
        medium=_MEDIUM,
        placeholder=SLOT_ID,
        counts=[len(one) for one in heard],
    )
    return {**ids, "soft_tokens": torch.cat(heard)}


def _soft_tokens(published: Published, inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
    """Of all sounds."""
    return [inputs["soft_tokens"]]


def _logits(published: Published, inputs: Mapping[str, Tensor]) -> Tensor:
    """What the language model says of words and sounds in their place."""
    llm: Any = published.model.language_model
    ids = inputs["input_ids"]
    embeddings = llm.get_input_embeddings()(ids.clamp(min=0))
    embeddings[ids == SLOT_ID] = inputs["soft_tokens"].to(embeddings.dtype)
    logits: Tensor = llm(inputs_embeds=embeddings).logits[0]
    return logits


def _prompt(published: Published) -> PromptFormat:
    """The language model's own; a sound stands where its message has it."""
    return PromptFormat(chat_template=chat_template_of(published.processor))


def _outline(config: Mapping[str, Any]) -> nn.Module:
    """The encoder, if it is in the file; the rest has the sizes of its tensors."""
    if config.get("audio_model_id") is not None:
        return nn.Identity()
    return WhisperEncoder(WhisperConfig(**config["audio_config"]))


ULTRAVOX = Importer(
    class_name="UltravoxModel",
    load=_load,
    llm=_llm,
    parts=_parts,
    soft_tokens=_soft_tokens,
    inputs=_inputs,
    logits=_logits,
    prompt=_prompt,
    outline=_outline,
    others=_others,
    ignores_code=True,
    notes=(
        "each sound is heard alone; Ultravox's own processor fills sounds that come together up "
        "to the longest, which changes the end of the shorter ones",
    ),
)
