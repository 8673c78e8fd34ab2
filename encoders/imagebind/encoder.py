"""Images, sound and motion through ImageBind's trunks: sequence states, or the pooled embedding.

Preprocesses as the authors do (arXiv 2305.05665, appendix B, and their published loader). Does not
decode media.

Shapes: W windows, P patches, D_enc trunk width, D_out width of the common space.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPImageProcessorPil

from encoders.base import EncoderError, Layout, LayoutOf, Preprocessor
from encoders.frozen import FrozenEncoder, WindowStates, check_layer, hidden_layer
from encoders.imagebind.checkpoint import load_trunk
from encoders.imagebind.trunk import (
    IMAGE_SIZE,
    IMU_SAMPLES,
    NUM_MEL_FRAMES,
    NUM_MELS,
    VISION_PATCH,
    ImageBindTrunk,
    TrunkName,
    patch_starts,
)
from encoders.images import ImagePreprocessor
from encoders.imu.encoder import MotionPreprocessor
from encoders.layouts import PooledLayout, StartsLayout
from encoders.mel import KALDI_FLOOR, kaldi_mel, mel_power, whole_frames
from encoders.resample import resample_audio
from encoders.signals import Audio

_RATE_HZ, _CLIP_S = 16_000, 2
_MEL = kaldi_mel(rate_hz=_RATE_HZ, num_mels=NUM_MELS)
_MEL_MEAN, _MEL_STD = -4.268, 9.138


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBindAudioPreprocessor:
    """From an `Audio` to `values` `[W, 1, 128, 204]` and `num_real` `[W]` int64, frames with sound.

    Clips of 2 s begin at even spacing, the first at the start; a sound of one clip or less gives
    one, where the authors' loader gives the same one `num_clips` times.

    Attributes:
        num_clips: W of a longer sound.
    """

    num_clips: int

    def __call__(self, signal: Audio) -> dict[str, Tensor]:
        """Preprocess one sound."""
        samples = resample_audio(signal, _RATE_HZ).samples
        length = _CLIP_S * _RATE_HZ
        spare = max(0, len(samples) - length)
        starts = [
            index * spare // self.num_clips for index in range(self.num_clips if spare else 1)
        ]
        positions = np.array(starts)[:, None] + np.arange(length)  # [W, N]
        clips = samples[np.minimum(positions, len(samples) - 1)]
        clips[positions >= len(samples)] = 0
        num_samples = torch.from_numpy((positions < len(samples)).sum(axis=1))
        num_real = whole_frames(num_samples, _MEL)
        # The authors take each clip's mean off first, which taking each frame's off makes moot.
        log_mel = mel_power(torch.from_numpy(clips), _MEL).clamp(min=KALDI_FLOOR).log()
        missing = NUM_MEL_FRAMES - log_mel.shape[1]
        log_mel = torch.nn.functional.pad(log_mel, (0, 0, 0, missing))  # [W, 204, 128]
        is_padding = torch.arange(NUM_MEL_FRAMES) >= num_real[:, None]
        log_mel = (log_mel.masked_fill(is_padding[..., None], 0.0) - _MEL_MEAN) / _MEL_STD
        return {"values": log_mel.transpose(1, 2)[:, None].contiguous(), "num_real": num_real}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTrunk:
    """Reads an `ImageBindTrunk` as `[W, P + 1, D_enc]`, the class token first.

    Attributes:
        argument: the tensor that holds the windows.
        layer: index into the trunk's hidden states, 0 being the embedding; None is the last,
            normalised.
        drop_cls: leave out the class token.
        pooled: the embedding in the common space instead, `[W, 1, D_out]`.
    """

    argument: str
    layer: int | None
    drop_cls: bool
    pooled: bool

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the tokens of windows."""
        output = model(tensors[self.argument])
        if self.pooled:
            return WindowStates(values=output.pooler_output[:, None])
        values, mask = hidden_layer(output, self.layer), None
        if (num_real := tensors.get("num_real")) is not None:
            # The class token has seen everything; it is as real as the recording.
            starts = torch.tensor(self.starts(model.name), device=num_real.device)
            mask = starts < num_real[:, None]
        return WindowStates(values=values[:, 1:] if self.drop_cls else values, mask=mask)

    def starts(self, name: TrunkName) -> list[int]:
        """The mel frame or sample at which each feature of a recording begins."""
        return [0] * (not self.drop_cls) + patch_starts(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SquareLayout:
    """The patches of a picture, which always has the same size.

    Attributes:
        before: 1 where the class token is kept.
    """

    before: int

    def __call__(self, tensors: Mapping[str, Tensor]) -> Layout:
        """The layout of one picture."""
        side = IMAGE_SIZE // VISION_PATCH
        return Layout(before=self.before, rows=side, columns=side)


def build_imagebind_vision(
    path: str, *, layer: int | None = None, drop_cls: bool = False, pooled: bool = False
) -> FrozenEncoder:
    """An image encoder on ImageBind's checkpoint.

    Args:
        path: the file `imagebind_huge.pth`, or what else `load_trunk` takes.
        layer: index into the trunk's hidden states; None is the last, normalised.
        drop_cls: leave out the class token.
        pooled: one embedding in the common space instead of tokens; an aligner then has one vector
            per window to work with.

    Returns:
        The frozen encoder, 257 features of width 1280.

    Raises:
        EncoderError: if an option or the checkpoint does not fit.
    """
    square = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    processor = CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=square)
    return _encoder(
        load_trunk(path, "vision"),
        ImagePreprocessor(processor=processor),
        read_trunk("vision", layer=layer, drop_cls=drop_cls, pooled=pooled),
    )


def build_imagebind_audio(
    path: str,
    *,
    num_clips: int = 3,
    layer: int | None = None,
    drop_cls: bool = False,
    pooled: bool = False,
) -> FrozenEncoder:
    """A sound encoder on ImageBind's checkpoint.

    Args:
        path: the file `imagebind_huge.pth`, or what else `load_trunk` takes.
        num_clips: stretches of 2 s that are heard of a longer sound.
        layer: as in `build_imagebind_vision`.
        drop_cls: likewise.
        pooled: likewise.

    Returns:
        The frozen encoder, 229 features of width 768 per clip.

    Raises:
        EncoderError: if an option or the checkpoint does not fit.
    """
    if num_clips < 1:
        raise EncoderError(f"num_clips={num_clips} must be at least 1")
    return _encoder(
        load_trunk(path, "audio"),
        ImageBindAudioPreprocessor(num_clips=num_clips),
        read_trunk("audio", layer=layer, drop_cls=drop_cls, pooled=pooled),
    )


def build_imagebind_imu(
    path: str,
    *,
    rate_hz: float = 400.0,
    window_s: float = 5.0,
    hop_s: float | None = None,
    max_windows: int = 16,
    layer: int | None = None,
    drop_cls: bool = False,
    pooled: bool = False,
) -> FrozenEncoder:
    """A motion encoder on ImageBind's checkpoint.

    The trunk takes 2000 samples. The paper says clips of 5 s (appendix B), so 400 Hz, while the
    data it learned from is recorded at 200 Hz; the authors published no loader that would settle
    it. Say both for the other reading: `rate_hz=200, window_s=10`.

    Args:
        path: the file `imagebind_huge.pth`, or what else `load_trunk` takes.
        rate_hz: rate that recordings are resampled to.
        window_s: seconds of 2000 samples at that rate.
        hop_s: seconds between the starts of windows; None means no overlap.
        max_windows: the most windows of one recording.
        layer: as in `build_imagebind_vision`.
        drop_cls: likewise.
        pooled: likewise.

    Returns:
        The frozen encoder, 251 features of width 512 per window.

    Raises:
        EncoderError: if an option or the checkpoint does not fit.
    """
    if round(rate_hz * window_s) != IMU_SAMPLES:
        raise EncoderError(
            f"rate_hz={rate_hz} and window_s={window_s} make {rate_hz * window_s:g} samples, but "
            f"the trunk takes {IMU_SAMPLES}; with this rate give window_s={IMU_SAMPLES / rate_hz:g}"
        )
    return _encoder(
        load_trunk(path, "imu"),
        MotionPreprocessor(
            rate_hz=rate_hz,
            window_samples=IMU_SAMPLES,
            hop_samples=round((window_s if hop_s is None else hop_s) * rate_hz),
            max_windows=max_windows,
        ),
        read_trunk("imu", layer=layer, drop_cls=drop_cls, pooled=pooled),
    )


def read_trunk(name: TrunkName, *, layer: int | None, drop_cls: bool, pooled: bool) -> ReadTrunk:
    """How features are read off a trunk.

    Args:
        name: which trunk.
        layer: as in `build_imagebind_vision`.
        drop_cls: likewise.
        pooled: likewise.

    Returns:
        The reader.

    Raises:
        EncoderError: if options of tokens are given for the pooled embedding.
    """
    if pooled and (drop_cls or layer is not None):
        raise EncoderError("pooled=true gives no tokens; leave out layer and drop_cls")
    argument = "pixel_values" if name == "vision" else "values"
    return ReadTrunk(argument=argument, layer=layer, drop_cls=drop_cls, pooled=pooled)


def _encoder(trunk: ImageBindTrunk, preprocessor: Preprocessor, read: ReadTrunk) -> FrozenEncoder:
    """The encoder of a trunk."""
    check_layer(read.layer, trunk.config.num_blocks + 1)
    return FrozenEncoder(
        kind=f"imagebind_{trunk.name}",
        model=trunk,
        preprocessor=preprocessor,
        read=read,
        width=trunk.projection.out_features if read.pooled else trunk.config.hidden_size,
        layout=_layout(trunk.name, read),
    )


def _layout(name: TrunkName, read: ReadTrunk) -> LayoutOf:
    """How many features a trunk's media have."""
    if read.pooled:
        return PooledLayout(argument=read.argument)
    if name == "vision":
        return SquareLayout(before=int(not read.drop_cls))
    return StartsLayout(starts=read.starts(name))
