"""Otter (A12 of the methods), as its recipe builds it.

Works when: OpenFlamingo's tests, the labels of MIMIC-IT, and what trains is the resampler, the
gated blocks and word rows. Pictures of examples before a question are read too, each once.
"""

from collections.abc import Callable
from typing import Any

import pytest

from anymal.assemble import Assembled
from anymal.sample import IGNORED
from tests.systems.beside import BLUE, RED, ids_of, part_of, small, trained

Talk = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", name="otter")
def _otter(tmp_path_factory: pytest.TempPathFactory) -> Assembled:
    return small("otter", tmp_path_factory.mktemp("otter"))


def test_every_answer_to_the_end_of_its_chunk_is_learnt_and_every_picture_read(
    otter: Assembled, talk: Talk
) -> None:
    example = talk("What is it?", "Red.", images=[RED])["messages"]
    question = talk("And this?", "Blue.", images=[BLUE])["messages"]
    sample = otter.processor({"messages": [*example, *question]})
    image, chunk, answer = (
        ids_of(otter, each) for each in ("<image>", "<|endofchunk|>", "<answer>")
    )
    ids = sample.ids.tolist()
    assert ids.count(image) == len(sample.slots) == len(sample.media["image"]) == 2
    wanted = [IGNORED] * len(ids)
    for start in [place for place, each in enumerate(ids) if each == answer]:
        stop = ids.index(chunk, start)
        wanted[start + 1 : stop + 1] = ids[start + 1 : stop + 1]
    wanted[-1] = ids[-1]  # the end of the text
    assert sample.labels.tolist() == wanted
    assert wanted.count(chunk) == 2


def test_what_trains_is_resampler_blocks_and_three_rows(otter: Assembled) -> None:
    assert {part_of(name) for name in trained(otter)} == {"aligners", "side", "extra_tokens"}
    assert otter.model.extra_tokens is not None
    assert len(otter.model.extra_tokens.rows) == 3
