"""How parity is judged: a bundle that differs takes force, and the check sees a changed weight."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from anymal.bundle.load import describe
from anymal.cli.main import app
from anymal.errors import AnymalError
from anymal.published import importing, registry
from anymal.published.base import ImportedModality, Published
from anymal.published.importing import check_against, import_model
from anymal.published.llava import LLAVA, llava_parts
from tests.systems.agreement import imported
from tests.systems.checkpoints import save_llava


@pytest.fixture(scope="module", name="llava")
def _llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("parity") / "llava")


@pytest.fixture(scope="module", name="bundle")
def _bundle(llava: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = tmp_path_factory.mktemp("parity") / "bundle"
    imported(llava, bundle)
    return bundle


@pytest.fixture
def _scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """An importer that gets the projector wrong by 1%."""

    def parts(published: Published) -> dict[str, ImportedModality]:
        image = llava_parts(published)["image"]
        weights = {name: 1.01 * tensor for name, tensor in image.weights.items()}
        return {"image": replace(image, weights=weights)}

    monkeypatch.setitem(registry.IMPORTERS, LLAVA.class_name, replace(LLAVA, parts=parts))


@pytest.mark.usefixtures("_scaled")
def test_a_bundle_that_differs_takes_force(llava: Path, tmp_path: Path) -> None:
    with pytest.raises(AnymalError, match=r"would differ from Llava.*: soft tokens.*--force"):
        import_model(llava, tmp_path / "bundle", tell=lambda _: None)
    assert not list(tmp_path.iterdir())
    facts = import_model(llava, tmp_path / "bundle", force=True, tell=lambda _: None)
    assert facts.soft_tokens > 1e-3
    with pytest.raises(AnymalError, match="differs from LlavaForConditionalGeneration of"):
        check_against(tmp_path / "bundle", llava, tell=lambda _: None)


@pytest.mark.parametrize(
    "file",
    [
        "llm/model.safetensors",
        "aligners.safetensors",
        pytest.param("encoders/image/model.safetensors", marks=pytest.mark.slow),
    ],
)
def test_the_check_sees_a_changed_weight(
    llava: Path, bundle: Path, tmp_path: Path, file: str
) -> None:
    changed = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    weights = load_file(changed / file)
    name = next(name for name, tensor in weights.items() if tensor.ndim == 2)
    weights[name][-1] += 0.5
    save_file(weights, changed / file, metadata={"format": "pt"})
    run = CliRunner().invoke(app, ["bundle", "check", str(changed), "--against", str(llava)])
    assert isinstance(run.exception, AnymalError)
    assert "differs" in str(run.exception)


def test_the_check_says_how_far_a_bundle_is(llava: Path, bundle: Path) -> None:
    run = CliRunner().invoke(app, ["bundle", "check", str(bundle), "--against", str(llava)])
    assert run.exit_code == 0
    assert "differs from LlavaForConditionalGeneration by: soft tokens 0.0e+00" in run.stdout


def test_the_command_says_what_happens_and_how_far_it_is(llava: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    run = CliRunner().invoke(app, ["bundle", "import", str(llava), "--out", str(out)])
    assert run.exit_code == 0, run.exception
    assert "reading " in run.stderr
    assert "asking LlavaForConditionalGeneration ...\n" in run.stderr
    assert "differs from LlavaForConditionalGeneration by: soft tokens 0.0e+00" in run.stdout
    parity = json.loads((out / "bundle.json").read_text())["parity"]
    assert parity["class"] == "LlavaForConditionalGeneration"
    assert parity["check"] == "whole"


def test_a_bundle_that_is_none_is_refused_before_the_model_is_read(
    llava: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    with pytest.raises(AnymalError, match="is not a bundle folder"):
        check_against(tmp_path, llava, tell=told.append)
    assert told == []


def test_what_a_killed_import_left_is_removed(llava: Path, tmp_path: Path) -> None:
    left = tmp_path / ".bundle.importing"
    (left / "llm").mkdir(parents=True)
    imported(llava, tmp_path / "bundle")
    assert [*tmp_path.iterdir()] == [tmp_path / "bundle"]


def test_a_place_that_cannot_be_written_is_told(
    llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(importing, "save_bundle", full)
    with pytest.raises(AnymalError, match=r"bundle' cannot be written \(No space left"):
        imported(llava, tmp_path / "bundle")
    assert [*tmp_path.iterdir()] == []
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(AnymalError, match=r"importing' cannot be written \(No space left"):
        imported(llava, tmp_path / "bundle")


def test_a_hub_id_is_read_from_the_cache(
    llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "cache" / "models--someone--llava"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("a" * 40)
    shutil.copytree(llava, place / "blobs")
    snapshot = place / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    for file in llava.iterdir():
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", file.name))
    import_model("someone/llava", tmp_path / "bundle", tell=lambda _: None)
    assert describe(tmp_path / "bundle").parity is not None
