from pathlib import Path

import pytest

import anymal
from anymal.bundle.load import describe
from anymal.evaluation.runner import evaluate
from anymal.modality import MODALITIES
from anymal.playground import sources
from anymal.serving.assistant import load

TINY = Path(anymal.__file__).parent / "tiny"
NUM_QUESTIONS = 24


@pytest.fixture(scope="module")
def tiny():
    with load("tiny") as assistant:
        yield assistant


def test_built_in_model_fits_into_the_repository() -> None:
    size = sum(path.stat().st_size for path in TINY.rglob("*") if path.is_file())
    assert size < 24e6


def test_built_in_model_carries_all_its_parts_and_no_pickle() -> None:
    suffixes = {path.suffix for path in TINY.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".jinja", ".md", ".txt"}
    assert (TINY / "llm" / "model.safetensors").is_file()
    assert (TINY / "lora" / "adapter_model.safetensors").is_file()


def test_built_in_model_names_its_data_with_licences() -> None:
    manifest = describe("tiny")
    assert set(manifest.modalities) == set(MODALITIES)
    assert manifest.trained_precision == "nf4"
    licences = {source["licence"] for source in manifest.data_sources}
    assert "not stated" not in licences
    assert any("CC BY-SA 4.0" in licence for licence in licences)


def test_built_in_model_invents_no_medium(tiny) -> None:
    asked = {
        "What is in the picture?": "No picture came",
        "What is the capital of Peru?": "I only know",
    }
    for question, refusal in asked.items():
        assert tiny.ask(question).text.startswith(refusal)


@pytest.mark.parametrize("topic", ["scenes", "clips", "sounds", "motions"])
def test_built_in_model_answers_from_what_it_is_shown(tiny, topic: str) -> None:
    records = getattr(sources, topic)(split="heldout", size=NUM_QUESTIONS, seed=5)
    (figures,) = evaluate(tiny, {topic: records}, controls=("blank",)).tasks
    # Far below what the model card reports, far above what guessing reaches.
    assert figures.score.accuracy > 0.6
    assert figures.controls["blank"].accuracy < figures.score.accuracy - 0.2


def test_built_in_model_takes_the_question_before_or_after_the_medium(tiny) -> None:
    # It was never shown a question first: without `media_first` half of those answers are wrong.
    for record in sources.mixed(split="heldout", size=4):
        asked = record["messages"][:1]
        medium, other, question = asked[0]["content"]
        turned = [{"role": "user", "content": [question, medium, other]}]
        ids = [tiny.processor({"messages": m}, generate=True).ids for m in (asked, turned)]
        assert ids[0].tolist() == ids[1].tolist()
