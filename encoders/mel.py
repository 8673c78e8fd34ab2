"""Mel spectrograms of many windows at once, in the flavour a checkpoint was trained with.

Does not cut windows and does not load options; one frozen dataclass holds them.

Shapes: W windows, N samples per window, T mel frames, K mel bands.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank, window_function


@dataclass(frozen=True, slots=True, kw_only=True)
class MelOptions:
    """How sound becomes mel bands; names follow `transformers.audio_utils`."""

    rate_hz: int
    num_mels: int
    n_fft: int
    hop_length: int
    frame_length: int
    min_hz: float
    max_hz: float
    norm: str | None
    mel_scale: str
    is_periodic: bool = True
    is_centered: bool = True
    preemphasis: float = 0.0
    remove_offset: bool = False
    triangularize_in_mel_space: bool = False


def mel_power(windows: Tensor, options: MelOptions) -> Tensor:
    """The power in each mel band over time.

    Args:
        windows: `[W, N]` float32.
        options: the flavour.

    Returns:
        `[W, T, K]` float32.
    """
    if options.is_centered:
        half = options.frame_length // 2
        windows = torch.nn.functional.pad(windows[:, None], (half, half), mode="reflect")[:, 0]
    frames = windows.unfold(1, options.frame_length, options.hop_length)  # [W, T, frame_length]
    if options.remove_offset:
        frames = frames - frames.mean(dim=-1, keepdim=True)
    if options.preemphasis:
        # As Kaldi does: the first sample of a frame is its own predecessor.
        previous = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        frames = frames - options.preemphasis * previous
    spectrum = torch.fft.rfft(frames * _window(options), n=options.n_fft)
    power: Tensor = spectrum.abs().square() @ _filters(options)
    return power


@cache
def _window(options: MelOptions) -> Tensor:
    """The Hann window, `[frame_length]`."""
    window = window_function(options.frame_length, "hann", periodic=options.is_periodic)
    return torch.from_numpy(window.astype(np.float32))


@cache
def _filters(options: MelOptions) -> Tensor:
    """The mel filter bank, `[n_fft // 2 + 1, K]`."""
    filters = mel_filter_bank(
        num_frequency_bins=1 + options.n_fft // 2,
        num_mel_filters=options.num_mels,
        min_frequency=options.min_hz,
        max_frequency=options.max_hz,
        sampling_rate=options.rate_hz,
        norm=options.norm,
        mel_scale=options.mel_scale,
        triangularize_in_mel_space=options.triangularize_in_mel_space,
    )
    return torch.from_numpy(filters.astype(np.float32))
