"""Media of different length: one soft token for each feature, alone, in batches, cached, served."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from anymal.assemble import Assembled, build
from anymal.bundle.load import load_bundle
from anymal.bundle.manifest import MANIFEST
from anymal.bundle.save import save_bundle
from anymal.collate import Batch, collate
from anymal.errors import DataError, RecipeError, TooLong
from anymal.features.store import open_features
from anymal.features.writer import FeatureWriter
from anymal.llm.packing import allow_packing
from anymal.plan.run import measure_parts
from anymal.serving.soft_tokens import SoftTokens
from encoders.base import Features, stack_inputs
from tests.anymal.asking import answers

if TYPE_CHECKING:
    from anymal.recipe.schema import ModelRecipe

PER_FEATURE = {"kind": "linear", "num_tokens": None}
MakeRecipe = Callable[..., "ModelRecipe"]


def motion(num_rows: int, speed: float = 0.01) -> dict[str, Any]:
    """A recording, at the rate of the encoder."""
    samples = [[0.1, 0.0, 9.8, 0.0, speed * i, 0.0] for i in range(num_rows)]
    return {"type": "input_imu", "input_imu": {"samples": samples, "rate_hz": 50}}


def record(*parts: dict[str, Any], answer: str | None = "It moves.") -> dict[str, Any]:
    content = [*parts, {"type": "text", "text": "What is it?"}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    return {"messages": messages}


RECORDS = [
    record(motion(64)),
    record(motion(190), motion(3)),
    record(motion(100, speed=0.02), answer="It turns, and slowly so."),
    record(),
]


@pytest.fixture(scope="module", name="own")
def _own(model_recipe: MakeRecipe) -> Assembled:
    torch.manual_seed(0)
    return build(model_recipe("image", "imu", aligner=PER_FEATURE))


def batch_of(own: Assembled, records: Sequence[dict[str, Any]], **options: bool) -> Batch:
    samples = [own.processor(each) for each in records]
    return collate(samples, pad_id=own.processor.pad_id, **options)


def test_a_slot_is_as_long_as_its_medium_has_features(own: Assembled) -> None:
    sample = own.processor(RECORDS[1])
    encoder: Any = own.model.encoders["imu"]
    items = [item.tensors for item in sample.media["imu"]]
    real = encoder(stack_inputs(items)).mask.sum(dim=1).tolist()
    assert [slot.length for slot in sample.slots] == real
    assert real[0] > real[1] >= 1


@pytest.mark.parametrize("options", [{}, {"is_packed": True}, {"splits_prefix": True}])
def test_batch_equals_single(own: Assembled, options: dict[str, bool]) -> None:
    allow_packing(own.model.llm)
    with torch.no_grad():
        together = own.model.loss(batch_of(own, RECORDS, **options))
        alone = [own.model.loss(batch_of(own, [each])).total for each in RECORDS]
    torch.testing.assert_close(together.per_sample, torch.stack(alone), rtol=1e-5, atol=1e-5)


def test_medium_in_several_samples_is_encoded_once(
    own: Assembled, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = [RECORDS[1], record(motion(190), answer="Yes."), RECORDS[0]]
    seen: list[int] = []
    encode = own.model.encode

    def watched(media: Any) -> Any:
        seen.append(len(media["imu"].counts))
        return encode(media)

    def gradients(batches: Sequence[Batch]) -> list[torch.Tensor]:
        own.model.set_trainable(["aligners.imu"])
        own.model.zero_grad()
        for each in batches:
            own.model.loss(each).total.backward()
        return [weight.grad.clone() for weight in own.model.aligners["imu"].parameters()]

    expected = gradients([batch_of(own, [each]) for each in again])
    monkeypatch.setattr(own.model, "encode", watched)
    found = gradients([batch_of(own, again)])
    own.model.set_trainable([])
    assert seen == [3]  # of four slots
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_engine_and_cache_of_soft_tokens_take_any_length(own: Assembled) -> None:
    asked = [record(motion(rows), motion(20), answer=None) for rows in (64, 150, 10)]
    together = answers(own, asked, batch_size=3, max_tokens=6)
    assert together == [answers(own, [each], max_tokens=6)[0] for each in asked]
    soft_tokens = SoftTokens(own.model)
    for each in (asked[1], asked[2]):
        sample = own.processor(each, generate=True)
        prompt = soft_tokens.prompt(sample)
        assert prompt.counts()["imu"] == sum(slot.length for slot in sample.slots)
    assert (soft_tokens.stats().hits, soft_tokens.stats().misses) == (1, 3)
    soft_tokens.close()


def test_bundle_says_what_its_slots_are(
    own: Assembled, model_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = save_bundle(own, tmp_path / "bundle")
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["schema_version"] == 3
    assert manifest["modalities"]["imu"]["aligner"] == PER_FEATURE
    asked = [record(motion(100), answer=None)]
    assert answers(load_bundle(folder), asked) == answers(own, asked)


def test_bundle_of_schema_1_is_read(assembled: Assembled, tmp_path: Path) -> None:
    folder = save_bundle(assembled, tmp_path / "bundle")
    asked = [record(motion(64), answer=None)]
    newer = answers(load_bundle(folder), asked)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"schema_version": 1}))
    assert answers(load_bundle(folder), asked) == newer


@pytest.fixture(name="cached")
def _cached(own: Assembled, tmp_path: Path) -> Callable[..., Assembled]:
    """The model with a cache of its features, with layouts or without."""

    def make(*, has_layouts: bool) -> Assembled:
        encoder: Any = own.model.encoders["imu"]
        with FeatureWriter(tmp_path, modality="imu", encoder=encoder) as writer:
            known: set[str] = set()
            for sample in map(own.processor, RECORDS):
                for item in sample.media.get("imu", []):
                    if item.digest in known:
                        continue
                    known.add(item.digest)
                    layout = encoder.layout(item.tensors) if has_layouts else None
                    seen = encoder(stack_inputs([item.tensors]))
                    writer.add(item.digest, seen, name="x", layout=layout)
        store = open_features(tmp_path, modality="imu", encoder=encoder)
        processor = own.processor.without_features()
        processor.modalities["imu"] = replace(processor.modalities["imu"], features=store)
        return replace(own, processor=processor)

    return make


def test_cached_features_bring_their_layout(
    own: Assembled, cached: Callable[..., Assembled]
) -> None:
    from_cache = cached(has_layouts=True)
    with torch.no_grad():
        found = from_cache.model.loss(batch_of(from_cache, RECORDS)).per_sample
        expected = own.model.loss(batch_of(own, RECORDS)).per_sample
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-3)


def test_cache_without_layouts_is_refused_with_the_next_step(
    cached: Callable[..., Assembled],
) -> None:
    with pytest.raises(DataError, match=r"num_tokens: null needs; delete .* `anymal data encode`"):
        cached(has_layouts=False).processor(RECORDS[0])


def test_layout_that_was_wrong_is_not_stored(own: Assembled, tmp_path: Path) -> None:
    encoder: Any = own.model.encoders["imu"]
    (item,) = own.processor(RECORDS[0]).media["imu"]
    assert item.layout is not None
    wrong = replace(item.layout, before=item.layout.before + 1)
    seen: Features = encoder(stack_inputs([item.tensors]))
    with (
        FeatureWriter(tmp_path, modality="imu", encoder=encoder) as writer,
        pytest.raises(DataError, match="the encoder told"),
    ):
        writer.add(item.digest, seen, name="x", layout=wrong)


def test_too_long_names_the_medium_that_takes_most(model_recipe: MakeRecipe) -> None:
    own = build(model_recipe("imu", aligner=PER_FEATURE, max_tokens=60))
    with pytest.raises(TooLong, match=r"of them for media, \d+ for one imu alone"):
        own.processor(record(*[motion(1000), motion(3)]))


@pytest.fixture(name="bounded")
def _bounded(own: Assembled, monkeypatch: pytest.MonkeyPatch) -> Iterator[Assembled]:
    monkeypatch.setattr("anymal.sample.MOST_TOKENS", 5)
    monkeypatch.setattr("anymal.plan.aligner.MOST_TOKENS", 5)
    return own


def test_no_medium_takes_more_than_any_may(bounded: Assembled) -> None:
    assert bounded.processor.modalities["imu"].most_tokens == 5
    assert bounded.processor.modalities["imu"].least_tokens == 1
    bounded.processor(record(motion(3)))
    with pytest.raises(TooLong, match=r"takes \d+ soft tokens; one medium may take 5"):
        bounded.processor(record(motion(1000)))
    with pytest.raises(RecipeError, match=r"imu.aligner: .*soft tokens, and one may take 5; give"):
        measure_parts(bounded.model_recipe)


def test_plan_counts_the_longest_medium(own: Assembled) -> None:
    parts = measure_parts(own.model_recipe)
    longest = own.processor(record(motion(16 * 64))).slots[0].length
    assert parts.aligners["imu"].num_tokens == longest
    assert parts.aligners["image"].num_tokens == 4


def test_encoder_that_cannot_tell_needs_a_number(
    model_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from encoders.frozen import FrozenEncoder

    built = FrozenEncoder.__init__

    def without(self: FrozenEncoder, **options: Any) -> None:
        built(self, **(options | {"layout": None}))

    monkeypatch.setattr(FrozenEncoder, "__init__", without)
    with pytest.raises(RecipeError, match=r"imu.aligner.num_tokens is null .* give a number"):
        build(model_recipe("imu", aligner=PER_FEATURE))
    build(model_recipe("imu"))


def test_rows_end_with_a_soft_token_of_their_own(
    model_recipe: MakeRecipe, talk: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    aligner = {"kind": "projection", "num_tokens": None, "newline": True}
    own = build(model_recipe("image", aligner=aligner))
    records = [talk("What?", "Red.", images=[(255, 0, 0), (0, 0, 255)]), talk("Hello", "Hi.")]
    sample = own.processor(records[0])
    assert [slot.length for slot in sample.slots] == [2 * (2 + 1)] * 2
    assert measure_parts(own.model_recipe).aligners["image"].num_tokens == 6
    with torch.no_grad():
        together = own.model.loss(batch_of(own, records)).per_sample
        alone = [own.model.loss(batch_of(own, [each])).total for each in records]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-5, atol=1e-5)
    asked = [talk("What?", images=[(255, 0, 0)])]
    loaded = load_bundle(save_bundle(own, tmp_path / "bundle"))
    assert answers(loaded, asked) == answers(own, asked)
