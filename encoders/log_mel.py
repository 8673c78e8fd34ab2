"""Sound as the scaled log-mel spectrograms that Whisper and the encoders made from it read.

Cuts a recording into windows and says which positions hold sound. Runs no model.

Shapes: N samples, W windows, T mel frames of a window, K mel bands, P positions, F features per
window.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from encoders.base import EncoderError
from encoders.mel import MelOptions, mel_power
from encoders.resample import resample_audio
from encoders.signals import Audio
from encoders.times import RealGrid, WindowTimes
from encoders.windows import SOUND_SLACK_S, check_windows, cut_windows, spread

# The encoders' second convolution halves the frames.
FRAMES_PER_POSITION = 2
# The frames of a long recording would together take twenty times its samples.
_FRAMES_AT_ONCE = 3000

Silence = Literal["masked", "kept"]
Spectrogram = Literal["recording", "bare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperPreprocessor:
    """From an `Audio` to log-mel windows `input_features` `[W, K, T]` and `real` `[W, F]` bool.

    With `silence: masked` also `heard` `[W, P]` bool, the positions that hold sound.

    Attributes:
        mel: the checkpoint's mel flavour.
        chunk_samples: samples the encoder sees at once.
        window_samples: samples of sound per window; the rest of the chunk is silence.
        max_windows: the most windows of one recording.
        silence: what becomes of it: None, the encoder hears it, and its features are left out;
            `masked`, the encoder does not hear it either; `kept`, its features count as sound.
        spectrogram: None, of each window alone, followed by silence; `recording`, of the whole
            recording followed by silence; `bare`, of the whole recording, followed by zeros.
        average: positions that the encoder averages to one feature; None is 1.
        group: each window's features are filled up with zeros to a multiple of this; None is 1.
    """

    mel: MelOptions
    chunk_samples: int
    window_samples: int
    max_windows: int
    # None leaves the fingerprint as it was before the option.
    silence: Silence | None = None
    spectrogram: Spectrogram | None = None
    average: int | None = None
    group: int | None = None

    def __post_init__(self) -> None:
        """Refuse windows that cannot be cut."""
        check_windows(
            length=self.window_samples, hop=self.window_samples, max_windows=self.max_windows
        )
        _check_known("silence", self.silence, get_args(Silence))
        _check_known("spectrogram", self.spectrogram, get_args(Spectrogram))
        if self.group is not None and self.group < 1:
            raise EncoderError(f"group is {self.group}; it must be at least 1")
        if self.group is not None and self.silence is None:
            raise EncoderError(
                "group would be filled up with silence; give silence: masked or kept"
            )
        if self.spectrogram is not None and self.window_samples != self.chunk_samples:
            raise EncoderError(
                f"spectrogram: {self.spectrogram} is cut into the chunks that the encoder sees; "
                "leave window_s out"
            )

    def __call__(self, signal: Audio) -> dict[str, Tensor]:
        """Preprocess one sound."""
        samples = resample_audio(signal, self.mel.rate_hz).samples
        if self.spectrogram is None:
            input_features, num_real = self._each_window(samples)
        else:
            input_features, num_real = self._whole_recording(samples)
        stride = self.mel.hop_length * FRAMES_PER_POSITION
        heard = torch.arange(0, self.chunk_samples, stride) < num_real[:, None]  # [W, P]
        tensors = {"input_features": input_features, "real": self._real(heard)}
        return tensors | ({"heard": heard} if self.silence == "masked" else {})

    def _each_window(self, samples: Any) -> tuple[Tensor, Tensor]:
        """Spectrograms of windows, each with silence behind it, and their samples of sound."""
        windows = cut_windows(
            samples,
            length=self.window_samples,
            hop=self.window_samples,
            max_windows=self.max_windows,
            slack=round(SOUND_SLACK_S * self.mel.rate_hz),
        )
        silence = self.chunk_samples - self.window_samples
        chunks = F.pad(torch.from_numpy(windows.samples), (0, silence))
        return log_mel(chunks, self.mel), torch.from_numpy(windows.num_real)

    def _whole_recording(self, samples: Any) -> tuple[Tensor, Tensor]:
        """Windows of the whole recording's spectrogram, and their samples of sound."""
        num_windows = -(-len(samples) // self.chunk_samples)
        is_bare = self.spectrogram == "bare"
        step = self.mel.hop_length if is_bare else self.chunk_samples
        frames = _scaled(_recording_power(torch.from_numpy(samples), self.mel, step))  # [T, K]
        num_frames = self.chunk_samples // self.mel.hop_length
        frames = F.pad(frames, (0, 0, 0, num_windows * num_frames - len(frames)))
        kept = torch.from_numpy(spread(num_windows, self.max_windows))
        windows = frames.view(num_windows, num_frames, -1)[kept].transpose(1, 2)
        left = len(samples) - kept * self.chunk_samples
        return windows.contiguous(), left.clamp(max=self.chunk_samples)

    def _real(self, heard: Tensor) -> Tensor:
        """Which features of the windows are kept, `[W, F]` bool."""
        real = whole_averages(heard, self.average or 1)
        if self.silence == "kept":
            real = torch.ones_like(real)
        group = self.group or 1
        real = F.pad(real, (0, -real.shape[1] % group))
        groups = real.view(len(real), -1, group).any(dim=2)
        return groups.repeat_interleave(group, dim=1)


def sound_times(
    preprocessor: WhisperPreprocessor, *, columns: int, column_s: float, rows: int = 1
) -> WindowTimes:
    """When the features of a recording are seen.

    Args:
        preprocessor: cuts it into windows.
        columns: moments of a window that have features.
        column_s: seconds that each of them covers.
        rows: features of each moment, which stand next to each other.
    """
    rate_hz, is_whole = preprocessor.mel.rate_hz, preprocessor.spectrogram is not None
    window_s = preprocessor.window_samples / rate_hz
    middles = [(column + 0.5) * column_s for column in range(columns) for _ in range(rows)]
    return WindowTimes(
        middles_s=middles,
        window_s=window_s,
        hop_s=window_s,
        slack_s=0.0 if is_whole else SOUND_SLACK_S,
        real=RealGrid(columns=columns, rows=rows),
    )


def whole_averages(heard: Tensor, size: int) -> Tensor:
    """Which averages of positions are of sound alone; the first counts in any case.

    Args:
        heard: `[W, P]` bool.
        size: positions in one average.

    Returns:
        `[W, P // size]` bool.
    """
    whole = heard[:, size - 1 :: size].clone()
    whole[:, 0] = True
    return whole


def log_mel(windows: Tensor, options: MelOptions) -> Tensor:
    """Whisper's scaled log-mel spectrogram of each window alone.

    Args:
        windows: `[W, N]` float32.
        options: mel flavour.

    Returns:
        `[W, K, T]` float32.
    """
    return _scaled(mel_power(windows, options)[:, :-1].transpose(1, 2)).contiguous()


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


def _scaled(power: Tensor) -> Tensor:
    """The logarithm of power `[..., K, T]`, no more than 80 dB below its loudest, near [-1, 1]."""
    log_power = power.clamp(min=1e-10).log10()
    loudest = log_power.amax(dim=(-2, -1), keepdim=True)
    return (torch.maximum(log_power, loudest - 8.0) + 4.0) / 4.0


def _recording_power(samples: Tensor, options: MelOptions, step: int) -> Tensor:
    """The power in each mel band of `[N]` samples, filled up with silence to whole steps.

    Returns:
        `[T, K]` float32.
    """
    length = max(-(-len(samples) // step) * step, 2 * options.hop_length)
    half = options.frame_length // 2
    silent = F.pad(samples, (0, length - len(samples)))
    padded = F.pad(silent[None, None], (half, half), mode="reflect")[0, 0]
    uncentered = replace(options, is_centered=False)
    num_frames = length // options.hop_length
    pieces = []
    for first in range(0, num_frames, _FRAMES_AT_ONCE):
        last = min(first + _FRAMES_AT_ONCE, num_frames) - 1
        end = last * options.hop_length + options.frame_length
        piece = padded[first * options.hop_length : end]
        pieces.append(mel_power(piece[None], uncentered)[0])
    return torch.cat(pieces)


def _check_known(name: str, given: str | None, known: Sequence[str]) -> None:
    if given is not None and given not in known:
        raise EncoderError(f"unknown {name} {given!r}; known: {', '.join(known)}, or null")
