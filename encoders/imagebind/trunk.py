"""The vision, audio and IMU trunks of ImageBind, our own modules for the published weights.

After "ImageBind: One Embedding Space To Bind Them All" (Girdhar et al., 2023, arXiv 2305.05665),
section 3 and appendix B. Loads nothing and preprocesses nothing.

Shapes: W windows, P patches, F = P + 1 tokens (the class token first), D_enc trunk width, D_out
width of the common space.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

TrunkName = Literal["vision", "audio", "imu"]

IMAGE_SIZE, VISION_PATCH, NUM_FRAMES = 224, 14, 2
NUM_MELS, NUM_MEL_FRAMES = 128, 204
AUDIO_PATCH, AUDIO_STRIDE = 16, 10
IMU_CHANNELS, IMU_SAMPLES, IMU_PATCH = 6, 2000, 8

_EPS = 1e-6
_LARGEST_SCALE = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkShape:
    """Sizes of one trunk.

    Attributes:
        hidden_size: D_enc, a multiple of `num_heads`.
        num_blocks: transformer blocks.
        num_heads: heads of a block.
    """

    hidden_size: int
    num_blocks: int
    num_heads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBindShape:
    """Sizes of a checkpoint; the defaults are those of `imagebind_huge.pth`.

    Attributes:
        vision: of the trunk for images.
        audio: of the trunk for sound.
        imu: of the trunk for motion.
        out_size: D_out.
    """

    vision: TrunkShape = TrunkShape(hidden_size=1280, num_blocks=32, num_heads=16)
    audio: TrunkShape = TrunkShape(hidden_size=768, num_blocks=12, num_heads=12)
    imu: TrunkShape = TrunkShape(hidden_size=512, num_blocks=6, num_heads=8)
    out_size: int = 1024

    @classmethod
    def tiny(cls) -> "ImageBindShape":
        """Sizes to try things out with; the media are as large as ever."""
        trunk = TrunkShape(hidden_size=16, num_blocks=2, num_heads=2)
        return cls(vision=trunk, audio=trunk, imu=trunk, out_size=8)


class ImageBindTrunk(nn.Module):
    """One trunk with its patches, its head and its place in the common space.

    Args:
        name: which one.
        shape: its sizes, and those of the others.
    """

    log_scale: Tensor

    def __init__(self, name: TrunkName, shape: ImageBindShape) -> None:
        super().__init__()
        sizes: TrunkShape = getattr(shape, name)
        width = sizes.hidden_size
        is_vision = name == "vision"
        self.name = name
        self.config = sizes
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + num_patches(name), width))
        self.stem = _stem(name, width)
        self.stem_norm = nn.Identity() if is_vision else nn.LayerNorm(width)
        self.first_norm = nn.LayerNorm(width, eps=_EPS) if is_vision else nn.Identity()
        self.blocks = nn.ModuleList(
            _Block(sizes, has_bias_token=not is_vision) for _ in range(sizes.num_blocks)
        )
        self.head_norm = nn.LayerNorm(width, eps=_EPS)
        self.projection = nn.Linear(width, shape.out_size, bias=False)
        if not is_vision:  # embeddings of images have length 1, the others this
            length = {"audio": 20.0, "imu": 5.0}[name]
            self.register_buffer("log_scale", torch.tensor(math.log(length)))

    def forward(self, values: Tensor) -> BaseModelOutputWithPooling:
        """Encode windows.

        Args:
            values: `[W, 3, 224, 224]` pictures or `[W, 3, 2, 224, 224]` pairs of frames for
                vision, `[W, 1, 128, 204]` mel bands by frames for audio, `[W, 6, 2000]` for IMU.

        Returns:
            `last_hidden_state` `[W, F, D_enc]`, normalised as the head takes it; `hidden_states`
            before the first block and after each; `pooler_output` `[W, D_out]`, of constant length.
        """
        patches = self.stem_norm(_PATCHES[self.name](self.stem, values))  # [W, P, D_enc]
        hidden = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        hidden = self.first_norm(hidden + self.positions)
        states = [hidden]
        for block in self.blocks:
            hidden = block(hidden)
            states.append(hidden)
        last = self.head_norm(hidden)
        pooled = F.normalize(self.projection(last[:, 0]), dim=-1)
        if self.name != "vision":
            pooled = pooled * self.log_scale.exp().clamp(max=_LARGEST_SCALE)
        return BaseModelOutputWithPooling(
            last_hidden_state=last, pooler_output=pooled, hidden_states=tuple(states)
        )


class _Block(nn.Module):
    """One pre-norm block; its parts are named as in the checkpoint."""

    def __init__(self, sizes: TrunkShape, *, has_bias_token: bool) -> None:
        super().__init__()
        width = sizes.hidden_size
        self.attn = nn.MultiheadAttention(
            width, sizes.num_heads, add_bias_kv=has_bias_token, batch_first=True
        )
        self.norm_1 = nn.LayerNorm(width, eps=_EPS)
        inner: list[tuple[str, nn.Module]] = [
            ("fc1", nn.Linear(width, 4 * width)),
            ("act", nn.GELU()),
            ("fc2", nn.Linear(4 * width, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(inner))
        self.norm_2 = nn.LayerNorm(width, eps=_EPS)

    def forward(self, hidden: Tensor) -> Tensor:
        """`[W, F, D_enc]` to the same shape."""
        normed = self.norm_1(hidden)
        hidden = hidden + self.attn(normed, normed, normed, need_weights=False)[0]
        mixed: Tensor = self.mlp(self.norm_2(hidden))
        return hidden + mixed


def num_patches(name: TrunkName) -> int:
    """P, patches of one window."""
    if name == "vision":
        return (IMAGE_SIZE // VISION_PATCH) ** 2
    if name == "audio":
        return _num_steps(NUM_MELS) * _num_steps(NUM_MEL_FRAMES)
    return IMU_SAMPLES // IMU_PATCH


def patch_starts(name: TrunkName) -> list[int]:
    """The mel frame (audio) or sample (IMU) at which each patch begins, P of them."""
    if name == "audio":  # band by band
        return [step * AUDIO_STRIDE for step in range(_num_steps(NUM_MEL_FRAMES))] * _num_steps(
            NUM_MELS
        )
    return list(range(0, IMU_SAMPLES, IMU_PATCH))


def _num_steps(size: int) -> int:
    """Patches of sound along one side, overlapping."""
    return (size - AUDIO_PATCH) // AUDIO_STRIDE + 1


def _stem(name: TrunkName, width: int) -> nn.Module:
    """From a patch to its token."""
    if name == "vision":
        size = (NUM_FRAMES, VISION_PATCH, VISION_PATCH)
        return nn.Conv3d(3, width, size, stride=size, bias=False)
    if name == "audio":
        return nn.Conv2d(1, width, AUDIO_PATCH, stride=AUDIO_STRIDE, bias=False)
    return nn.Linear(IMU_CHANNELS * IMU_PATCH, width, bias=False)


def _vision_patches(stem: nn.Module, values: Tensor) -> Tensor:
    """Patches of a film of two frames; a picture is shown twice."""
    if values.ndim == 4:
        values = values[:, :, None].expand(-1, -1, NUM_FRAMES, -1, -1)
    patches: Tensor = stem(values).flatten(2).transpose(1, 2)
    return patches


def _audio_patches(stem: nn.Module, values: Tensor) -> Tensor:
    """Patches of a spectrogram, band by band."""
    patches: Tensor = stem(values).flatten(2).transpose(1, 2)
    return patches


def _imu_patches(stem: nn.Module, values: Tensor) -> Tensor:
    """Stretches of all channels, one channel after the other."""
    stretches = values.unfold(2, IMU_PATCH, IMU_PATCH)  # [W, 6, P, 8]
    patches: Tensor = stem(stretches.transpose(1, 2).flatten(2))
    return patches


_PATCHES: dict[str, Any] = {
    "vision": _vision_patches,
    "audio": _audio_patches,
    "imu": _imu_patches,
}
