"""ImageBind's checkpoint is loaded by name, strictly, without running anything in it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file, save_file

from encoders.base import EncoderError
from encoders.imagebind import checkpoint as module
from encoders.imagebind.checkpoint import load_trunk
from encoders.imagebind.trunk import TrunkName
from encoders.registry import build_encoder

Find = Callable[[str], str]


def rewritten(path: str, folder: Path, **changes: Any) -> Path:
    """The checkpoint as a `.pth` file with tensors replaced, or left out where None."""
    tensors = {**load_file(Path(path, "model.safetensors")), **changes}
    folder.mkdir(exist_ok=True)
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    torch.save(kept, folder / "imagebind_huge.pth")
    (folder / "config.json").write_text(Path(path, "config.json").read_text())
    return folder


def test_a_pth_file_and_a_safetensors_file_give_the_same_encoder(
    checkpoint: Find, tmp_path: Path
) -> None:
    path = checkpoint("imagebind")
    folder = rewritten(path, tmp_path)
    ours, theirs = (build_encoder("imagebind_imu", str(p)) for p in (path, folder))
    assert ours.fingerprint == theirs.fingerprint


def test_tensors_of_half_precision_are_read_in_float32(checkpoint: Find, tmp_path: Path) -> None:
    path = checkpoint("imagebind")
    half = {name: t.half() for name, t in load_file(Path(path, "model.safetensors")).items()}
    trunk = load_trunk(str(rewritten(path, tmp_path, **half)), "audio")
    assert {tensor.dtype for tensor in trunk.state_dict().values()} == {torch.float32}


CLS = "modality_preprocessors.imu.cls_token"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({CLS: None}, rf"lacks 1 tensors of ImageBind's imu trunk: {CLS}"),
        (
            {"modality_trunks.imu.blocks.2.norm_1.bias": torch.zeros(16)},
            r"has unexpected 1 tensors .*: modality_trunks.imu.blocks.2.norm_1.bias",
        ),
        ({"epoch": torch.zeros(1)}, "has unexpected 1 tensors .*: epoch"),
        ({CLS: torch.zeros(1, 1, 8)}, rf"'{CLS}' has shape \(1, 1, 8\), expected \(1, 1, 16\)"),
    ],
)
def test_anything_but_the_published_names_is_refused(
    checkpoint: Find, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = rewritten(checkpoint("imagebind"), tmp_path, **changes)
    with pytest.raises(EncoderError, match=message):
        load_trunk(str(folder), "imu")


def test_other_trunks_of_the_file_are_not_looked_at(checkpoint: Find, tmp_path: Path) -> None:
    text = {"modality_trunks.text.blocks.0.norm_1.bias": torch.zeros(16)}
    folder = rewritten(checkpoint("imagebind"), tmp_path, **text, **{CLS: None})
    assert load_trunk(str(folder), "vision").name == "vision"


def test_what_is_no_checkpoint_is_refused(checkpoint: Find, tmp_path: Path) -> None:
    for path in ("not/there.pth", str(tmp_path)):
        with pytest.raises(EncoderError, match=r"neither ImageBind's imagebind_huge.pth"):
            build_encoder("imagebind_audio", path)
    for name, content in (("a.pth", b"no archive"), ("b.safetensors", b"no header")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EncoderError, match="is no checkpoint of tensors alone"):
            load_trunk(str(tmp_path / name), "imu")
    torch.save({"model": {"cls": torch.zeros(1)}}, tmp_path / "a.pth")
    with pytest.raises(EncoderError, match="is no checkpoint of tensors alone; give one by name"):
        load_trunk(str(tmp_path / "a.pth"), "imu")
    with pytest.raises(EncoderError, match="neither ImageBind's"):  # two files: which one?
        load_trunk(str(tmp_path), "imu")


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"x": Path("harmless")}, tmp_path / "a.pth")
    with pytest.raises(EncoderError, match="is no checkpoint of tensors alone"):
        load_trunk(str(tmp_path / "a.pth"), "imu")


def test_sizes_are_the_published_ones_unless_the_folder_says_so(
    checkpoint: Find, tmp_path: Path
) -> None:
    file = Path(checkpoint("imagebind"), "model.safetensors")
    with pytest.raises(EncoderError, match=r"lacks .* tensors of ImageBind's imu trunk"):
        load_trunk(str(file), "imu")  # a file alone: 6 blocks are expected, 2 are there
    save_file(load_file(file), tmp_path / "model.safetensors")
    sizes = json.loads(file.with_name("config.json").read_text())
    for wrong in ({}, sizes | {"imu": {"hidden_size": 16, "depth": 2}}):
        (tmp_path / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(EncoderError, match="does not hold an ImageBindShape"):
            load_trunk(str(tmp_path), "imu")


def test_the_licence_is_shown_once(checkpoint: Find, caplog: pytest.LogCaptureFixture) -> None:
    module._show_licence.cache_clear()
    with caplog.at_level(logging.WARNING, logger="encoders"):
        for name in get_args(TrunkName):
            load_trunk(checkpoint("imagebind"), name)
    notices = [record.message for record in caplog.records if "CC BY-NC-SA 4.0" in record.message]
    assert len(notices) == 1
