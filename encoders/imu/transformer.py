"""A patch transformer over six-axis motion, as a transformers model that can be trained and saved.

Does not cut windows and does not freeze itself; see `imu.py` for the encoder around it.

Shapes: W windows, T samples per window, F patches, D_enc width.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

NUM_CHANNELS = 6


class ImuTransformerConfig(PretrainedConfig):  # type: ignore[no-untyped-call]  # its hook
    """Sizes and constants of an `ImuTransformerModel`.

    Args:
        rate_hz: sampling rate the model expects.
        window_samples: samples per window; fixes the number of learned positions.
        patch_size: samples per patch.
        patch_stride: samples between patches; None means `patch_size`.
        stem_layers: convolutions at full rate before the patches.
        stem_kernel_size: samples a stem convolution sees; odd.
        hidden_size: `D_enc`.
        num_hidden_layers: transformer blocks.
        num_attention_heads: heads of a block.
        intermediate_size: width inside a block's MLP.
        dropout: probability, in training only.
        layer_norm_eps: of every layer norm.
        acceleration_scale: m/s2 that become 1.
        rotation_scale: rad/s that become 1.
        initializer_range: standard deviation of initial weights.
        kwargs: settings every transformers configuration has.
    """

    model_type = "anymal_imu_transformer"

    def __init__(
        self,
        *,
        rate_hz: float = 50.0,
        window_samples: int = 128,
        patch_size: int = 8,
        patch_stride: int | None = None,
        stem_layers: int = 0,
        stem_kernel_size: int = 5,
        hidden_size: int = 128,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        dropout: float = 0.0,
        layer_norm_eps: float = 1e-5,
        acceleration_scale: float = 9.81,
        rotation_scale: float = 1.0,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.rate_hz = rate_hz
        self.window_samples = window_samples
        self.patch_size = patch_size
        self.patch_stride = patch_size if patch_stride is None else patch_stride
        self.stem_layers = stem_layers
        self.stem_kernel_size = stem_kernel_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.dropout = dropout
        self.layer_norm_eps = layer_norm_eps
        self.acceleration_scale = acceleration_scale
        self.rotation_scale = rotation_scale
        self.initializer_range = initializer_range
        super().__init__(**kwargs)

    @property
    def num_patches(self) -> int:
        """Patches of a full window."""
        return (self.window_samples - self.patch_size) // self.patch_stride + 1

    @property
    def patch_starts(self) -> list[int]:
        """The sample at which each patch of a window begins."""
        return [number * self.patch_stride for number in range(self.num_patches)]


class ImuTransformerModel(PreTrainedModel):  # type: ignore[no-untyped-call]  # its hook
    """Strided patches with learned positions through pre-norm transformer blocks."""

    config_class = ImuTransformerConfig
    main_input_name = "values"

    def __init__(self, config: ImuTransformerConfig) -> None:
        super().__init__(config)
        scale = [config.acceleration_scale] * 3 + [config.rotation_scale] * 3
        self.scale = scale
        width = config.hidden_size
        stem: list[nn.Module] = []
        for index in range(config.stem_layers):
            channels = NUM_CHANNELS if index == 0 else width
            padding = config.stem_kernel_size // 2
            stem += [
                nn.Conv1d(channels, width, config.stem_kernel_size, padding=padding),
                nn.GELU(),
            ]
        self.stem = nn.Sequential(*stem)
        channels = width if stem else NUM_CHANNELS
        self.patches = nn.Conv1d(channels, width, config.patch_size, stride=config.patch_stride)
        self.positions = nn.Parameter(torch.zeros(config.num_patches, width))
        self.missing = nn.Parameter(torch.zeros(NUM_CHANNELS, width))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise one module; loaded weights are put in place afterwards."""
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, nn.Conv1d):
            # Keep the variance of the signal: 0.02 would drown it in the positions.
            fan_in = module.weight[0].numel()
            init.normal_(module.weight, std=fan_in**-0.5)
        if module is self:
            init.normal_(self.positions, std=self.config.initializer_range)
            init.normal_(self.missing, std=self.config.initializer_range)

    def forward(
        self,
        values: Tensor,
        present: Tensor | None = None,
        num_real: Tensor | None = None,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Encode windows of motion.

        Args:
            values: `[W, 6, T]` acceleration in m/s2, then rotation in rad/s; T is `window_samples`.
            present: `[W, 6]` bool, channels the sensor has; None means all.
            num_real: `[W]` int64, recorded samples, padding follows; None means all.
            output_hidden_states: also return the state before each block.
            kwargs: ignored; transformers passes some.

        Returns:
            `last_hidden_state` `[W, F, D_enc]`, and `hidden_states` if asked.
        """
        scaled = values / values.new_tensor(self.scale)[:, None]
        if present is not None:
            scaled = scaled * present[..., None]
        hidden = self.patches(self.stem(scaled)).transpose(1, 2)  # [W, F, D_enc]
        hidden = hidden + self.positions
        if present is not None:
            hidden = hidden + ((~present).to(hidden.dtype) @ self.missing)[:, None]
        hidden = self.dropout(hidden)
        mask = None if num_real is None else self.patch_mask(num_real)[:, None, None]
        states = []
        for block in self.blocks:
            states.append(hidden)
            hidden = block(hidden, mask)
        hidden = self.norm(hidden)
        hidden_states = (*states, hidden) if output_hidden_states else None
        return BaseModelOutput(last_hidden_state=hidden, hidden_states=hidden_states)

    def patch_mask(self, num_real: Tensor) -> Tensor:
        """Which patches of a window hold recorded samples.

        Args:
            num_real: `[W]` int64 recorded samples.

        Returns:
            `[W, F]` bool, at least one True in each row.
        """
        config = cast(ImuTransformerConfig, self.config)
        starts = torch.tensor(config.patch_starts, device=num_real.device)
        return starts < num_real[:, None]


class _Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, config: ImuTransformerConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.attention_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mlp_in = nn.Linear(width, config.intermediate_size)
        self.mlp_out = nn.Linear(config.intermediate_size, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """`[W, F, D_enc]` to the same shape; `mask` `[W, 1, 1, F]` bool."""
        heads = self.query_key_value(self.attention_norm(hidden))
        heads = heads.unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads  # each [W, heads, F, D_enc / heads]
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        attended = self.attention_out(attended.transpose(1, 2).flatten(2))
        hidden = hidden + self.dropout(attended)
        inner = F.gelu(self.mlp_in(self.mlp_norm(hidden)))
        return hidden.add(self.dropout(self.mlp_out(inner)))
