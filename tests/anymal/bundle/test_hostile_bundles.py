"""Bundles of strangers: what reaches beyond them, is too large or makes no sense is refused."""

import json
import os
import resource
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from typer.testing import CliRunner

from anymal.assemble import build
from anymal.bundle.load import describe, load_bundle
from anymal.bundle.parts import NOTHING_ELSE, Reach
from anymal.bundle.save import save_bundle
from anymal.cli.main import app
from anymal.errors import AnymalError, BundleError
from anymal.serving.precision import load_to_answer

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

MakeRecipe = Callable[..., "ModelRecipe"]
MOST_GROWTH_KIB = 100 * 2**10


@pytest.fixture(scope="module", name="whole")
def _whole(model_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with everything inside."""
    torch.manual_seed(3)
    assembled = build(model_recipe(lora={"r": 2}, embed=True, precision="fp32"))
    return save_bundle(assembled, tmp_path_factory.mktemp("bundles") / "whole")


@pytest.fixture(name="bundle")
def _bundle(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, beside a language model that is not its own."""
    shutil.copytree(whole / "llm", tmp_path / "outside")
    return shutil.copytree(whole, tmp_path / "house" / "bundle")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is loaded here may ask another machine."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError(f"the network was asked: {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def edit(path: Path, *keys: str, to: Any) -> None:
    """Change one value of a JSON file."""
    values = json.loads(path.read_text())
    inner = values
    for key in keys[:-1]:
        inner = inner.setdefault(key, {})
    inner[keys[-1]] = to
    path.write_text(json.dumps(values))


def refusal(bundle: Path, **options: Any) -> str:
    """How a bundle is refused: soon, and without filling memory."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(AnymalError) as refused:
        load_to_answer(bundle, **options)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH_KIB
    assert time.process_time() - began < 4
    return str(refused.value)


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
    assert "--local-models" in refusal(bundle)
    assert "--local-models" in refusal(bundle, reach=Reach(local_models=tmp_path / "house"))
    (tmp_path / "house" / "link").symlink_to(tmp_path / "outside")
    assert load_to_answer(bundle, reach=Reach(local_models=tmp_path)).model
    assert load_bundle(bundle).model  # a caller in Python decides for itself
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
    assert "which is outside of it; if you trust" in refusal(bundle)


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

    monkeypatch.setattr("anymal.bundle.parts.snapshot_download", download)
    assert load_to_answer(bundle, reach=Reach(allow_hub=True)).model
    (once,) = asked
    assert (once["path"], once["revision"]) == ("someone/llm", "main")
    assert not once["local_files_only"]
    assert "*.bin" not in once["allow_patterns"]
    assert load_to_answer(bundle, reach=NOTHING_ELSE).model
    assert asked[1]["local_files_only"]


# --- sizes and shapes -----------------------------------------------------------------------------


def header(path: Path, values: Any, data: bytes = b"") -> None:
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


FLOAT = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff" * 8 + b"{}"),
        lambda path: path.write_bytes((2**26).to_bytes(8, "little") + b"{" * 2**10),
        lambda path: header(path, b"[" * 100_000),
        lambda path: header(path, {"a": FLOAT | {"shape": [2**40, 2**40]}}, b"1234"),
        lambda path: header(path, {"a": FLOAT | {"shape": [2**40]}}, b"1234"),
        lambda path: header(path, {"a": FLOAT | {"data_offsets": [0, 2**40]}}, b"1234"),
        lambda path: header(path, {"a": FLOAT, "b": FLOAT}, b"1234"),
        lambda path: header(path, {"a": FLOAT | {"dtype": "X"}}, b"1234"),
        lambda path: header(path, {f"t{i}": FLOAT for i in range(9000)}, b"1234"),
    ],
)
@pytest.mark.parametrize("name", ["aligners.safetensors", "llm/model.safetensors"])
def test_weights_that_make_no_sense_are_refused(
    bundle: Path, name: str, damage: Callable[[Path], Any]
) -> None:
    damage(bundle / name)
    assert "model.safetensors" in (told := refusal(bundle)) or "cannot" in told


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bundle.json", "[" * 10_000_000),
        ("bundle.json", "[" * 100_000),
        ("bundle.json", '{"a":' * 100_000),
        ("bundle.json", "[" + "{}," * 2_000_000 + "{}]"),
        ("bundle.json", " " * 20 * 2**20),
        ("bundle.json", "[]"),
        ("bundle.json", "null"),
        ("bundle.json", "9" * 100_000),
        ("bundle.json", "\0"),
        ("llm/config.json", "[" * 100_000),
        ("llm/config.json", "[" + "{}," * 2_000_000 + "{}]"),
        ("llm/config.json", " " * 20 * 2**20),
        ("llm/config.json", "[]"),
        ("llm/config.json", "null"),
        ("llm/config.json", "{}"),
        ("llm/tokenizer_config.json", "[]"),
        ("llm/tokenizer.json", " " * 70 * 2**20),
        ("llm/tokenizer.json", "[" * 9_000_000),
        ("llm/tokenizer.json", "[" * 100_000),
        ("llm/tokenizer.json", "{}"),
        ("llm/tokenizer.json", ""),
        ("llm/chat_template.jinja", " " * 2**21),
        ("encoders/image/preprocessor_config.json", "[" * 100_000),
        ("encoders/image/config.json", '{"model_type": "none"}'),
    ],
    ids=lambda value: value[:12],
)
def test_text_that_is_too_large_or_makes_no_sense_is_refused(
    bundle: Path, name: str, text: str
) -> None:
    (bundle / name).write_text(text)
    assert refusal(bundle)


def test_a_manifest_says_each_thing_once_and_in_numbers(bundle: Path) -> None:
    path = bundle / "bundle.json"
    text = path.read_text()
    path.write_text('{"schema_version": 1, ' + text.lstrip()[1:])
    assert "a key stands twice" in refusal(bundle)
    for constant in ("NaN", "Infinity", "-Infinity"):
        path.write_text(text.replace('"results": null', f'"results": {constant}'))
        assert f"{constant} is not a number" in refusal(bundle)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("aligner", "num_tokens"), 10**8),
        (("aligner", "num_tokens"), float("nan")),
        (("aligner", "kind"), "os:system"),
        (("aligner", "kind"), "tests.thermal_camera:CAMERA"),
        (("encoder", "kind"), "tests.thermal_camera:CAMERA"),
        (("encoder", "kind"), "os:system"),
        (("encoder", "trust_remote_code"), True),
        (("encoder", "layer"), 10**30),
    ],
)
def test_a_recipe_of_a_stranger_is_refused(bundle: Path, keys: tuple[str, str], value: Any) -> None:
    edit(bundle / "bundle.json", "recipe", "modalities", "image", *keys, to=value)
    assert refusal(bundle)


@pytest.mark.parametrize("option", ["depth", "mult", "num_steps", "hidden_dim"])
@pytest.mark.parametrize("value", [10**12, 10**6, "many"])
def test_an_aligner_beyond_all_memory_is_refused(bundle: Path, option: str, value: Any) -> None:
    place = ("recipe", "modalities", "image", "aligner", option)
    edit(bundle / "bundle.json", *place, to=value)
    assert refusal(bundle)


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab_size": 10**12},
        {"vocab_size": 7},
        {"hidden_size": 10**7},
        {"hidden_size": 0},
        {"num_hidden_layers": 1},
        {"num_attention_heads": 0},
        {"model_type": "none"},
        {"torch_dtype": "evil", "dtype": "evil"},
    ],
    ids=str,
)
def test_a_configuration_that_does_not_fit_its_weights_is_refused(
    bundle: Path, changes: dict[str, Any]
) -> None:
    for key, value in changes.items():
        edit(bundle / "llm" / "config.json", key, to=value)
    assert refusal(bundle)


def test_a_hostile_template_is_the_bundles_fault(bundle: Path) -> None:
    edit(bundle / "bundle.json", "recipe", "llm", "template", to="tokenizer")
    for jinja in ("{{ 'a' * 2000000000 }}", "{% include 'x' %}"):
        (bundle / "llm" / "chat_template.jinja").write_text(jinja)
        assert "chat template cannot be used" in refusal(bundle)
