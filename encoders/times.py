"""When each real feature of a medium was seen, in seconds from its beginning; told before encoding.

Reads signals and preprocessed tensors; knows no model. The kinds say which numbers are theirs, and
kinds that do not tell have none.

Shapes: W windows, P features per window, N real features of one medium.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor

from encoders.base import LayoutOf
from encoders.signals import Audio, Motion, Video
from encoders.windows import spread

_SLIP = 1e-9  # of a division that ought to be whole


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTimes:
    """The times of a film's frames.

    Attributes:
        num_frames: frames that are chosen.
        layout: of the features of all chosen frames; None where each has `num_features`.
        num_features: of a frame, where there is no layout.
        repeats: whether a film with fewer frames repeats them.
        frames_together: frames that are seen as one; their time is the mean.
    """

    num_frames: int
    layout: LayoutOf | None
    num_features: int = 0
    repeats: bool = False
    frames_together: int = 1

    def __call__(self, signal: Video, tensors: Mapping[str, Tensor]) -> Tensor:
        """Times `[N]` float64."""
        num_frames = self.num_frames if self.repeats else min(self.num_frames, len(signal.frames))
        chosen = np.linspace(0, len(signal.frames) - 1, num_frames).round().astype(np.int64)
        times = torch.from_numpy(signal.times_s[chosen]).view(-1, self.frames_together).mean(dim=1)
        num_features = self.num_features
        if self.layout is not None:
            num_features, rest = divmod(self.layout(tensors).count, len(times))
            assert rest == 0, "frames are seen alike"
        return times.repeat_interleave(num_features)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTimes:
    """The times of a recording's features: where their window begins, and where they stand in it.

    Attributes:
        middles_s: of the P features of a window, from its beginning.
        window_s: length of a window.
        hop_s: seconds between the beginnings of windows.
        slack_s: a last window with no more than this is left out; see `encoders.windows`.
        real: from the tensors to which features are real, `[W, P]` bool.
    """

    middles_s: Sequence[float]
    window_s: float
    hop_s: float
    slack_s: float
    real: Callable[[Mapping[str, Tensor]], Tensor]

    def __call__(self, signal: Audio | Motion, tensors: Mapping[str, Tensor]) -> Tensor:
        """Times `[N]` float64."""
        real = self.real(tensors)
        beyond = (signal.duration_s - self.window_s - self.slack_s) / self.hop_s
        # A long recording keeps windows at even spacing. Resampling may add one or take one away.
        num_windows = max(len(real), 1 + ceil(beyond - _SLIP))
        begins = torch.from_numpy(spread(num_windows, len(real))).double() * self.hop_s
        middles = torch.tensor(self.middles_s, dtype=torch.float64)
        return (begins[:, None] + middles)[real]


@dataclass(frozen=True, slots=True, kw_only=True)
class RealFrom:
    """Real are the features that begin before their window's recording ends.

    Attributes:
        starts: sample or frame at which each of the P features begins.
        length: name of the tensor `[W]` int64 that says how many samples or frames were recorded.
    """

    starts: Sequence[int]
    length: str = "num_real"

    def __call__(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """`[W, P]` bool."""
        return torch.tensor(self.starts) < tensors[self.length][:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RealGrid:
    """Real are the columns of a grid whose first moment is; all rows of a column are alike.

    Attributes:
        columns: of the grid.
        rows: of the grid, which stand next to each other.
        name: of the tensor `[W, P']` bool that says which moments are real.
    """

    columns: int
    rows: int = 1
    name: str = "real"

    def __call__(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """`[W, columns * rows]` bool."""
        real = tensors[self.name]
        starts = torch.arange(self.columns) * real.shape[1] // self.columns
        return real[:, starts].repeat_interleave(self.rows, dim=1)
