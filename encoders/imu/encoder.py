"""Motion recordings through a patch transformer or the IMU2CLIP stack.

Cuts and pads windows; decodes no files and converts no units.

Shapes: W windows, T samples per window, F features per window, D_enc encoder width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from encoders.base import EncoderError
from encoders.checkpoint import load_checkpoint
from encoders.frozen import FrozenEncoder, Read, WindowStates, check_layer, hidden_layer
from encoders.imu.imu2clip import Imu2ClipConfig, Imu2ClipModel
from encoders.imu.transformer import ImuTransformerConfig, ImuTransformerModel
from encoders.kind import EncoderKind, Unloaded
from encoders.layouts import StartsLayout
from encoders.resample import resample_motion
from encoders.signals import Motion
from encoders.times import RealFrom, WindowTimes
from encoders.windows import check_windows, cut_windows

# A last window with fewer new samples than this share of a window is left out: resampling may add
# or drop a sample or two at the end of a recording of exactly one window.
_SLACK_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionPreprocessor:
    """From a `Motion` to `values` `[W, 6, T]`, `present` `[W, 6]` bool and `num_real` `[W]` int64.

    The end of the last window repeats the last sample, so that gravity does not vanish in it.

    Attributes:
        rate_hz: the model's sampling rate.
        window_samples: T.
        hop_samples: samples between the starts of windows.
        max_windows: the most windows of one recording.
    """

    rate_hz: float
    window_samples: int
    hop_samples: int
    max_windows: int

    def __post_init__(self) -> None:
        """Refuse windows that cannot be cut."""
        check_windows(
            length=self.window_samples, hop=self.hop_samples, max_windows=self.max_windows
        )

    def __call__(self, signal: Motion) -> dict[str, Tensor]:
        """Preprocess one recording."""
        windows = cut_windows(
            resample_motion(signal, self.rate_hz).samples,
            length=self.window_samples,
            hop=self.hop_samples,
            max_windows=self.max_windows,
            slack=round(_SLACK_SHARE * self.window_samples),
            pad="edge",
        )
        values = np.ascontiguousarray(windows.samples.transpose(0, 2, 1))
        present = torch.from_numpy(signal.present).expand(len(values), -1).clone()
        return {
            "values": torch.from_numpy(values),
            "present": present,
            "num_real": torch.from_numpy(windows.num_real),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPatches:
    """Reads one layer of an `ImuTransformerModel` as `[W, F, D_enc]`."""

    layer: int | None

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the patches of windows."""
        output = model(**tensors, output_hidden_states=True)
        mask = model.patch_mask(tensors["num_real"])
        return WindowStates(values=hidden_layer(output, self.layer), mask=mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPositions:
    """Reads the GRU outputs of an `Imu2ClipModel` as `[W, F, D_enc]`."""

    def __call__(self, model: Any, tensors: Mapping[str, Tensor]) -> WindowStates:
        """Read the positions of windows."""
        mask = model.position_mask(tensors["num_real"])
        output = model(values=tensors["values"], present=tensors["present"])
        return WindowStates(values=output.last_hidden_state, mask=mask)


def build_imu_transformer(
    path: str,
    *,
    layer: int | None = None,
    rate_hz: float | None = None,
    window_s: float | None = None,
    hop_s: float | None = None,
    max_windows: int = 16,
) -> FrozenEncoder:
    """A motion encoder on a folder saved by `ImuTransformerModel.save_pretrained`.

    Args:
        path: a local folder or a Hub id.
        layer: index into the model's `hidden_states`; None is the last, normalised.
        rate_hz: the model's sampling rate; None takes the checkpoint's, others are refused.
        window_s: the model's window; None takes the checkpoint's, others are refused.
        hop_s: seconds between the starts of windows; None means no overlap.
        max_windows: the most windows of one recording.

    Returns:
        The frozen encoder.

    Raises:
        EncoderError: if an option does not fit the checkpoint.
    """
    model: Any = load_checkpoint(ImuTransformerModel, path).model
    check_layer(layer, model.config.num_hidden_layers + 1)
    preprocessor = _preprocessor(model.config, rate_hz, window_s, hop_s, max_windows)
    return FrozenEncoder(
        kind="imu_transformer",
        model=model,
        preprocessor=preprocessor,
        read=ReadPatches(layer=layer),
        width=model.config.hidden_size,
        layout=StartsLayout(starts=model.config.patch_starts),
        times=_times(preprocessor, model.config.patch_starts, length=model.config.patch_size),
    )


def build_imu2clip(
    path: str,
    *,
    rate_hz: float | None = None,
    window_s: float | None = None,
    hop_s: float | None = None,
    max_windows: int = 16,
) -> FrozenEncoder:
    """A motion encoder on a folder saved by `Imu2ClipModel.save_pretrained`.

    The options are those of `build_imu_transformer`, without `layer`.
    """
    model: Any = load_checkpoint(Imu2ClipModel, path).model
    preprocessor = _preprocessor(model.config, rate_hz, window_s, hop_s, max_windows)
    starts = model.config.position_starts
    stride = starts[1] if len(starts) > 1 else preprocessor.window_samples
    return FrozenEncoder(
        kind="imu2clip",
        model=model,
        preprocessor=preprocessor,
        read=ReadPositions(),
        width=model.config.hidden_size,
        layout=StartsLayout(starts=starts),
        times=_times(preprocessor, starts, length=stride),
    )


def _preprocessor(
    config: Any,
    rate_hz: float | None,
    window_s: float | None,
    hop_s: float | None,
    max_windows: int,
) -> MotionPreprocessor:
    """The preprocessor of a checkpoint, after checking that the options fit it."""
    own_window_s = config.window_samples / config.rate_hz
    if rate_hz is not None and rate_hz != config.rate_hz:
        raise EncoderError(
            f"rate_hz={rate_hz}, but the checkpoint was trained at {config.rate_hz} Hz; recordings "
            "of any rate are resampled to it, so leave the option out"
        )
    if window_s is not None and round(window_s * config.rate_hz) != config.window_samples:
        raise EncoderError(
            f"window_s={window_s}, but the checkpoint was trained on windows of {own_window_s} s; "
            "leave the option out, or choose hop_s"
        )
    return MotionPreprocessor(
        rate_hz=config.rate_hz,
        window_samples=config.window_samples,
        hop_samples=round((own_window_s if hop_s is None else hop_s) * config.rate_hz),
        max_windows=max_windows,
    )


def _times(preprocessor: MotionPreprocessor, starts: Sequence[int], *, length: int) -> WindowTimes:
    """When features are seen that begin at some samples and cover as many each."""
    rate_hz = preprocessor.rate_hz
    return WindowTimes(
        middles_s=[(start + length / 2) / rate_hz for start in starts],
        window_s=preprocessor.window_samples / rate_hz,
        hop_s=preprocessor.hop_samples / rate_hz,
        slack_s=round(_SLACK_SHARE * preprocessor.window_samples) / rate_hz,
        real=RealFrom(starts=starts),
    )


def _unloaded_transformer(config: Any, options: Mapping[str, Any]) -> Unloaded:
    return _unloaded(ImuTransformerModel(config), ReadPatches(layer=options["layer"]), options)


def _unloaded_imu2clip(config: Any, options: Mapping[str, Any]) -> Unloaded:
    return _unloaded(Imu2ClipModel(config), ReadPositions(), options)


def _unloaded(model: Any, read: Read, options: Mapping[str, Any]) -> Unloaded:
    """A model over one window of motion."""
    window = {
        "values": torch.zeros(1, 6, model.config.window_samples),
        "present": torch.ones(1, 6, dtype=torch.bool),
        "num_real": torch.ones(1, dtype=torch.int64),
    }
    return Unloaded(model=model, read=read, window=window, num_windows=options["max_windows"])


def _save_transformer(config: Any, folder: Path) -> nn.Module:
    return _saved(ImuTransformerModel(config), folder)


def _save_imu2clip(config: Any, folder: Path) -> nn.Module:
    return _saved(Imu2ClipModel(config), folder)


def _saved(model: Any, folder: Path) -> nn.Module:
    """The model, after writing it; it needs no processor."""
    model.save_pretrained(folder)
    saved: nn.Module = model
    return saved


IMU_TRANSFORMER = EncoderKind(
    build=build_imu_transformer,
    unloaded=_unloaded_transformer,
    usual_config=ImuTransformerConfig,
    save_random=_save_transformer,
    read_config=ImuTransformerConfig.from_pretrained,
)
IMU2CLIP = EncoderKind(
    build=build_imu2clip,
    unloaded=_unloaded_imu2clip,
    usual_config=Imu2ClipConfig,
    save_random=_save_imu2clip,
    read_config=Imu2ClipConfig.from_pretrained,
)
