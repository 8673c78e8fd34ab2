"""Sound through an Audio Spectrogram Transformer.

Returns its patches; the class and distillation tokens are left out.

Shapes: W windows, T mel frames, K mel bands, P patches, D_enc encoder width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

from encoders.base import EncoderError
from encoders.checkpoint import load_checkpoint, save_random_model
from encoders.frozen import FrozenEncoder, WindowStates, check_layer, hidden_layer
from encoders.kind import EncoderKind, Unloaded
from encoders.layouts import StartsLayout
from encoders.mel import KALDI_FLOOR, MelOptions, kaldi_mel, mel_power, whole_frames
from encoders.resample import resample_audio
from encoders.signals import Audio
from encoders.times import RealFrom, WindowTimes
from encoders.windows import SOUND_SLACK_S, check_windows, cut_windows, window_length

_NUM_PREFIX_TOKENS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AstPreprocessor:
    """From an `Audio` to `input_values` `[W, T, K]` and `num_frames` `[W]` int64.

    Attributes:
        mel: Kaldi's mel flavour at the checkpoint's rate and bands.
        max_frames: T.
        window_samples: samples of sound per window.
        max_windows: the most windows of one recording.
        mean: subtracted from the log-mel values.
        std: they are then divided by twice this; None leaves them as they are.
    """

    mel: MelOptions
    max_frames: int
    window_samples: int
    max_windows: int
    mean: float
    std: float | None

    def __post_init__(self) -> None:
        """Refuse windows that cannot be cut."""
        check_windows(
            length=self.window_samples, hop=self.hop_samples, max_windows=self.max_windows
        )

    @property
    def hop_samples(self) -> int:
        """Samples between the starts of windows."""
        # Frames overlap, so do windows: the frame after a window's last begins the next one.
        return self.window_samples - self.mel.frame_length + self.mel.hop_length

    def __call__(self, signal: Audio) -> dict[str, Tensor]:
        """Preprocess one sound."""
        windows = cut_windows(
            resample_audio(signal, self.mel.rate_hz).samples,
            length=self.window_samples,
            hop=self.hop_samples,
            max_windows=self.max_windows,
            slack=round(SOUND_SLACK_S * self.mel.rate_hz),
        )
        num_real = torch.from_numpy(windows.num_real)
        num_frames = whole_frames(num_real, self.mel)
        log_mel = (
            mel_power(torch.from_numpy(windows.samples), self.mel).clamp(min=KALDI_FLOOR).log()
        )
        missing = self.max_frames - log_mel.shape[1]
        log_mel = torch.nn.functional.pad(log_mel, (0, 0, 0, missing))  # [W, T, K]
        is_padding = torch.arange(self.max_frames) >= num_frames[:, None]
        log_mel = log_mel.masked_fill(is_padding[..., None], 0.0)
        if self.std is not None:
            log_mel = (log_mel - self.mean) / (2 * self.std)
        return {"input_values": log_mel, "num_frames": num_frames}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPatches:
    """Reads one layer's patches as `[W, P, D_enc]`, band by band as the model has them."""

    layer: int | None

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the patches of log-mel windows."""
        output = model(tensors["input_values"], output_hidden_states=True)
        patches = hidden_layer(output, self.layer)[:, _NUM_PREFIX_TOKENS:]
        num_frames = tensors["num_frames"]
        starts = torch.tensor(patch_starts(model.config), device=num_frames.device)
        return WindowStates(values=patches, mask=starts < num_frames[:, None])


def patch_starts(config: Any) -> list[int]:
    """The mel frame at which each patch begins, P of them, band by band."""
    num_times: int = (config.max_length - config.patch_size) // config.time_stride + 1
    num_bands: int = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
    return [time * config.time_stride for time in range(num_times)] * num_bands


def build_ast(
    path: str,
    *,
    layer: int | None = None,
    window_s: float | None = None,
    max_windows: int = 8,
) -> FrozenEncoder:
    """A sound encoder on an Audio Spectrogram Transformer checkpoint.

    Args:
        path: a local folder or a Hub id, with its `preprocessor_config.json`.
        layer: index into the model's `hidden_states`; None is the last, normalised.
        window_s: seconds of sound per window, at most the checkpoint's frames (the default).
        max_windows: the most windows of one recording.

    Returns:
        The frozen encoder.

    Raises:
        EncoderError: if an option does not fit the checkpoint.
    """
    extractor: Any = ASTFeatureExtractor.from_pretrained(path)
    rate_hz, max_frames = extractor.sampling_rate, extractor.max_length
    model: Any = load_checkpoint(ASTModel, path).model
    check_layer(layer, model.config.num_hidden_layers + 1)
    wanted = (model.config.max_length, model.config.num_mel_bins)
    if wanted != (max_frames, extractor.num_mel_bins):
        raise EncoderError(
            f"'{path}': preprocessor_config.json makes {max_frames} frames of "
            f"{extractor.num_mel_bins} bands, but the model takes {wanted[0]} of {wanted[1]}; "
            "correct max_length or num_mel_bins"
        )
    # The published checkpoints were trained with Kaldi's filter bank.
    mel = kaldi_mel(rate_hz=rate_hz, num_mels=extractor.num_mel_bins)
    longest = (max_frames - 1) * mel.hop_length + mel.frame_length
    shortest_s = mel.frame_length / rate_hz
    if window_s is not None and window_s < shortest_s:
        raise EncoderError(f"window_s={window_s} must be at least one mel frame, {shortest_s} s")
    preprocessor = AstPreprocessor(
        mel=mel,
        max_frames=max_frames,
        window_samples=window_length(window_s, rate_hz=rate_hz, longest=longest),
        max_windows=max_windows,
        mean=extractor.mean,
        std=extractor.std if extractor.do_normalize else None,
    )
    return FrozenEncoder(
        kind="ast",
        model=model,
        preprocessor=preprocessor,
        read=ReadPatches(layer=layer),
        width=model.config.hidden_size,
        layout=StartsLayout(starts=patch_starts(model.config), length="num_frames"),
        times=_times(preprocessor, model.config),
    )


def _times(preprocessor: AstPreprocessor, config: Any) -> WindowTimes:
    """When the patches are seen."""
    mel, starts = preprocessor.mel, patch_starts(config)
    frame_s = mel.hop_length / mel.rate_hz
    return WindowTimes(
        middles_s=[(start + config.patch_size / 2) * frame_s for start in starts],
        window_s=preprocessor.window_samples / mel.rate_hz,
        hop_s=preprocessor.hop_samples / mel.rate_hz,
        slack_s=SOUND_SLACK_S,
        real=RealFrom(starts=starts, length="num_frames"),
    )


def _unloaded(config: Any, options: Mapping[str, Any]) -> Unloaded:
    """The transformer over one window of mel frames."""
    return Unloaded(
        model=ASTModel(config),
        read=ReadPatches(layer=options["layer"]),
        window={
            "input_values": torch.zeros(1, config.max_length, config.num_mel_bins),
            "num_frames": torch.ones(1, dtype=torch.int64),
        },
        num_windows=options["max_windows"],
    )


def _save_random(config: Any, folder: Path) -> nn.Module:
    """Write a model of random weights with a feature extractor of its frames and mel bands."""
    extractor: Any = ASTFeatureExtractor
    made = extractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length)
    made.save_pretrained(folder)
    model: nn.Module = save_random_model(config, folder)
    return model


AST = EncoderKind(
    build=build_ast, unloaded=_unloaded, usual_config=ASTConfig, save_random=_save_random
)
