"""Mel spectrograms of many windows at once, in the flavour a checkpoint was trained with.

Does not cut windows and does not load options; one frozen dataclass holds them.

Shapes: W windows, N samples per window, T mel frames, K mel bands.
"""

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank, window_function

# The least power whose logarithm Kaldi takes: the step of float32 above 1.
KALDI_FLOOR = 1.192092955078125e-07


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


def kaldi_mel(*, rate_hz: int, num_mels: int) -> MelOptions:
    """Kaldi's filter bank: at 16 kHz, frames of 25 ms every 10 ms; no setting names these.

    Args:
        rate_hz: of the sound; the highest band ends at half of it.
        num_mels: K.

    Returns:
        The options.
    """
    return MelOptions(
        rate_hz=rate_hz,
        num_mels=num_mels,
        n_fft=512,
        hop_length=160,
        frame_length=400,
        min_hz=20,
        max_hz=rate_hz // 2,
        norm=None,
        mel_scale="kaldi",
        is_periodic=False,
        is_centered=False,
        preemphasis=0.97,
        remove_offset=True,
        triangularize_in_mel_space=True,
    )


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


def whole_frames(num_real: Tensor, options: MelOptions) -> Tensor:
    """Frames that hold recorded samples alone, but at least one.

    Args:
        num_real: `[W]` int64 recorded samples.
        options: the flavour, not centred.

    Returns:
        `[W]` int64.
    """
    return ((num_real - options.frame_length) // options.hop_length + 1).clamp(min=1)


@cache
def _window(options: MelOptions) -> Tensor:
    """The Hann window, `[frame_length]`."""
    window = window_function(options.frame_length, "hann", periodic=options.is_periodic)
    return torch.from_numpy(window.astype(np.float32))


@cache
def _filters(options: MelOptions) -> Tensor:
    """The mel filter bank, `[n_fft // 2 + 1, K]`."""
    with warnings.catch_warnings():
        # Kaldi's lowest bands are narrower than a frequency bin where there are 128 of them; the
        # published checkpoints were trained with such empty bands.
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
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
