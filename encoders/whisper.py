"""Sound through a Whisper encoder.

Takes the encoder of a full Whisper checkpoint, or one saved alone. Transcribes nothing.

Shapes: W windows, T mel frames, K mel bands, P encoder positions, D_enc encoder width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from encoders.base import EncoderError
from encoders.checkpoint import load_part, save_random_model
from encoders.frozen import FrozenEncoder, WindowStates, check_layer, hidden_layer
from encoders.kind import EncoderKind, Unloaded
from encoders.layouts import MaskLayout
from encoders.mel import MelOptions, mel_power
from encoders.resample import resample_audio
from encoders.signals import Audio
from encoders.windows import SOUND_SLACK_S, check_windows, cut_windows, window_length

# The encoder's second convolution halves the frames.
FRAMES_PER_POSITION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperPreprocessor:
    """From an `Audio` to log-mel windows `input_features` `[W, K, T]` and `real` `[W, P]` bool.

    Attributes:
        mel: the checkpoint's mel flavour.
        chunk_samples: samples the encoder sees at once.
        window_samples: samples of sound per window; the rest of the chunk is silence.
        max_windows: the most windows of one recording.
    """

    mel: MelOptions
    chunk_samples: int
    window_samples: int
    max_windows: int

    def __post_init__(self) -> None:
        """Refuse windows that cannot be cut."""
        check_windows(
            length=self.window_samples, hop=self.window_samples, max_windows=self.max_windows
        )

    def __call__(self, signal: Audio) -> dict[str, Tensor]:
        """Preprocess one sound."""
        samples = resample_audio(signal, self.mel.rate_hz).samples
        windows = cut_windows(
            samples,
            length=self.window_samples,
            hop=self.window_samples,
            max_windows=self.max_windows,
            slack=round(SOUND_SLACK_S * self.mel.rate_hz),
        )
        silence = self.chunk_samples - self.window_samples
        chunks = torch.nn.functional.pad(torch.from_numpy(windows.samples), (0, silence))
        stride = self.mel.hop_length * FRAMES_PER_POSITION
        starts = torch.arange(0, self.chunk_samples, stride)
        return {
            "input_features": log_mel(chunks, self.mel),
            "real": starts < torch.from_numpy(windows.num_real)[:, None],
        }


def log_mel(windows: Tensor, options: MelOptions) -> Tensor:
    """Whisper's scaled log-mel spectrogram.

    Args:
        windows: `[W, N]` float32.
        options: mel flavour.

    Returns:
        `[W, K, T]` float32.
    """
    power = mel_power(windows, options)[:, :-1].transpose(1, 2)
    log_power = power.clamp(min=1e-10).log10()
    loudest = log_power.amax(dim=(1, 2), keepdim=True)
    return ((torch.maximum(log_power, loudest - 8.0) + 4.0) / 4.0).contiguous()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPositions:
    """Reads one layer of the encoder as `[W, P, D_enc]`."""

    layer: int | None

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the positions of log-mel windows."""
        output = model(tensors["input_features"], output_hidden_states=True)
        return WindowStates(values=hidden_layer(output, self.layer), mask=tensors["real"])


def build_whisper(
    path: str, *, layer: int | None = None, window_s: float | None = None, max_windows: int = 8
) -> FrozenEncoder:
    """A sound encoder on a Whisper checkpoint.

    Args:
        path: a local folder or a Hub id, with its `preprocessor_config.json`.
        layer: index into the encoder's `hidden_states`; None is the last, normalised.
        window_s: seconds of sound per window, at most the checkpoint's chunk (its default).
        max_windows: the most windows of one recording.

    Returns:
        The frozen encoder.

    Raises:
        EncoderError: if an option does not fit the checkpoint.
    """
    extractor: Any = WhisperFeatureExtractor.from_pretrained(path)
    rate_hz, chunk_s = extractor.sampling_rate, extractor.chunk_length
    checkpoint = load_part(path, part=WhisperEncoder, whole=WhisperModel, tower="encoder")
    config = checkpoint.model.config
    check_layer(layer, config.encoder_layers + 1)
    chunk_samples = round(chunk_s * rate_hz)
    num_frames = chunk_samples // extractor.hop_length
    if num_frames != config.max_source_positions * FRAMES_PER_POSITION:
        raise EncoderError(
            f"'{path}': {chunk_s} s make {num_frames} mel frames, but the encoder takes "
            f"{config.max_source_positions * FRAMES_PER_POSITION}; correct chunk_length or "
            "hop_length in preprocessor_config.json"
        )
    return FrozenEncoder(
        kind="whisper",
        model=checkpoint.model,
        preprocessor=WhisperPreprocessor(
            mel=mel_options(extractor),
            chunk_samples=chunk_samples,
            window_samples=window_length(window_s, rate_hz=rate_hz, longest=chunk_samples),
            max_windows=max_windows,
        ),
        read=ReadPositions(layer=layer),
        width=config.d_model,
        layout=MaskLayout(name="real"),
    )


def mel_options(extractor: Any) -> MelOptions:
    """The mel flavour of a Whisper feature extractor."""
    return MelOptions(
        rate_hz=extractor.sampling_rate,
        num_mels=extractor.feature_size,
        n_fft=extractor.n_fft,
        hop_length=extractor.hop_length,
        frame_length=extractor.n_fft,
        min_hz=0.0,
        max_hz=8000.0,
        norm="slaney",
        mel_scale="slaney",
    )


def _unloaded(config: Any, options: Mapping[str, Any]) -> Unloaded:
    """The encoder of Whisper over its whole chunk."""
    num_positions = config.max_source_positions
    num_frames = num_positions * FRAMES_PER_POSITION
    return Unloaded(
        model=WhisperEncoder(config),
        read=ReadPositions(layer=options["layer"]),
        window={
            "input_features": torch.zeros(1, config.num_mel_bins, num_frames),
            "real": torch.ones(1, num_positions, dtype=torch.bool),
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
