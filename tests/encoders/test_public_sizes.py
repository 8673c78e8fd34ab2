"""The public checkpoints that recipes name: their real sizes, built without memory or network.

Numbers of parameters are the published ones where a source is named; widths and token counts are
those that recipes and their documentation rely on.
"""

from typing import Any

import pytest

from anymal.recipe.known_configs import config_of, known_ids
from encoders.outline import outline

CLIP_L = "openai/clip-vit-large-patch14-336"
CLIP_G = "laion/CLIP-ViT-g-14-laion2B-s12B-b42K"
# kind, id, options, parameters, width, features of the longest item, its windows
CASES: list[tuple[str, str, dict[str, Any], int, int, int, int]] = [
    ("vision", CLIP_L, {}, 303507456, 1024, 24 * 24, 1),
    ("vision", "openai/clip-vit-large-patch14", {}, 303179776, 1024, 16 * 16, 1),
    ("vision", CLIP_G, {}, 1011203840, 1408, 16 * 16, 1),
    ("frames", CLIP_L, {"num_frames": 8, "pool": 8}, 303507456, 1024, 8 * 8 * 8, 8),
    ("frames", CLIP_G, {"num_frames": 4}, 1011203840, 1408, 4 * 16 * 16, 4),
    ("x_clip", "microsoft/xclip-base-patch32", {}, 122909952, 768, 8 * 7 * 7, 1),
    ("x_clip", "microsoft/xclip-large-patch14", {}, 429180928, 1024, 8 * 16 * 16, 1),
    ("videomae", "MCG-NJU/videomae-large", {}, 303860736, 1024, 8 * 14 * 14, 1),
    ("vjepa2", "facebook/vjepa2-vitl-fpc64-256", {}, 303885312, 1024, 32 * 16 * 16, 1),
    ("vjepa2", "facebook/vjepa2-vitl-fpc64-256", {"num_frames": 16}, 303885312, 1024, 2048, 1),
    ("clap", "laion/clap-htsat-fused", {"max_windows": 4}, 27549128, 768, 4 * 2 * 32, 4),
    ("clap", "laion/clap-htsat-unfused", {}, 27534488, 768, 8 * 2 * 32, 8),
    ("whisper", "openai/whisper-large-v3", {"max_windows": 1}, 636968960, 1280, 1500, 1),
    ("whisper", "openai/whisper-base", {"max_windows": 1}, 20590592, 512, 1500, 1),
    ("vision", "google/siglip2-base-patch16-224", {}, 92884224, 768, 14 * 14, 1),
    ("imagebind_vision", "imagebind_huge.pth", {}, 632829440, 1280, 1 + 16 * 16, 1),
    ("imagebind_audio", "imagebind_huge.pth", {}, 86235648, 768, 3 * (1 + 12 * 19), 3),
    ("imagebind_imu", "imagebind_huge.pth", {"max_windows": 8}, 19600384, 512, 8 * 251, 8),
    ("imagebind_imu", "imagebind_huge.pth", {"pooled": True}, 19600384, 1024, 16, 16),
]
# The first of each kind runs every time.
PARAMS = [
    pytest.param(
        *case,
        id="-".join([case[0], case[1], *case[2]]),
        marks=[pytest.mark.slow] * any(case[0] == before[0] for before in CASES[:number]),
    )
    for number, case in enumerate(CASES)
]


@pytest.mark.parametrize(
    ("kind", "name", "options", "num_parameters", "width", "num_features", "num_windows"),
    PARAMS,
)
def test_real_sizes(
    kind: str,
    name: str,
    options: dict[str, Any],
    num_parameters: int,
    width: int,
    num_features: int,
    num_windows: int,
) -> None:
    config = None if kind.startswith("imagebind_") else config_of(name)
    found = outline(kind, config, name, **options)
    # Versions of transformers differ in a bias: of VideoMAE's keys, 24,576 weights.
    assert found.num_parameters == pytest.approx(num_parameters, rel=1e-4)
    assert (found.width, found.num_features) == (width, num_features)
    assert (found.num_windows, found.layout.views) == (num_windows, num_windows)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        (CLIP_L, 304.29),
        pytest.param("openai/clip-vit-large-patch14", 303.97, marks=pytest.mark.slow),
        pytest.param(CLIP_G, 1012.65, marks=pytest.mark.slow),
    ],
)
def test_clip_towers_are_as_large_as_open_clip_says(name: str, millions: float) -> None:
    """The image column of `model_profile.csv` in open_clip's documentation, projection included."""
    config: Any = config_of(name)
    tower = outline("vision", config, name).num_parameters
    projection = config.vision_config.hidden_size * config.projection_dim
    assert (tower + projection) / 1e6 == pytest.approx(millions, abs=0.005)


def test_every_known_encoder_is_checked_here() -> None:
    language_models = ("meta-llama/", "lmsys/", "HuggingFaceTB/SmolLM2")
    encoders = {name for name in known_ids() if not name.startswith(language_models)}
    assert encoders == {name for _, name, *_ in CASES if "/" in name}
