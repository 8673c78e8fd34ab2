"""Sound through the audio half of CLAP.

Cuts windows itself, so that nothing is cropped at random; never returns the pooled vector.

Shapes: W windows, N samples per window, T mel frames, K mel bands, P time positions times bands of
the last grid, D_enc encoder width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import ClapAudioModel, ClapConfig, ClapFeatureExtractor, ClapModel

from encoders.base import EncoderError
from encoders.checkpoint import load_part, save_random_model
from encoders.frozen import FrozenEncoder, WindowStates
from encoders.kind import EncoderKind, Unloaded
from encoders.layouts import StartsLayout
from encoders.mel import MelOptions, mel_power
from encoders.resample import resample_audio
from encoders.signals import Audio
from encoders.windows import SOUND_SLACK_S, check_windows, cut_windows, window_length


@dataclass(frozen=True, slots=True, kw_only=True)
class ClapPreprocessor:
    """From an `Audio` to `input_features` `[W, 1, T, K]` in dB and `num_real` `[W]` int64.

    Attributes:
        mel: the checkpoint's mel flavour.
        clip_samples: N, samples the model sees at once.
        window_samples: samples of sound per window.
        max_windows: the most windows of one recording.
        padding: how a shorter window fills the clip: repeated whole times then silence, repeated to
            the end, or followed by silence.
    """

    mel: MelOptions
    clip_samples: int
    window_samples: int
    max_windows: int
    padding: Literal["repeatpad", "repeat", "pad"]

    def __post_init__(self) -> None:
        """Refuse windows that cannot be cut."""
        check_windows(
            length=self.window_samples, hop=self.window_samples, max_windows=self.max_windows
        )

    def __call__(self, signal: Audio) -> dict[str, Tensor]:
        """Preprocess one sound."""
        windows = cut_windows(
            resample_audio(signal, self.mel.rate_hz).samples,
            length=self.window_samples,
            hop=self.window_samples,
            max_windows=self.max_windows,
            slack=round(SOUND_SLACK_S * self.mel.rate_hz),
        )
        clips = np.stack(
            [
                self._fill(samples[:num_real])
                for samples, num_real in zip(windows.samples, windows.num_real, strict=True)
            ]
        )
        power = mel_power(torch.from_numpy(clips), self.mel)
        return {
            "input_features": 10.0 * power.clamp(min=1e-10).log10()[:, None],
            "num_real": torch.from_numpy(windows.num_real),
        }

    def _fill(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        """A clip `[N]` of the model's length."""
        repeats = {
            "repeatpad": self.clip_samples // len(sound),
            "repeat": -(-self.clip_samples // len(sound)),
            "pad": 1,
        }
        clip = np.tile(sound, repeats[self.padding])[: self.clip_samples]
        return np.pad(clip, (0, self.clip_samples - len(clip)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadGrid:
    """Reads CLAP's last grid as `[W, P, D_enc]`, all bands of a time position next to each other.

    Attributes:
        clip_samples: samples the model sees at once.
    """

    clip_samples: int

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the grid of mel windows."""
        features, num_real = tensors["input_features"], tensors["num_real"]
        # No window is longer than a clip. The checkpoint's own feature extractor flags one at
        # random, which would make features depend on chance and on the rest of the batch.
        is_longer = torch.zeros(len(features), 1, dtype=torch.bool, device=features.device)
        grid = model(features, is_longer=is_longer).last_hidden_state  # [W, D_enc, bands, times]
        num_bands, num_times = grid.shape[2:]
        starts = torch.arange(num_times, device=num_real.device) * self.clip_samples
        mask = starts < num_real[:, None] * num_times  # [W, times]; later ones see only padding
        return WindowStates(
            values=grid.permute(0, 3, 2, 1).flatten(1, 2),
            mask=mask.repeat_interleave(num_bands, dim=1),
        )


def _grid_starts(config: Any, clip_samples: int) -> list[int]:
    """The sample at which each of the P features begins, as `ReadGrid` gives them."""
    side = config.spec_size // 2 ** (len(config.depths) - 1)
    ratio = config.spec_size // config.num_mel_bins  # pieces of the spectrogram, stacked
    num_bands = side // config.patch_stride[0] // ratio
    num_times = side // config.patch_stride[1] * ratio
    return [time * clip_samples // num_times for time in range(num_times) for _ in range(num_bands)]


def build_clap(path: str, *, window_s: float | None = None, max_windows: int = 8) -> FrozenEncoder:
    """A sound encoder on a CLAP checkpoint, with or without its text half.

    Args:
        path: a local folder or a Hub id, with its `preprocessor_config.json`.
        window_s: seconds of sound per window, at most the checkpoint's clip (its default).
        max_windows: the most windows of one recording.

    Returns:
        The frozen encoder.

    Raises:
        EncoderError: if an option does not fit the checkpoint.
    """
    extractor: Any = ClapFeatureExtractor.from_pretrained(path)
    rate_hz = extractor.sampling_rate
    if extractor.padding not in ("repeatpad", "repeat", "pad"):
        raise EncoderError(
            f"'{path}': unknown padding '{extractor.padding}' in preprocessor_config.json; "
            "known: repeatpad, repeat, pad"
        )
    checkpoint = load_part(path, part=ClapAudioModel, whole=ClapModel, tower="audio_model")
    is_fused = extractor.truncation == "fusion"
    clip_samples = round(extractor.max_length_s * rate_hz)
    return FrozenEncoder(
        kind="clap",
        model=checkpoint.model,
        preprocessor=ClapPreprocessor(
            mel=MelOptions(
                rate_hz=rate_hz,
                num_mels=extractor.feature_size,
                n_fft=extractor.fft_window_size,
                hop_length=extractor.hop_length,
                frame_length=extractor.fft_window_size,
                min_hz=extractor.frequency_min,
                max_hz=extractor.frequency_max,
                norm=None if is_fused else "slaney",
                mel_scale="htk" if is_fused else "slaney",
            ),
            clip_samples=clip_samples,
            window_samples=window_length(window_s, rate_hz=rate_hz, longest=clip_samples),
            max_windows=max_windows,
            padding=extractor.padding,
        ),
        read=ReadGrid(clip_samples=clip_samples),
        width=checkpoint.model.config.hidden_size,
        layout=StartsLayout(starts=_grid_starts(checkpoint.model.config, clip_samples)),
    )


def _unloaded(config: Any, options: Mapping[str, Any]) -> Unloaded:
    """The audio half of CLAP over its whole clip."""
    config = getattr(config, "audio_config", config)
    model: Any = ClapAudioModel(config)
    # No window is ever longer than the clip, so the path for longer ones is never taken.
    model.audio_encoder.enable_fusion = model.audio_encoder.patch_embed.enable_fusion = False
    num_frames = config.spec_size * config.spec_size // config.num_mel_bins
    return Unloaded(
        model=model,
        read=ReadGrid(clip_samples=1),
        window={
            "input_features": torch.zeros(1, 1, num_frames, config.num_mel_bins),
            "num_real": torch.ones(1, dtype=torch.int64),
        },
        num_windows=options["max_windows"],
    )


def _save_random(config: Any, folder: Path) -> nn.Module:
    """Write a model of random weights; a fused checkpoint is recognised by its truncation."""
    audio = getattr(config, "audio_config", config)
    truncation = "fusion" if audio.enable_fusion else "rand_trunc"
    extractor: Any = ClapFeatureExtractor
    extractor(feature_size=audio.num_mel_bins, truncation=truncation).save_pretrained(folder)
    model: nn.Module = save_random_model(config, folder)
    return model


CLAP = EncoderKind(
    build=build_clap, unloaded=_unloaded, usual_config=ClapConfig, save_random=_save_random
)
