"""ViP-LLaVA: layers joined in width, a norm, then LLaVA's projection, as its class computes."""

from pathlib import Path

import pytest

from anymal.errors import BundleError
from tests.systems.agreement import check_served, imported
from tests.systems.checkpoints import save_llava
from tests.systems.seeing_checkpoints import save_vipllava


def test_it_is_served_as_its_class_generates(tmp_path: Path) -> None:
    folder = save_vipllava(tmp_path / "vipllava")
    imported(folder, tmp_path / "bundle")
    check_served(folder, tmp_path / "bundle")


@pytest.mark.slow
def test_one_layer(tmp_path: Path) -> None:
    imported(save_vipllava(tmp_path / "one", vision_feature_layers=-2), tmp_path / "bundle")


@pytest.mark.slow
def test_llava_may_read_several_layers_too(tmp_path: Path) -> None:
    imported(save_llava(tmp_path / "llava", vision_feature_layer=[-2, -1]), tmp_path / "bundle")


def test_a_norm_that_no_projection_has_is_refused(tmp_path: Path) -> None:
    folder = save_vipllava(tmp_path / "vipllava", projector_layernorm_eps=1e-3)
    with pytest.raises(BundleError, match=r"projector_layernorm_eps is 0\.001; a projection has"):
        imported(folder, tmp_path / "bundle")
