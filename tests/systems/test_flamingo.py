"""Flamingo and OpenFlamingo (A10 and A11 of the methods), as their recipes build them.

Works when: at first the logits are the bare language model's bit for bit, and the first backward
pass reaches the gates alone (besides words that train); a word reads the last picture before it.
The resampler is compared with `IdeficsPerceiverResampler` in `tests/aligners`, the blocks with
`IdeficsForVisionText2Text` in `tests/anymal/side`.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from anymal.assemble import Assembled
from tests.systems.beside import (
    BLUE,
    RED,
    bare_logits,
    gradients,
    ids_of,
    logits,
    open_gates,
    part_of,
    read,
    small,
    trained,
)

Talk = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", name="flamingo", params=["flamingo", "openflamingo"])
def _flamingo(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Assembled:
    return small(request.param, tmp_path_factory.mktemp(request.param))


def pages(talk: Talk, first: tuple[int, ...] = RED, last: tuple[int, ...] = BLUE) -> dict[str, Any]:
    """A page of two pictures, each with its text."""
    one = talk("", "A red square.", images=[first])["messages"]
    return {"messages": [*one, *talk("", "A blue one.", images=[last])["messages"]]}


def test_at_first_it_is_the_language_model_and_gates_learn(flamingo: Assembled, talk: Talk) -> None:
    sample = flamingo.processor(pages(talk))
    assert torch.equal(logits(flamingo, [sample])[0], bare_logits(flamingo, sample))
    learnt = {name for name in gradients(flamingo, [sample]) if part_of(name) != "extra_tokens"}
    gates = {name for name in trained(flamingo) if name.endswith((".gate", ".gate_fed"))}
    assert learnt == gates != set()


def test_what_trains_is_resampler_blocks_and_two_rows(flamingo: Assembled) -> None:
    assert {part_of(name) for name in trained(flamingo)} == {"aligners", "side", "extra_tokens"}
    assert flamingo.model.extra_tokens is not None
    assert len(flamingo.model.extra_tokens.rows) == 2


def test_a_picture_stands_before_its_own_word_and_takes_no_position(
    flamingo: Assembled, talk: Talk
) -> None:
    sample = flamingo.processor(pages(talk))
    word = ids_of(flamingo, "<image>")
    places = (sample.ids == word).nonzero()[:, 0].tolist()
    assert [(slot.start, slot.length) for slot in sample.slots] == [(each, 0) for each in places]
    assert len(places) == 2


def test_a_later_picture_changes_nothing_before_it(flamingo: Assembled, talk: Talk) -> None:
    samples = [flamingo.processor(pages(talk, last=last)) for last in (BLUE, RED)]
    place = samples[0].slots[1].start
    open_gates(flamingo)
    one, other = logits(flamingo, samples)
    assert torch.equal(one[:place], other[:place])
    assert not torch.allclose(one[place:], other[place:])


def test_blocks_stand_before_every_fourth_layer() -> None:
    for name in ("flamingo", "openflamingo", "otter"):
        side = read(name).model.side
        assert side is not None
        assert side.options["every"] == 4
        assert side.options["media_dim"] == 1024
