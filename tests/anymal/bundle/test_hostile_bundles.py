"""Bundles of strangers: whatever reaches beyond the folder is refused."""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
from typer.testing import CliRunner

from anymal.bundle.load import describe
from anymal.bundle.parts import NOTHING_ELSE, Reach
from anymal.cli.main import app
from anymal.errors import BundleError
from anymal.serving.precision import load_to_answer

if TYPE_CHECKING:
    pass

from tests.anymal.bundle.strangers import edit, refusal

# --- paths ----------------------------------------------------------------------------------------


def test_a_whole_bundle_loads_without_anything_else(bundle: Path) -> None:
    assert load_to_answer(bundle).model


@pytest.mark.parametrize(
    "path",
    [
        "bundle:../../outside",
        "bundle:../../../../etc",
        "bundle:/etc",
        "bundle:llm/../../../outside",
    ],
)
@pytest.mark.parametrize(
    "keys", [("recipe", "llm", "path"), ("recipe", "modalities", "image", "encoder", "path")]
)
def test_a_path_that_leads_out_is_refused(bundle: Path, path: str, keys: tuple[str, ...]) -> None:
    edit(bundle / "bundle.json", *keys, to=path)
    assert "leads out of the bundle" in refusal(bundle)
    with pytest.raises(BundleError, match="leads out"):
        describe(bundle)


def test_an_absolute_path_takes_permission(bundle: Path, tmp_path: Path) -> None:
    for keys in (("recipe", "llm", "path"), ("llm", "path")):
        edit(bundle / "bundle.json", *keys, to=str(tmp_path / "outside"))
    assert "--local-models" in refusal(bundle, reach=NOTHING_ELSE)
    assert "--local-models" in refusal(bundle, reach=Reach(local_models=tmp_path / "house"))
    (tmp_path / "house" / "link").symlink_to(tmp_path / "outside")
    assert load_to_answer(bundle, reach=Reach(local_models=tmp_path)).model
    assert load_to_answer(bundle).model  # who names a bundle decides for itself
    edit(bundle / "bundle.json", "recipe", "llm", "path", to=str(tmp_path / "house" / "link"))
    assert "--local-models" in refusal(bundle, reach=Reach(local_models=tmp_path / "house"))


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/none", "/root/.ssh", "/dev/zero", "/etc/\0"])
def test_what_is_no_bundle_tells_nothing_of_what_it_is(bundle: Path, path: str) -> None:
    with pytest.raises(BundleError) as told:
        load_to_answer(path)
    assert str(told.value).replace(repr(path), "") == (
        " is not a bundle folder: it holds no bundle.json that can be read; give the folder that "
        "training wrote (RUN_DIR/bundle), or tiny"
    )
    edit(bundle / "bundle.json", "recipe", "llm", "path", to=path.replace("\0", "x"))
    assert "outside of the folders that it may name" in refusal(bundle, reach=NOTHING_ELSE)
    if not Path(path).is_dir():
        assert "where there is no folder" in refusal(bundle)


@pytest.mark.parametrize("path", ["../outside", "./llm", "outside/../x/y", "a/b/c", "~/llm", ""])
def test_a_relative_path_is_no_checkpoint(
    bundle: Path, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "house")
    edit(bundle / "bundle.json", "recipe", "llm", "path", to=path)
    assert "no Hub id, no absolute path and not inside" in refusal(bundle)


def test_a_folder_of_the_working_directory_is_not_taken_for_the_hub(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    edit(bundle / "bundle.json", "recipe", "llm", "path", to="house/bundle")
    assert "of the Hub, which is not on this machine" in refusal(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "llm/tokenizer.json",
        "llm/tokenizer_config.json",
        "llm/config.json",
        "encoders/image/preprocessor_config.json",
        "aligners.safetensors",
        "lora/adapter_model.safetensors",
        "llm",
    ],
)
def test_a_link_that_leads_out_is_refused(bundle: Path, name: str, tmp_path: Path) -> None:
    path = bundle / name
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert "is a link that leads out of the bundle" in refusal(bundle)
    path.unlink()
    path.symlink_to("/nowhere")
    assert "leads nowhere" in refusal(bundle)


def test_a_link_inside_is_followed(bundle: Path) -> None:
    (bundle / "llm").rename(bundle / "parts")
    (bundle / "llm").symlink_to("parts")
    assert load_to_answer(bundle).model


def test_a_pipe_is_not_waited_for(bundle: Path) -> None:
    (bundle / "llm" / "generation_config.json").unlink(missing_ok=True)
    os.mkfifo(bundle / "llm" / "generation_config.json")
    assert "is not an ordinary file" in refusal(bundle)


@pytest.mark.parametrize("target", ["../../outside/model.safetensors", "/etc/passwd", "..", "a/b"])
def test_an_index_names_files_of_its_own_folder(bundle: Path, target: str) -> None:
    index = {"metadata": {}, "weight_map": {"lm_head.weight": target}}
    (bundle / "llm" / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names a file outside of its folder" in refusal(bundle)


@pytest.mark.parametrize(
    ("name", "keys", "value", "words"),
    [
        ("llm/tokenizer_config.json", ("vocab_file",), "/etc/passwd", "outside of its folder"),
        ("llm/tokenizer_config.json", ("tokenizer_file",), "../x.json", "outside of its folder"),
        ("llm/config.json", ("auto_map",), {"AutoConfig": "evil.Config"}, "names code"),
        ("llm/tokenizer_config.json", ("auto_map",), {"AutoTokenizer": ["x.Y"]}, "names code"),
        ("llm/config.json", ("attn_implementation",), "evil/kernels", "names code"),
        ("llm/config.json", ("text_config", "_attn_implementation"), "a/b", "names code"),
        ("encoders/image/config.json", ("use_pretrained_backbone",), True, "another checkpoint"),
        ("llm/config.json", ("num_hidden_layers",), 10**9, "more than 10000"),
    ],
)
def test_a_setting_that_leads_elsewhere_is_refused(
    bundle: Path, name: str, keys: tuple[str, ...], value: Any, words: str
) -> None:
    edit(bundle / name, *keys, to=value)
    assert words in refusal(bundle)


def test_an_adapter_cannot_bring_a_model_of_its_own(bundle: Path) -> None:
    assert load_to_answer(bundle).model  # lora/ has one that is not read
    edit(bundle / "lora" / "adapter_config.json", "base_model_name_or_path", to="../../outside")
    assert load_to_answer(bundle).model
    shutil.copy(bundle / "lora" / "adapter_config.json", bundle / "llm")
    assert "would load another model" in refusal(bundle)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pth", "model.pkl"])
def test_pickles_are_refused(bundle: Path, name: str) -> None:
    (bundle / "llm" / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert "may hold code; convert it to safetensors" in refusal(bundle)


# --- the Hub --------------------------------------------------------------------------------------


def as_hub_bundle(bundle: Path) -> None:
    """The language model is named by a Hub id, as in a bundle for a large one."""
    for keys in (("recipe", "llm"), ("llm",)):
        edit(bundle / "bundle.json", *keys, "path", to="someone/llm")
        edit(bundle / "bundle.json", *keys, "revision", to="main")


def test_the_hub_is_not_asked_unless_allowed(bundle: Path) -> None:
    as_hub_bundle(bundle)
    told = refusal(bundle)
    assert "'someone/llm' of the Hub, which is not on this machine" in told
    assert "--allow-hub (ANYMAL_ALLOW_HUB=1)" in told
    for command in (["ask", "What?", "--bundle"], ["eval"], ["chat", "--bundle"]):
        result = CliRunner().invoke(app, [*command, str(bundle)])
        assert "--allow-hub" in str(result.exception), command


def test_what_was_downloaded_before_is_enough(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_hub_bundle(bundle)
    cached = tmp_path / "hub" / "models--someone--llm"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots").mkdir()
    (bundle / "llm").rename(cached / "snapshots" / ("0" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assembled = load_to_answer(bundle)
    assert assembled.model_recipe.llm.path == "someone/llm"


def test_an_allowed_hub_is_asked_once(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_hub_bundle(bundle)
    asked: list[dict[str, Any]] = []

    def download(path: str, **options: Any) -> str:
        asked.append({"path": path, **options})
        return str(bundle / "llm")

    monkeypatch.setattr("anymal.recipe.hub.snapshot_download", download)
    assert load_to_answer(bundle, reach=Reach(allow_hub=True)).model
    (once,) = asked
    assert (once["path"], once["revision"]) == ("someone/llm", "main")
    assert not once["local_files_only"]
    assert "*.bin" not in once["allow_patterns"]
    assert load_to_answer(bundle, reach=NOTHING_ELSE).model
    assert asked[1]["local_files_only"]


def test_a_connection_that_is_lost_is_told(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_hub_bundle(bundle)

    def lost(*words: object, **options: object) -> None:
        raise HTTPError("peer closed connection\nmore")

    monkeypatch.setattr("anymal.recipe.hub.snapshot_download", lost)
    with pytest.raises(BundleError, match=r"can be reached, .* \(peer closed connection\)$"):
        load_to_answer(bundle, reach=Reach(allow_hub=True))
