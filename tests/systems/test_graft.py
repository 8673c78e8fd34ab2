"""A new sense on an imported model, and the proof that the old ones did not change.

Works when: hearing is aligned beside an imported LLaVA by the shipped recipe, whose language model
and pictures come from the bundle it starts from; and its answers about pictures are bit for bit
what they were, in float32 and in NF4.
"""

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


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.stage.plot_losses", lambda metrics, path: None)


@pytest.fixture(name="llava", scope="module")
def _llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    imported(save_llava(folder / "published"), folder / "bundle")
    return folder / "bundle"


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_pictures_are_answered_as_before(llava: Path, tmp_path: Path, precision: str) -> None:
    grown = grafted(llava, "audio", tmp_path, precision)
    before, after = picture_answers(llava, precision), picture_answers(grown, precision)
    assert after == before
    assert len({text for text, _ in before}) > QUESTIONS // 5, "answers depend on the picture"
    assert set(describe(grown).modalities) == {"image", "audio"}
    for name in ("llm/model.safetensors", "encoders/image/model.safetensors"):
        assert (grown / name).read_bytes() == (llava / name).read_bytes()


def test_the_new_sense_is_heard_and_has_learnt(llava: Path, tmp_path: Path) -> None:
    grown = grafted(llava, "audio", tmp_path, "fp32")
    sounds = sources.sounds(split="heldout", size=6)
    with load(grown, precision="fp32") as assistant:
        said = [
            assistant.chat(one["messages"][:1], max_tokens=TOKENS, logprobs=0, ignore_eos=True)
            for one in sounds
        ]
    assert len({str(answer.logprobs) for answer in said}) == len(said)
    fresh = load_file(tmp_path / "run" / "align" / "bundle" / "aligners.safetensors")
    old = load_file(llava / "aligners.safetensors")
    assert all(torch.equal(fresh[name], tensor) for name, tensor in old.items())
    assert any(name.startswith("audio.") for name in fresh)


def test_two_grafts_of_one_model_join(llava: Path, tmp_path: Path) -> None:
    parts = [grafted(llava, sense, tmp_path / sense, "fp32") for sense in ("audio", "imu")]
    joined = join_bundles(parts, tmp_path / "joined")
    assert list(describe(joined).modalities) == ["image", "audio", "imu"]
    assert picture_answers(joined, "fp32", 3) == picture_answers(llava, "fp32", 3)
