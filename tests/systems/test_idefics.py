"""Idefics: pictures beside the row, as its class reads them, however requests are served."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from anymal.engine.events import Finished, Logprob, TextDelta
from anymal.engine.sampling import Sampling
from anymal.engine.scheduler import Budget
from anymal.errors import BundleError
from anymal.published.importing import import_model
from anymal.published.probe import Probe, two_turns
from anymal.published.source import checked_source
from anymal.serving.assistant import Assistant, start_assistant
from anymal.serving.precision import load_to_answer
from tests.systems.agreement import check_served, imported
from tests.systems.crossing_checkpoints import save_idefics

LIMIT = 1e-5  # of the largest score, at every word
NUM_NEW = 40


@pytest.fixture(scope="module")
def idefics(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint and its bundle."""
    place = tmp_path_factory.mktemp("idefics")
    folder = save_idefics(place / "checkpoint")
    facts = imported(folder, place / "bundle")
    assert max(facts.soft_tokens, facts.logits) <= LIMIT
    return folder, place / "bundle"


def test_it_is_served_as_its_class_generates(idefics: tuple[Path, Path]) -> None:
    check_served(*idefics)


def test_one_gate_for_a_block_and_heads_as_they_are(tmp_path: Path) -> None:
    folder = save_idefics(
        tmp_path / "idefics", normalised=False, alpha_type="float", cross_layer_interval=1
    )
    facts = imported(folder, tmp_path / "bundle")
    assert max(facts.soft_tokens, facts.logits) <= LIMIT


def probes() -> list[Probe]:
    """The same words about two pictures, about the same in another order, and about one twice."""
    probe = two_turns("image")
    first, second = probe.media
    return [probe, replace(probe, media=[second, first]), replace(probe, media=[second, second])]


@pytest.fixture(scope="module")
def said(idefics: tuple[Path, Path]) -> list[tuple[str, list[float], float]]:
    """What the class says to each: words, how likely each was, and the largest score."""
    importer = checked_source(idefics[0]).importer
    published = importer.load(idefics[0])
    found = []
    for probe in probes():
        inputs = importer.inputs(published, probe)
        made = published.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=NUM_NEW,
            output_logits=True,
            return_dict_in_generate=True,
        )
        logits = torch.cat(made.logits).float()
        ids = made.sequences[0, -len(logits) :]
        chances = logits.log_softmax(dim=-1).gather(1, ids[:, None])[:, 0]
        text = published.processor.tokenizer.decode(ids, skip_special_tokens=True)
        found.append((text, chances.tolist(), float(logits.abs().max())))
    assert len({text for text, _, _ in found}) == len(found), "pictures and their order matter"
    return found


def ask(assistant: Assistant, chosen: Sequence[Probe]) -> list[tuple[str, list[float]]]:
    """All at once."""
    prompts = [
        assistant.soft_tokens.prompt(assistant.processor(probe.record(), generate=True))
        for probe in chosen
    ]
    sampling = Sampling(max_tokens=NUM_NEW, logprobs=0)
    streams = [assistant.engine.submit(prompt, sampling) for prompt in prompts]
    found = []
    for stream in streams:
        text, chances = "", list[Logprob]()
        for event in stream:
            if isinstance(event, TextDelta):
                text += event.text
            if isinstance(event, TextDelta | Finished):
                chances += event.logprobs
        found.append((text, [each.logprob for each in chances]))
    return found


@pytest.mark.parametrize(
    ("num_blocks", "budget", "shows"),
    [
        (400, Budget(), lambda stats: stats.prefix_tokens_hit > 0),
        (400, Budget(step_tokens=24, beside_decode=9), lambda stats: stats.steps > NUM_NEW),
        (20, Budget(step_tokens=64), lambda stats: stats.preemptions > 0),
    ],
    ids=["alone, then from the cache", "packed in pieces", "preempted"],
)
def test_pictures_are_not_confused(
    idefics: tuple[Path, Path],
    said: list[tuple[str, list[float], float]],
    num_blocks: int,
    budget: Budget,
    shows: Callable[[Any], bool],
) -> None:
    assembled = load_to_answer(idefics[1], precision="fp32")
    block_bytes = 16 * 2 * 4 * 64 * 4  # positions, keys and values, layers, width, float32
    with start_assistant(
        assembled, name="idefics", budget=budget, cache_bytes=num_blocks * block_bytes
    ) as assistant:
        if budget == Budget():
            found = [ask(assistant, [probe])[0] for probe in probes()]
            found += ask(assistant, probes())
        else:
            found = ask(assistant, probes())
        assert shows(assistant.engine.stats())
    for number, (text, chances) in enumerate(found):
        wanted, wanted_chances, largest = said[number % len(said)]
        assert text == wanted
        assert chances == pytest.approx(wanted_chances, abs=LIMIT * largest)


def test_checkpoint_whose_answers_have_no_end_is_refused(tmp_path: Path) -> None:
    folder = save_idefics(tmp_path / "idefics", specials=())
    with pytest.raises(BundleError, match="import an instructed checkpoint"):
        import_model(folder, tmp_path / "bundle", tell=lambda _: None)
