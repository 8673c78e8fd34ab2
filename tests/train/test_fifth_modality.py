"""A modality of another package, from its recipe to an answer, with no table patched."""

import base64
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from starlette.testclient import TestClient

import anymal
from anymal.bundle.load import load_bundle
from anymal.errors import BundleError, ConversationError, MediaUnsupported, RecipeError
from anymal.plan.encoder import measure_encoder
from anymal.recipe.schema import Recipe, load_recipe
from server.app import create_app
from server.served.backend import load_backend
from server.settings import Settings
from train.dry_run.run import dry_run
from train.encode.run import EncodeOptions, encode
from train.run import run

MODULE = "thermal_camera"
ENTRY_POINTS = """\
[anymal.modalities]
thermal = thermal_camera:MODALITY
[anymal.encoders]
thermal_rows = thermal_camera:KIND
[anymal.aligners]
tanh = thermal_camera:Tanh
"""
RECIPE = """\
run_dir: {folder}/run
device: cpu
model:
  llm: {{path: {llm}, precision: fp32, template: llama2, max_tokens: 128}}
  modalities:
    thermal:
      encoder: {{kind: "{encoder}", path: "{folder}/camera"}}
      aligner: {{kind: "{aligner}", num_tokens: 32}}
stages:
  - name: align
    kind: align
    data: [{{manifest: "{folder}/pictures/train.jsonl"}}]
    heldout: [{{manifest: "{folder}/pictures/train.jsonl"}}]
    steps: 1
    batch_size: 2
    lr: 1.0e-2
    eval_samples: 2
"""
NAMED = {"encoder": "thermal_rows", "aligner": "tanh"}
BY_MODULE = {"encoder": "thermal_camera:KIND", "aligner": "thermal_camera:Tanh"}


def picture(degrees: float) -> bytes:
    file = io.BytesIO()
    np.save(file, np.full((4, 4), degrees))
    return file.getvalue()


def part(url: str, **options: Any) -> dict[str, Any]:
    medium = {"modality": "thermal", "url": url, "options": options}
    return {"type": "input_media", "input_media": medium}


def inline(data: bytes) -> str:
    return f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"


def question(url: str, **options: Any) -> dict[str, Any]:
    content = [part(url, **options), {"type": "text", "text": "Is it hot?"}]
    return {"role": "user", "content": content}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs the package in a folder of its own: `install(entry_points)`."""

    def act(entry_points: str) -> None:
        site = tmp_path / f"site-{len(list(tmp_path.glob('site-*')))}"
        facts = site / f"{MODULE}-1.0.dist-info"
        facts.mkdir(parents=True)
        shutil.copy(Path(__file__).parents[1] / f"{MODULE}.py", site)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {MODULE}\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(entry_points)
        monkeypatch.setattr(sys, "path", [str(site), *sys.path[:]])
        monkeypatch.delitem(sys.modules, MODULE, raising=False)

    return act


@pytest.fixture
def write(tmp_path: Path, workshop: Path) -> Callable[..., Recipe]:
    """Writes a recipe over two pictures: `write(encoder=..., aligner=...)`."""

    def act(**kinds: str) -> Recipe:
        import thermal_camera  # installed by the test

        thermal_camera.save_random(thermal_camera.Sizes(), tmp_path / "camera")
        folder = tmp_path / "pictures"
        folder.mkdir(exist_ok=True)
        rows = []
        for name, degrees in (("hot", 90.0), ("cold", -10.0)):
            (folder / f"{name}.npy").write_bytes(picture(degrees))
            messages = [question(f"{name}.npy"), {"role": "assistant", "content": f"It is {name}."}]
            about = {"task": "heat", "answer": name, "choices": ["hot", "cold"]}
            rows.append(json.dumps({"messages": messages, "meta": about}))
        (folder / "train.jsonl").write_text("\n".join(rows))
        path = tmp_path / "recipe.yaml"
        path.write_text(RECIPE.format(folder=tmp_path, llm=workshop / "llm", **kinds))
        return load_recipe(path)

    return act


@pytest.mark.parametrize("kinds", [NAMED, BY_MODULE], ids=["by name", "by module"])
def test_from_a_recipe_to_an_answer(
    kinds: dict[str, str],
    install: Callable[[str], None],
    write: Callable[..., Recipe],
    tmp_path: Path,
) -> None:
    install(ENTRY_POINTS)
    recipe = write(**kinds)
    encoder = measure_encoder("thermal", recipe.model.modalities["thermal"].encoder)
    assert (encoder.num_parameters, encoder.width, encoder.num_features) == (40, 8, 4)
    bundle = run(recipe, resume=False, console=Console(quiet=True))
    assert (tmp_path / "run" / "results.json").is_file()  # asked with a blank picture, too
    with anymal.load(bundle) as assistant:
        hot = assistant.chat([question(str(tmp_path / "pictures" / "hot.npy"))], max_tokens=2)
        assert hot.usage.prompt_tokens > 32
        kelvin = question(inline(picture(90.0 + 273.15)), unit="K")
        assert assistant.chat([kelvin], max_tokens=2).text == hot.text
        with pytest.raises(MediaUnsupported, match="saved as"):
            assistant.chat([question(inline(b"nothing"))])
        with pytest.raises(ConversationError, match="does not take image_url; it takes text, inp"):
            assistant.ask("What is it?", image=b"anything")


def test_over_rest(
    install: Callable[[str], None], write: Callable[..., Recipe], tmp_path: Path
) -> None:
    install(ENTRY_POINTS)
    bundle = run(write(**NAMED), resume=False, console=Console(quiet=True))
    settings = Settings(bundle=str(bundle), device="cpu", hosts=("testserver",))
    url = inline(picture(30.0))
    with TestClient(create_app(settings, load_backend(settings))) as client:
        body = {"messages": [question(url)], "max_tokens": 2}
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        soft = client.post("/v1/align", json={"input": part(url)}).json()
        assert (soft["modality"], soft["shape"][0]) == ("thermal", 32)
        body = {"messages": [question(url)]}
        body["messages"][0]["content"][0]["input_media"]["modality"] = "image"
        refused = client.post("/v1/chat/completions", json=body)
        assert refused.status_code == 400
        assert "does not take input_media of image" in refused.json()["error"]["message"]


def test_a_dry_run_and_a_cache_of_features(
    install: Callable[[str], None], write: Callable[..., Recipe], tmp_path: Path
) -> None:
    install(ENTRY_POINTS)
    recipe = write(**BY_MODULE)
    shown = io.StringIO()
    dry_run(recipe, console=Console(file=shown, width=200))
    assert f"{tmp_path}/camera: a Camera of 40 weights" in shown.getvalue()
    assert "dry run passed" in shown.getvalue()
    options = EncodeOptions(root=tmp_path / "features", confirm=lambda _: True)
    assert encode(recipe, options, console=Console(quiet=True))
    run(
        recipe.model_copy(update={"features": str(tmp_path / "features")}),
        resume=False,
        console=Console(quiet=True),
    )


@pytest.mark.parametrize("kind", sorted(NAMED.values()))
def test_a_bundle_imports_only_what_is_installed(
    kind: str, install: Callable[[str], None], write: Callable[..., Recipe]
) -> None:
    install(ENTRY_POINTS)
    bundle = run(write(**NAMED), resume=False, console=Console(quiet=True))
    Path(sys.path[0], "stranger.py").write_text("KIND = print('imported')")
    manifest = bundle / "bundle.json"
    manifest.write_text(manifest.read_text().replace(f'"{kind}"', '"stranger:KIND"'))
    with pytest.raises(BundleError, match=r"'stranger:KIND' is not imported.*entry point"):
        load_bundle(bundle)
    assert "stranger" not in sys.modules


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"encoder": "nothing"}, "unknown encoder 'nothing'; known: .*thermal_rows; .*module:name"),
        ({"encoder": "nowhere:KIND"}, "cannot be imported from 'nowhere:KIND': No module"),
        ({"encoder": "thermal_camera:KINDS"}, "has no attribute 'KINDS'"),
        ({"encoder": "thermal_camera:MODALITY"}, "is of type Modality, not EncoderKind"),
        ({"aligner": "nothing"}, "unknown aligner 'nothing'; known: perceiver, .*tanh"),
        ({"aligner": "thermal_camera:SIDE"}, "is of type int, not Callable"),
    ],
)
def test_a_wrong_kind_is_named(
    kinds: dict[str, str],
    message: str,
    install: Callable[[str], None],
    write: Callable[..., Recipe],
) -> None:
    install(ENTRY_POINTS)
    with pytest.raises(RecipeError, match=message):
        run(write(**NAMED | kinds), resume=False, console=Console(quiet=True))


def test_a_modality_that_no_package_brings(
    install: Callable[[str], None], write: Callable[..., Recipe]
) -> None:
    install("")
    with pytest.raises(RecipeError, match=r"'thermal'; known: image, .*'anymal\.modalities'"):
        write(**NAMED)
