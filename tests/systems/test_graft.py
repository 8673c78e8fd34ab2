"""A new sense on an imported model, and the proof that the old ones did not change.

Works when: hearing is aligned beside an imported LLaVA by the shipped recipe, whose language model
and pictures come from the bundle it starts from; and its answers about pictures are bit for bit
what they were, in float32 and in NF4.
"""

from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from anymal.bundle.join import join_bundles
from anymal.bundle.load import describe
from anymal.playground import sources
from anymal.recipe.schema import load_recipe
from anymal.serving.assistant import load
from tests.systems.agreement import imported
from tests.systems.checkpoints import save_llava
from tests.tiny import save_audio, save_imu
from train.run import run

RECIPES = Path(__file__).parents[2] / "train" / "recipes" / "graft"
QUESTIONS, TOKENS = 50, 2
ENCODERS = {"audio": ("whisper", save_audio), "imu": ("imu_transformer", save_imu)}


@pytest.fixture(autouse=True, scope="module")
def _no_picture() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.stage.plot_losses", lambda metrics, path: None)
        yield


@pytest.fixture(name="llava", scope="module")
def _llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    imported(save_llava(folder / "published"), folder / "bundle")
    return folder / "bundle"


@pytest.fixture(name="hearing", scope="module")
def _hearing(
    llava: Path, _no_picture: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Bundles with a sense of hearing, by the precision they were trained at."""
    folder = tmp_path_factory.mktemp("hearing")
    return {each: grafted(llava, "audio", folder / each, each) for each in ("fp32", "nf4")}


def grafted(start: Path, sense: str, folder: Path, precision: str) -> Path:
    """A few steps of the shipped recipe, on generated media; returns the bundle."""
    kind, save = ENCODERS[sense]
    source = f"anymal.playground.sources:{'sounds' if sense == 'audio' else 'motions'}"
    encoder = f"{{kind: {kind}, path: '{save(folder / 'encoder')}', embed: true}}"
    aligner = "{kind: linear, num_tokens: 32}"
    data = f"[{{source: '{source}', args: {{split: train, size: 16}}}}]"
    steps = {"steps": 3, "warmup_steps": 0, "batch_size": 2, "accumulate": 1, "lr": 1.0e-2}
    overrides = [
        f"run_dir={folder / 'run'}",
        "device=cpu",
        "memory=null",
        f"model.start_from={start}",
        f"model.llm.precision={precision}",
        f"model.modalities.{sense}.encoder={encoder}",
        f"model.modalities.{sense}.aligner={aligner}",
        f"stages.align.data={data}",
        "stages.align.heldout=null",
        *(f"stages.align.{key}={value}" for key, value in steps.items()),
    ]
    recipe = load_recipe(RECIPES / f"{sense}.yaml", overrides, keep_unset=True)
    return run(recipe, resume=False, console=Console(file=StringIO()))


def picture_answers(bundle: Path, precision: str, size: int = QUESTIONS) -> Sequence[Any]:
    """Greedy answers about pictures, with the probabilities of their tokens."""
    records = sources.lone_shapes(split="heldout", size=size)
    with load(bundle, precision=precision) as assistant:
        answers = [
            assistant.chat(record["messages"][:1], max_tokens=TOKENS, logprobs=2, ignore_eos=True)
            for record in records
        ]
    return [(answer.text, answer.logprobs) for answer in answers]


# Grafts that are joined are compared in float32 below, with fewer questions.
@pytest.mark.parametrize("precision", [pytest.param("fp32", marks=pytest.mark.slow), "nf4"])
def test_pictures_are_answered_as_before(
    llava: Path, hearing: dict[str, Path], precision: str
) -> None:
    grown = hearing[precision]
    before, after = picture_answers(llava, precision), picture_answers(grown, precision)
    assert after == before
    assert len({text for text, _ in before}) > QUESTIONS // 5, "answers depend on the picture"
    assert set(describe(grown).modalities) == {"image", "audio"}
    for name in ("llm/model.safetensors", "encoders/image/model.safetensors"):
        assert (grown / name).read_bytes() == (llava / name).read_bytes()


def test_the_new_sense_is_heard_and_has_learnt(llava: Path, hearing: dict[str, Path]) -> None:
    grown = hearing["fp32"]
    sounds = sources.sounds(split="heldout", size=6)
    with load(grown, precision="fp32") as assistant:
        said = [
            assistant.chat(one["messages"][:1], max_tokens=TOKENS, logprobs=0, ignore_eos=True)
            for one in sounds
        ]
    assert len({str(answer.logprobs) for answer in said}) == len(said)
    fresh = load_file(grown / "aligners.safetensors")
    old = load_file(llava / "aligners.safetensors")
    assert all(torch.equal(fresh[name], tensor) for name, tensor in old.items())
    assert any(name.startswith("audio.") for name in fresh)


def test_two_grafts_of_one_model_join(
    llava: Path, hearing: dict[str, Path], tmp_path: Path
) -> None:
    moving = grafted(llava, "imu", tmp_path, "fp32")
    joined = join_bundles([hearing["fp32"], moving], tmp_path / "joined")
    assert list(describe(joined).modalities) == ["image", "audio", "imu"]
    assert picture_answers(joined, "fp32", 3) == picture_answers(llava, "fp32", 3)
