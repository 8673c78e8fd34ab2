"""Sound through a Whisper encoder, or through one that was made from it.

Takes the encoder of a full Whisper checkpoint, or one saved alone: Whisper's, Qwen2-Audio's,
Voxtral's. Transcribes nothing.

Shapes: W windows, T mel frames, K mel bands, P encoder positions, F features per window, D_enc
encoder width.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    PretrainedConfig,
    Qwen2AudioEncoder,
    VoxtralEncoder,
    VoxtralEncoderConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from encoders.base import EncoderError
from encoders.checkpoint import load_part, save_random_model
from encoders.frozen import FrozenEncoder, WindowStates, check_layer, hidden_layer
from encoders.kind import EncoderKind, Unloaded
from encoders.layouts import MaskLayout
from encoders.log_mel import (
    FRAMES_PER_POSITION,
    Silence,
    Spectrogram,
    WhisperPreprocessor,
    mel_options,
    sound_times,
    whole_averages,
)
from encoders.windows import window_length


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tower:
    """An encoder's class, and how many positions it averages to a feature of its last layer."""

    part: Any
    average: int | None = None


# By the model type of their configurations.
_TOWERS = {
    "whisper": _Tower(part=WhisperEncoder),
    "qwen2_audio_encoder": _Tower(part=Qwen2AudioEncoder, average=2),
    "voxtral_encoder": _Tower(part=VoxtralEncoder),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPositions:
    """Reads one layer of the encoder as `[W, F, D_enc]`.

    Attributes:
        layer: as in `hidden_layer`.
        context: the encoder sees each window up to its last real feature, rounded up to a multiple
            of this many positions; None, it sees the whole chunk.
        average: positions of a feature, where there is a `context`; None is 1.
    """

    layer: int | None
    # None leaves the fingerprint as it was before the options.
    context: int | None = None
    average: int | None = None

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the positions of log-mel windows."""
        real, heard = tensors["real"], tensors.get("heard")
        if self.context is None:
            values = self._chunks(model, tensors["input_features"], heard)
        else:
            values = self._contexts(model, tensors, self.context)
            real = real[:, : int(real.any(dim=0).sum())]  # up to the end of the longest sound
            values = values[:, : real.shape[1]]
        values = F.pad(values, (0, 0, 0, real.shape[1] - values.shape[1]))
        return WindowStates(values=values, mask=real)

    def _contexts(self, model: Any, tensors: Mapping[str, Tensor], multiple: int) -> Tensor:
        """Features `[W, F, D_enc]`, windows of one length at a time."""
        mel, real, heard = tensors["input_features"], tensors["real"], tensors.get("heard")
        average, longest = self.average or 1, model.config.max_source_positions
        ends = average * real.sum(dim=1) if heard is None else heard.sum(dim=1)
        lengths = (-(-ends // multiple) * multiple).clamp(max=longest)
        values = mel.new_zeros(len(mel), longest // average, model.config.d_model)
        for length in sorted(set(lengths.tolist())):
            own = lengths == length
            cut = mel[own, :, : length * FRAMES_PER_POSITION]
            mask = None if heard is None else heard[own, :length]
            values[own, : length // average] = self._chunks(_shortened(model, length), cut, mask)
        return values

    def _chunks(self, model: Any, mel: Tensor, heard: Tensor | None) -> Tensor:
        """Features `[W, F, D_enc]` of windows that are as long as the model's chunk."""
        mask = {} if heard is None else {"attention_mask": _sound_alone(model, mel, heard)}
        values = hidden_layer(model(mel, output_hidden_states=True, **mask), self.layer)
        if heard is not None:
            sound = whole_averages(heard, heard.shape[1] // values.shape[1])
            values = values.masked_fill(~sound[..., None], 0.0)
        return values


def _shortened(model: Any, num_positions: int) -> Any:
    """The encoder for its first positions alone: another tree of modules over the same weights."""
    shared = {id(weight): weight for weight in (*model.parameters(), *model.buffers())}
    short = deepcopy(model, shared)
    short.config.max_source_positions = num_positions
    positions = model.embed_positions.weight[:num_positions]
    short.embed_positions.weight = nn.Parameter(positions, requires_grad=False)
    short.embed_positions.num_embeddings = num_positions
    return short


def _sound_alone(model: Any, mel: Tensor, heard: Tensor) -> Any:
    """A mask, of the form that the model's attention takes, for which silence does not exist."""
    # Of the states it takes the shape, the type and the device.
    states = mel.new_zeros(*heard.shape, 1)
    return create_bidirectional_mask(model.config, states, heard)


def build_whisper(
    path: str,
    *,
    layer: int | None = None,
    window_s: float | None = None,
    context_s: float | None = None,
    max_windows: int = 8,
    silence: Silence | None = None,
    spectrogram: Spectrogram | None = None,
    group: int | None = None,
) -> FrozenEncoder:
    """A sound encoder on a checkpoint of Whisper, or of an encoder that was made from it.

    Args:
        path: a local folder or a Hub id, with its `preprocessor_config.json`.
        layer: index into the encoder's `hidden_states`; None is the last, normalised.
        window_s: seconds of sound per window, at most the checkpoint's chunk (its default).
        context_s: the encoder sees each window up to the end of its sound, rounded up to a multiple
            of these seconds, and no more of the chunk. It was trained on whole chunks, so features
            change; None leaves them as published.
        max_windows: the most windows of one recording.
        silence: what becomes of the silence that fills a window up: None, the encoder hears it,
            and its features are left out; `masked`, the encoder does not hear it (Qwen2-Audio,
            arXiv 2407.10759; Ultravox); `kept`, its features are as real as those of sound
            (Voxtral, arXiv 2507.13264).
        spectrogram: None makes that of each window alone; `recording`, that of the whole recording,
            filled up with silence, and cuts it (Voxtral); `bare`, that of the recording as it ends,
            with zeros behind it (Ultravox).
        group: fill the features of each window up to a multiple of this with zeros, so that an
            aligner with this `merge` joins none of two windows (Ultravox); needs `silence`.

    Returns:
        The frozen encoder.

    Raises:
        EncoderError: if an option does not fit the checkpoint.
    """
    extractor: Any = WhisperFeatureExtractor.from_pretrained(path)
    rate_hz, chunk_s = extractor.sampling_rate, extractor.chunk_length
    settings, _ = PretrainedConfig.get_config_dict(path)
    tower = _tower(settings.get("model_type"), path)
    model = load_part(path, part=tower.part, whole=WhisperModel, tower="encoder").model
    if silence == "masked" and isinstance(model, WhisperEncoder):
        model = _with_mask(model)
    config = model.config
    if layer is not None and tower.average is not None:
        raise EncoderError(
            f"'{path}' averages {tower.average} positions behind its last layer; leave layer out"
        )
    check_layer(layer, config.encoder_layers + 1)
    chunk_samples = round(chunk_s * rate_hz)
    num_frames = chunk_samples // extractor.hop_length
    if num_frames != config.max_source_positions * FRAMES_PER_POSITION:
        raise EncoderError(
            f"'{path}': {chunk_s} s make {num_frames} mel frames, but the encoder takes "
            f"{config.max_source_positions * FRAMES_PER_POSITION}; correct chunk_length or "
            "hop_length in preprocessor_config.json"
        )
    context = None
    if context_s is not None:
        _check_context(context_s, chunk_s=chunk_s, silence=silence)
        step = tower.average or 1  # whole features
        context = step * ceil(context_s / chunk_s * config.max_source_positions / step)
    preprocessor = WhisperPreprocessor(
        mel=mel_options(extractor),
        chunk_samples=chunk_samples,
        window_samples=window_length(window_s, rate_hz=rate_hz, longest=chunk_samples),
        max_windows=max_windows,
        silence=silence,
        spectrogram=spectrogram,
        average=tower.average,
        group=group,
    )
    return FrozenEncoder(
        kind="whisper",
        model=model,
        preprocessor=preprocessor,
        read=ReadPositions(layer=layer, context=context, average=context and tower.average),
        width=config.d_model,
        layout=MaskLayout(name="real"),
        times=sound_times(preprocessor, **_columns(config, tower, chunk_s, group)),
    )


def _columns(config: Any, tower: _Tower, chunk_s: float, group: int | None) -> dict[str, Any]:
    """How many features a window has, and how many seconds each covers."""
    features = config.max_source_positions // (tower.average or 1)
    return {"columns": features + -features % (group or 1), "column_s": chunk_s / features}


def _tower(model_type: str | None, path: str) -> _Tower:
    """The encoder that a configuration describes."""
    if model_type not in _TOWERS:
        raise EncoderError(
            f"'{path}' is a checkpoint of model type {model_type!r}; known: {', '.join(_TOWERS)}"
        )
    return _TOWERS[model_type]


def _check_context(context_s: float, *, chunk_s: float, silence: Silence | None) -> None:
    if not 0 < context_s <= chunk_s:
        raise EncoderError(
            f"context_s={context_s} must be above 0 and at most {chunk_s}, the seconds that the "
            "encoder sees at once"
        )
    if silence == "kept":
        raise EncoderError(
            "silence: kept keeps the features of the whole chunk, which context_s would cut; "
            "leave one of the two out"
        )


def _with_mask(tower: WhisperEncoder) -> VoxtralEncoder:
    """The same encoder, as the class of transformers that does not ignore an attention mask."""
    config = tower.config
    same = VoxtralEncoder(
        VoxtralEncoderConfig(
            hidden_size=config.d_model,
            intermediate_size=config.encoder_ffn_dim,
            num_hidden_layers=config.encoder_layers,
            num_attention_heads=config.encoder_attention_heads,
            activation_function=config.activation_function,
            num_mel_bins=config.num_mel_bins,
            max_source_positions=config.max_source_positions,
        )
    )
    same.load_state_dict(tower.state_dict())
    return same


def _unloaded(config: Any, options: Mapping[str, Any]) -> Unloaded:
    """The encoder over its whole chunk, which is full of sound."""
    num_positions = config.max_source_positions
    num_frames = num_positions * FRAMES_PER_POSITION
    tower, group = _tower(config.model_type, options["path"]), options["group"] or 1
    num_features = num_positions // (tower.average or 1)
    num_features += -num_features % group
    return Unloaded(
        model=tower.part(config),
        read=ReadPositions(layer=options["layer"]),
        window={
            "input_features": torch.zeros(1, config.num_mel_bins, num_frames),
            "real": torch.ones(1, num_features, dtype=torch.bool),
        },
        num_windows=options["max_windows"],
    )


def _save_random(config: Any, folder: Path) -> nn.Module:
    """Write a model of random weights with a feature extractor of its mel bands."""
    extractor: Any = WhisperFeatureExtractor
    extractor(feature_size=config.num_mel_bins).save_pretrained(folder)
    model: nn.Module = save_random_model(config, folder)
    return model


WHISPER = EncoderKind(
    build=build_whisper, unloaded=_unloaded, usual_config=WhisperConfig, save_random=_save_random
)
