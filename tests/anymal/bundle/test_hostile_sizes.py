"""Bundles of strangers: what is too large or makes no sense is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    pass

from tests.anymal.bundle.strangers import edit, refusal


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


@pytest.mark.parametrize("key", ["size", "crop_size"])
def test_pictures_beyond_all_memory_are_refused(bundle: Path, key: str) -> None:
    options = bundle / "encoders" / "image" / "preprocessor_config.json"
    edit(options, key, to={"height": 10**5, "width": 10**5})
    assert "at most 4096 pixels a side are allowed" in refusal(bundle)
