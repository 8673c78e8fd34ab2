"""Sound as a picture: a log-mel spectrogram through a convolutional vision model.

The convolutional counterpart of `whisper.py`, with which it shares the spectrogram; such models
learn from far fewer recordings than transformers do. Transcribes nothing.

Shapes: W windows, K mel bands, T mel frames, k x t the model's grid, D_enc encoder width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, ResNetConfig, WhisperFeatureExtractor

from encoders.base import EncoderError
from encoders.checkpoint import load_checkpoint, random_model, save_random_model
from encoders.frozen import FrozenEncoder, WindowStates, check_layer, hidden_layer
from encoders.kind import EncoderKind, Unloaded
from encoders.log_mel import (
    FRAMES_PER_POSITION,
    WhisperPreprocessor,
    mel_options,
    sound_times,
)
from encoders.signals import Audio
from encoders.times import WindowTimes
from encoders.windows import window_length


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadGrid:
    """Reads one layer as `[W, t * k, D_enc]`, the bands of one moment next to each other."""

    layer: int | None

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the grid of log-mel windows."""
        mel = tensors["input_features"]
        output = model(pixel_values=mel[:, None], output_hidden_states=True)
        grid = hidden_layer(output, self.layer)  # [W, D_enc, k, t]
        num_bands, num_columns = grid.shape[2:]
        real = tensors["real"]  # [W, P]
        # A column is real if the first moment that it covers is.
        starts = torch.arange(num_columns) * real.shape[1] // num_columns
        mask = real[:, starts.to(real.device)].repeat_interleave(num_bands, dim=1)
        return WindowStates(values=grid.permute(0, 3, 2, 1).flatten(1, 2), mask=mask)


def build_spectrogram(
    path: str, *, layer: int | None = None, window_s: float | None = None, max_windows: int = 8
) -> FrozenEncoder:
    """A sound encoder on a convolutional model of one channel, such as a `ResNetModel`.

    Args:
        path: a local folder or a Hub id, with a Whisper feature extractor's
            `preprocessor_config.json`.
        layer: index into the model's `hidden_states`; None is the last.
        window_s: seconds of sound per window, at most the extractor's chunk (its default).
        max_windows: the most windows of one recording.

    Returns:
        The frozen encoder.

    Raises:
        EncoderError: if the model is not convolutional over one channel, or an option does not fit.
    """
    extractor: Any = WhisperFeatureExtractor.from_pretrained(path)
    model: Any = load_checkpoint(AutoModel, path, unused=("pooler",)).model
    if getattr(model.config, "num_channels", None) != 1 or not hasattr(
        model.config, "hidden_sizes"
    ):
        raise EncoderError(
            f"'{path}' is a {type(model).__name__}; a spectrogram needs a convolutional model with "
            "num_channels=1, such as ResNetModel"
        )
    widths = [model.config.embedding_size, *model.config.hidden_sizes]
    check_layer(layer, len(widths))
    rate_hz = extractor.sampling_rate
    chunk_samples = round(extractor.chunk_length * rate_hz)
    preprocessor = WhisperPreprocessor(
        mel=mel_options(extractor),
        chunk_samples=chunk_samples,
        window_samples=window_length(window_s, rate_hz=rate_hz, longest=chunk_samples),
        max_windows=max_windows,
    )
    return FrozenEncoder(
        kind="spectrogram",
        model=model,
        preprocessor=preprocessor,
        read=ReadGrid(layer=layer),
        width=widths[-1 if layer is None else layer],
        times=GridTimes(preprocessor=preprocessor, config=model.config, layer=layer),
    )


@dataclass(frozen=True, kw_only=True)
class GridTimes:
    """The times of a grid's columns, which are counted when they are first asked for.

    Attributes:
        preprocessor: makes the windows.
        config: of the model.
        layer: that is read.
    """

    preprocessor: WhisperPreprocessor
    config: Any
    layer: int | None

    def __call__(self, signal: Audio, tensors: Mapping[str, Tensor]) -> Tensor:
        """Times `[N]` float64; see `WindowTimes`."""
        return self._of_grid(signal, tensors)

    @cached_property
    def _of_grid(self) -> WindowTimes:
        made = self.preprocessor
        num_frames = made.chunk_samples // made.mel.hop_length
        with torch.device("meta"), torch.no_grad():
            mel = torch.zeros(1, 1, made.mel.num_mels, num_frames)
            output = random_model(self.config).eval()(pixel_values=mel, output_hidden_states=True)
            num_bands, num_columns = hidden_layer(output, self.layer).shape[2:]
        column_s = made.chunk_samples / made.mel.rate_hz / num_columns
        return sound_times(made, columns=num_columns, column_s=column_s, rows=num_bands)


def _unloaded(config: Any, options: Mapping[str, Any]) -> Unloaded:
    """The model over the spectrogram that the checkpoint's extractor makes."""
    if not Path(options["path"]).is_dir():
        raise EncoderError(
            f"'{options['path']}' is no local folder; the spectrogram is described by the "
            "preprocessor_config.json in it"
        )
    extractor: Any = WhisperFeatureExtractor.from_pretrained(options["path"])
    num_frames = extractor.chunk_length * extractor.sampling_rate // extractor.hop_length
    num_positions = num_frames // FRAMES_PER_POSITION
    return Unloaded(
        model=random_model(config),
        read=ReadGrid(layer=options["layer"]),
        window={
            "input_features": torch.zeros(1, extractor.feature_size, num_frames),
            "real": torch.ones(1, num_positions, dtype=torch.bool),
        },
        num_windows=options["max_windows"],
    )


def _save_random(config: Any, folder: Path) -> nn.Module:
    """Write a model of random weights with a feature extractor of 3 s and 64 mel bands."""
    extractor: Any = WhisperFeatureExtractor
    extractor(feature_size=64, chunk_length=3).save_pretrained(folder)
    model: nn.Module = save_random_model(config, folder)
    return model


SPECTROGRAM = EncoderKind(
    build=build_spectrogram,
    unloaded=_unloaded,
    usual_config=partial(ResNetConfig, num_channels=1),
    save_random=_save_random,
)
