"""The IMU2CLIP stack of convolutions and a GRU over six-axis motion, as a transformers model.

Returns the GRU's output at every position, where the paper keeps only the last. Trains and saves
like any transformers model; does not cut windows. After "IMU2CLIP" (Moon et al., 2022), section 3.

Shapes: W windows, T samples per window, F positions, D_enc width.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

NUM_CHANNELS = 6


class Imu2ClipConfig(PretrainedConfig):  # type: ignore[no-untyped-call]  # its hook
    """Sizes of an `Imu2ClipModel`; the defaults are the paper's, 5 s at 200 Hz.

    Args:
        rate_hz: sampling rate the model expects.
        window_samples: samples per window.
        kernel_sizes: one convolution each.
        dilation: of every convolution.
        pool_size: of the max pooling after every convolution.
        conv_size: channels of the convolutions.
        num_groups: groups of the norm before the GRU.
        hidden_size: `D_enc`, the GRU's width.
        initializer_range: standard deviation of initial weights.
        kwargs: settings every transformers configuration has.
    """

    model_type = "anymal_imu2clip"

    def __init__(
        self,
        *,
        rate_hz: float = 200.0,
        window_samples: int = 1000,
        kernel_sizes: Sequence[int] = (10, 5, 5),
        dilation: int = 2,
        pool_size: int = 3,
        conv_size: int = 32,
        num_groups: int = 4,
        hidden_size: int = 512,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.rate_hz = rate_hz
        self.window_samples = window_samples
        self.kernel_sizes = list(kernel_sizes)
        self.dilation = dilation
        self.pool_size = pool_size
        self.conv_size = conv_size
        self.num_groups = num_groups
        self.hidden_size = hidden_size
        self.initializer_range = initializer_range
        super().__init__(**kwargs)

    @property
    def num_positions(self) -> int:
        """Positions that a full window leaves after convolutions and pooling."""
        length = self.window_samples
        for kernel_size in self.kernel_sizes:
            length = (length - (kernel_size - 1) * self.dilation) // self.pool_size
        return length

    @property
    def position_starts(self) -> list[int]:
        """The sample at which each position of a window begins."""
        stride = self.pool_size ** len(self.kernel_sizes)
        return [number * stride for number in range(self.num_positions)]


class Imu2ClipModel(PreTrainedModel):  # type: ignore[no-untyped-call]  # its hook
    """Group norm, convolutions with max pooling, group norm, GRU."""

    config_class = Imu2ClipConfig
    main_input_name = "values"

    def __init__(self, config: Imu2ClipConfig) -> None:
        super().__init__(config)
        if config.num_positions < 1:
            raise ValueError(
                f"a window of {config.window_samples} samples leaves no position after kernels "
                f"{config.kernel_sizes}, dilation {config.dilation} and pooling by "
                f"{config.pool_size}; use a longer window or smaller kernels or pooling"
            )
        # Two groups: acceleration and rotation are normalised each by itself.
        self.input_norm = nn.GroupNorm(2, NUM_CHANNELS)
        channels = [NUM_CHANNELS] + [config.conv_size] * len(config.kernel_sizes)
        layers: list[nn.Module] = []
        for index, kernel_size in enumerate(config.kernel_sizes):
            layers += [
                nn.Conv1d(
                    channels[index],
                    channels[index + 1],
                    kernel_size,
                    dilation=config.dilation,
                    bias=False,
                ),
                nn.MaxPool1d(config.pool_size),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.output_norm = nn.GroupNorm(config.num_groups, config.conv_size)
        self.gru = nn.GRU(config.conv_size, config.hidden_size, batch_first=True)
        self.post_init()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise one module; loaded weights are put in place afterwards."""
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, nn.Conv1d):
            fan_in = module.weight[0].numel()
            init.normal_(module.weight, std=fan_in**-0.5)

    def forward(
        self, values: Tensor, present: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutput:
        """Encode windows of motion.

        Args:
            values: `[W, 6, T]` acceleration in m/s2, then rotation in rad/s.
            present: `[W, 6]` bool, channels the sensor has; the others are read as zero.
            kwargs: ignored; transformers passes some.

        Returns:
            `last_hidden_state` `[W, F, D_enc]`.
        """
        if present is not None:
            values = values * present[..., None]
        hidden = self.output_norm(self.convolutions(self.input_norm(values)))
        # NOTE: time is the sequence here. The published code hands the GRU channels as time, which
        # runs only where there happen to be as many positions as channels.
        states, _ = self.gru(hidden.transpose(1, 2))
        return BaseModelOutput(last_hidden_state=states)

    def position_mask(self, num_real: Tensor) -> Tensor:
        """Which positions of a window begin in recorded samples.

        Args:
            num_real: `[W]` int64 recorded samples.

        Returns:
            `[W, F]` bool, at least one True in each row.
        """
        config = cast(Imu2ClipConfig, self.config)
        starts = torch.tensor(config.position_starts, device=num_real.device)
        return starts < num_real[:, None]
