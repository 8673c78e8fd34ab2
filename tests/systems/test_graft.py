"""A new sense on an imported model, and the proof that the old ones did not change.

Works when: hearing is aligned beside an imported LLaVA by the shipped recipe, whose language model
and pictures come from the bundle it starts from; and its answers about pictures are bit for bit
what they were, in float32 and in NF4.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from anymal.bundle.join import join_bundles
from anymal.bundle.load import describe
from anymal.playground import sources
from anymal.serving.assistant import load
from tests.systems.agreement import imported
from tests.systems.checkpoints import save_llava
from tests.systems.grafting import QUESTIONS, TOKENS, grafted, picture_answers


@pytest.fixture(autouse=True, scope="module")
def _no_picture() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.stage_run.plot_losses", lambda metrics, path: None)
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
