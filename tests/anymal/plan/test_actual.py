"""Planned against actual: what a real step on a CPU allocates, as the allocator reports it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from anymal.assemble import build
from anymal.collate import Batch, collate
from anymal.model import AnyMAL
from anymal.plan.device import Device
from anymal.plan.run import measure_parts
from anymal.plan.stage import MemoryPass, StageMemory
from anymal.recipe.schema import Recipe
from anymal.recipe.trains import rules_of
from anymal.sample import IGNORED, Item, Sample, Slot
from tests.tiny import save_llm
from train.loop import Objective, answer_loss
from train.optimiser import build_optimiser
from train.word_loss import WordLoss

DEVICE = Device(type="cpu", memory=2**40)
LLM = {
    "hidden_size": 128,
    "intermediate_size": 344,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
}
TOKENS = 32  # soft tokens of a picture


@dataclass(frozen=True, kw_only=True)
class Case:
    precision: str = "fp32"
    lora: int | None = None
    checkpointing: bool = False
    samples: int = 4
    text: int = 64
    objective: str = "answer"
    llm: dict[str, int] = field(default_factory=dict)
    aligner: dict[str, int] = field(default_factory=dict)
    trains: tuple[str, ...] = ()
    side: dict[str, Any] | None = None


WHOLE = ("aligners.*", "llm.*")
CASES = {
    "plain": Case(),
    "checkpointed": Case(checkpointing=True, samples=6),
    "lora": Case(lora=8),
    "lora checkpointed": Case(lora=16, checkpointing=True),
    "nf4": Case(precision="nf4"),
    "nf4, few tokens, large matrices": Case(
        precision="nf4",
        samples=1,
        text=32,
        llm={"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 2},
    ),
    "nf4 lora checkpointed": Case(precision="nf4", lora=8, checkpointing=True, samples=8),
    "shared keys, long": Case(llm={"num_key_value_heads": 2}, samples=2, text=224),
    "many words": Case(llm={"vocab_size": 4000}, checkpointing=True, samples=8),
    "bf16": Case(precision="bf16"),
    "int8": Case(precision="int8"),
    "int8 checkpointed": Case(precision="int8", checkpointing=True),
    "wide": Case(llm={"hidden_size": 256, "intermediate_size": 704}, checkpointing=True),
    "words": Case(objective="words", samples=8),
    "words, many of them": Case(objective="words", samples=16, llm={"vocab_size": 4000}),
    "words, large aligner": Case(
        objective="words",
        aligner={"depth": 3, "hidden_dim": 64, "num_heads": 4, "head_dim": 16},
    ),
    "large aligner": Case(
        aligner={"depth": 3, "hidden_dim": 64, "num_heads": 4, "head_dim": 16},
        llm={"num_hidden_layers": 2},
    ),
    "whole": Case(trains=WHOLE, samples=8, text=96),
    "whole checkpointed": Case(trains=WHOLE, checkpointing=True, samples=12, text=96),
    "norms and biases": Case(trains=("llm.norms", "llm.biases"), precision="nf4"),
    "encoder": Case(trains=("aligners.*", "encoders.image.*")),
    "cross-attention beside": Case(side={"kind": "cross", "every": 2, "head_dim": 16}),
    "cross-attention beside, checkpointed": Case(
        side={"kind": "cross", "head_dim": 16, "feed_forward": "swiglu", "norm": "rms"},
        checkpointing=True,
    ),
    "prompts beside": Case(side={"kind": "prefix", "num_tokens": TOKENS}, samples=8),
    "prompts beside, checkpointed": Case(
        side={"kind": "prefix", "num_tokens": TOKENS}, checkpointing=True
    ),
}
# Between them: three precisions, both objectives, LoRA, checkpointing, a deeper aligner.
EVERY_TIME = ("plain", "lora checkpointed", "nf4", "int8 checkpointed", "words", "large aligner")
EVERY_TIME += ("cross-attention beside", "prompts beside, checkpointed")


@pytest.fixture(name="make_recipe")
def _make_recipe(checkpoints: SimpleNamespace, tmp_path: Path) -> Callable[[Case], Recipe]:
    def make(case: Case) -> Recipe:
        aligner = {"num_tokens": TOKENS, "depth": 1, "num_heads": 2, "head_dim": 8}
        llm = save_llm(tmp_path / "llm", **(LLM | case.llm))
        return Recipe.model_validate(
            {
                "run_dir": "run",
                "device": "cpu",
                "model": {
                    "llm": {"path": str(llm), "precision": case.precision, "template": "llama2"},
                    "lora": case.lora and {"r": case.lora},
                    "biases": "all-linear" if "llm.biases" in case.trains else None,
                    "side": case.side,
                    "modalities": {
                        "image": {
                            "encoder": {"kind": "vision", "path": str(checkpoints.vision)},
                            "aligner": aligner | case.aligner,
                        }
                    },
                },
                "stages": [
                    {
                        "name": "only",
                        **what_trains(case),
                        "data": [{"manifest": "none.jsonl"}],
                        "steps": 1,
                        "batch_size": case.samples,
                        "lr": 0.1,
                        "objective": case.objective,
                        "checkpointing": case.checkpointing,
                    }
                ],
            }
        )

    return make


def what_trains(case: Case) -> dict[str, Any]:
    """Rules, or a kind."""
    if case.trains:
        return {"trains": [{"what": what} for what in case.trains]}
    return {"kind": "instruct" if case.lora else "align"}


def batch(case: Case) -> Batch:
    taken = 0 if case.side else TOKENS
    length = taken + case.text
    ids = torch.randint(10, 300, (length,))
    labels = ids.clone()
    labels[1 : 1 + taken] = IGNORED
    tensors = {"pixel_values": torch.randn(1, 3, 16, 16)}
    samples = [
        Sample(
            ids=ids,
            labels=labels,
            slots=(Slot(modality="image", start=1, length=taken),),
            media={"image": [Item(tensors=tensors, digest=str(number))]},
        )
        for number in range(case.samples)
    ]
    return collate(samples, pad_id=2)


@contextmanager
def tracked() -> Iterator[list[int]]:
    """Gives the most bytes that were allocated at the same time, once it is left."""
    peak: list[int] = []
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profiler:
        yield peak
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    steps = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = most = 0
    for _, size in steps:
        held += size
        most = max(most, held)
    peak.append(most)


def allocated_by_a_step(model: AnyMAL, objective: Objective, seen: Batch) -> int:
    """The second step's, so that gradients are held already, as between the passes of a window."""
    model.train()
    objective(model, seen).total.backward()
    with tracked() as peak:
        objective(model, seen).total.backward()
    return peak[0]


def held_bytes(model: Any) -> int:
    """Parameters with their scales."""
    total = 0
    for parameter in model.parameters():
        total += parameter.nbytes
        if state := getattr(parameter, "quant_state", None):
            tensors = [state.absmax, state.code, state.offset, state.state2.absmax]
            total += sum(tensor.nbytes for tensor in [*tensors, state.state2.code])
    # LLM.int8 moves its scales from the weight to the layer at the first forward pass.
    for layer in model.modules():
        places = (getattr(layer, "weight", None), getattr(layer, "state", None))
        scales = [scale for place in places if (scale := getattr(place, "SCB", None)) is not None]
        total += sum(scale.nbytes for scale in scales)
    return total


@pytest.mark.filterwarnings("ignore:.*:UserWarning:torch.profiler")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in EVERY_TIME else pytest.mark.slow) for name in CASES],
)
def test_a_step_takes_what_was_planned(name: str, make_recipe: Callable[[Case], Recipe]) -> None:
    case = CASES[name]
    recipe = make_recipe(case)
    plan = StageMemory(recipe.stages[0], recipe, measure_parts(recipe.model), DEVICE)
    run = MemoryPass(num_samples=case.samples, text_tokens=case.text, max_tokens=2048)
    planned = sum(plan.passing(run).values())

    model = build(recipe.model).model
    model.set_trainable([rule.what for rule in rules_of(recipe.stages[0], recipe.model)])
    model.use_checkpointing(case.checkpointing)
    objective = WordLoss(model) if case.objective == "words" else answer_loss
    actual = allocated_by_a_step(model, objective, batch(case))

    print(name, planned, actual, round(planned / actual, 3))  # noqa: T201
    assert planned == pytest.approx(actual, rel=0.1)


@pytest.mark.parametrize(
    ("precision", "trains"),
    [
        pytest.param("fp32", WHOLE, marks=pytest.mark.slow),
        ("bf16", WHOLE),
        pytest.param("nf4", ("llm.norms", "llm.biases", "encoders.*"), marks=pytest.mark.slow),
    ],
)
def test_gradients_and_states_follow_the_rules(
    precision: str, trains: tuple[str, ...], make_recipe: Callable[[Case], Recipe]
) -> None:
    recipe = make_recipe(Case(precision=precision, trains=trains))
    stage = recipe.stages[0]
    held = StageMemory(stage, recipe, measure_parts(recipe.model), DEVICE).held()
    model = build(recipe.model).model
    model.set_trainable(trains)
    assert held["llm"] == held_bytes(model.llm)
    optimiser = build_optimiser(model, stage, rules_of(stage, recipe.model))
    model.loss(batch(Case())).total.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:  # what is not read, such as an encoder's last layer, has none
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    optimiser.step()
    assert held["gradients"] == sum(p.grad.nbytes for p in trained if p.grad is not None)
    states = [t for s in optimiser.state.values() for key, t in s.items() if key != "step"]
    assert held["optimiser"] == sum(tensor.nbytes for tensor in states)


@pytest.mark.parametrize("precision", ["nf4", "int8", "bf16", "fp32"])
def test_what_is_held_is_what_was_planned(
    precision: str, make_recipe: Callable[[Case], Recipe]
) -> None:
    recipe = make_recipe(Case(precision=precision, lora=4, llm={"num_key_value_heads": 2}))
    memory = StageMemory(recipe.stages[0], recipe, measure_parts(recipe.model), DEVICE)
    held = memory.held()
    model = build(recipe.model).model
    model.set_trainable(["aligners.image", "llm.lora"])
    model.train()
    lora = sum(p.nbytes for p in model.llm.lora_parameters().values())
    assert held["lora"] == lora
    assert held["llm"] == held_bytes(model.llm) - lora
    assert held["aligners"] == held_bytes(model.aligners)
    assert held["encoders"] == pytest.approx(held_bytes(model.encoders), rel=0.02)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    model.loss(batch(Case())).total.backward()
    optimiser.step()
    assert held["gradients"] == sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    states = [s["exp_avg"].nbytes + s["exp_avg_sq"].nbytes for s in optimiser.state.values()]
    assert held["optimiser"] == sum(states)


def test_a_side_is_held_and_trains(make_recipe: Callable[[Case], Recipe]) -> None:
    recipe = make_recipe(Case(side={"kind": "cross", "every": 2, "head_dim": 16}))
    parts = measure_parts(recipe.model)
    held = StageMemory(recipe.stages[0], recipe, parts, DEVICE).held()
    model = build(recipe.model).model
    assert held["side"] == held_bytes(model.side)
    assert held["gradients"] == held_bytes(model.side) + held_bytes(model.aligners)


def test_the_table_of_words_is_held_too(make_recipe: Callable[[Case], Recipe]) -> None:
    recipe = make_recipe(Case(objective="words"))
    memory = StageMemory(recipe.stages[0], recipe, measure_parts(recipe.model), DEVICE)
    tensors = vars(WordLoss(build(recipe.model).model)).values()
    assert memory.held()["word table"] == pytest.approx(sum(t.nbytes for t in tensors), rel=0.001)
