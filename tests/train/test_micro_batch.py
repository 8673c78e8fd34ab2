"""What `micro_batch` becomes, and runs that are refused before anything is loaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from transformers import MambaConfig

from anymal.errors import RecipeError
from anymal.recipe.schema import Recipe, load_recipe
from train.micro_batch import micro_batch_size, refuse_what_cannot_fit
from train.run import run

WriteRecipe = Callable[[Path], Path]


@pytest.fixture(name="read")
def _read(write_recipe: WriteRecipe, tmp_path: Path) -> Callable[..., Recipe]:
    return lambda *overrides: load_recipe(write_recipe(tmp_path / "run"), overrides)


@pytest.mark.parametrize(
    ("written", "samples"), [("null", 2), ("1", 1), ("64", 2)], ids=["null", "less", "more"]
)
def test_a_number_is_cut_to_the_batch(
    written: str, samples: int, read: Callable[..., Recipe]
) -> None:
    recipe = read(f"stages.align.micro_batch={written}")
    assert micro_batch_size(recipe, recipe.stages[0]) == samples


def test_auto_takes_what_fits(read: Callable[..., Recipe]) -> None:
    auto = ("stages.align.micro_batch=auto", "stages.align.batch_size=64")
    roomy, tight = (read(*auto, f"memory={memory}") for memory in ("1GiB", "2MB"))
    assert micro_batch_size(roomy, roomy.stages[0]) == 64
    assert 1 <= micro_batch_size(tight, tight.stages[0]) < 64


def test_auto_refuses_where_not_one_sample_fits(read: Callable[..., Recipe]) -> None:
    recipe = read("stages.align.micro_batch=auto", "memory=10KB")
    with pytest.raises(RecipeError, match=r"'align' does not fit.*of 0\.0 GB"):
        micro_batch_size(recipe, recipe.stages[0])


def test_a_run_that_cannot_fit_is_refused_before_it_begins(read: Callable[..., Recipe]) -> None:
    recipe = read("memory=500KB", "model.llm.path=meta-llama/Llama-2-70b-hf")
    with pytest.raises(RecipeError, match="does not fit"):
        run(recipe, resume=False, console=Console(quiet=True))
    assert not Path(recipe.run_dir).exists()


def test_a_cpu_of_unstated_memory_is_let_be(read: Callable[..., Recipe]) -> None:
    refuse_what_cannot_fit(read("model.llm.path=no/such-model"), say=unexpected)


def unexpected(text: str) -> None:
    raise AssertionError(text)


GIB = 2**30
LLAMA = "model.llm.path=meta-llama/Llama-2-70b-hf"


@pytest.fixture(name="card")
def _card(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes this a machine with a GPU of so many GiB."""

    def has(size: int) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("anymal.plan.run.memory_of", lambda kind: size * GIB)
        monkeypatch.setattr("train.micro_batch.memory_of", lambda kind: size * GIB)

    return has


def test_memory_does_not_make_a_card_larger(
    read: Callable[..., Recipe], card: Callable[[int], None]
) -> None:
    def most(memory: str) -> int:
        auto = ("stages.align.micro_batch=auto", "stages.align.batch_size=100000")
        checkpointing = ("stages.align.checkpointing=true", "model.llm.precision=nf4")
        recipe = read(LLAMA, "device=cuda", f"memory={memory}", *auto, *checkpointing)
        return micro_batch_size(recipe, recipe.stages[0])

    card(60)
    assert most("50GiB") < most("60GiB") == most("80GiB")
    card(24)
    with pytest.raises(RecipeError, match=r"does not fit.*of 25\.8 GB"):
        refuse_what_cannot_fit(read(LLAMA, "device=cuda", "memory=80GiB"), say=unexpected)


def test_a_stage_is_planned_with_what_those_before_it_left(
    read: Callable[..., Recipe], card: Callable[[int], None]
) -> None:
    card(60)
    llm = (LLAMA, "device=cuda", "model.llm.precision=nf4", "model.lora.r=64")
    recipe = read(*llm, "stages.align.micro_batch=auto", "stages.align.batch_size=100000")
    align, instruct = recipe.stages
    after = recipe.model_copy(update={"stages": [instruct, align]})
    assert micro_batch_size(after, align) < micro_batch_size(recipe, align)


def test_what_cannot_be_planned_is_said_and_goes_on_unless_a_plan_is_asked_for(
    read: Callable[..., Recipe], card: Callable[[int], None], tmp_path: Path
) -> None:
    card(60)
    MambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=50).save_pretrained(tmp_path)
    mamba = (f"model.llm.path={tmp_path}", "device=cuda")
    said: list[str] = []
    refuse_what_cannot_fit(read(*mamba), say=said.append)
    [line] = said
    assert line.startswith("memory is not planned: the language model ")
    assert "(MambaForCausalLM) keeps what it has read in another form" in line
    for asks in ("memory=80GiB", "stages.align.micro_batch=auto"):
        with pytest.raises(RecipeError, match="keys and values"):
            refuse_what_cannot_fit(read(*mamba, asks), say=unexpected)
