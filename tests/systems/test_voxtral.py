"""Voxtral: what an imported model computes and says of sounds is what its class does.

Works when: a recording is one spectrogram cut into chunks, each gives as many soft tokens whatever
is in it, the prompt is the one that mistral-common writes, and greedy answers about two sounds of
different length in one conversation equal the class's `generate`.
"""

from pathlib import Path

import pytest
import torch

from anymal.bundle.load import load_bundle
from anymal.published.probe import two_turns
from anymal.sample import SLOT_ID
from tests.systems.agreement import check_served, imported
from tests.systems.sounding_checkpoints import save_voxtral

PER_CHUNK = 10  # of 50 positions, merged by 5


@pytest.fixture(name="folders", scope="module")
def _folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("voxtral")
    imported(save_voxtral(folder / "published"), folder / "bundle")
    return folder / "published", folder / "bundle"


def test_it_is_served_as_its_class_generates(folders: tuple[Path, Path]) -> None:
    check_served(*folders, "audio")


def test_the_prompt_is_that_of_mistral_common(folders: tuple[Path, Path]) -> None:
    processor = load_bundle(folders[1]).processor
    record = two_turns("audio").record()  # of 1.5 s and 0.8 s, in chunks of one second
    ids = processor(record, generate=True).ids
    words = processor.tokenizer.decode(torch.where(ids == SLOT_ID, 24, ids))
    first, second = "[AUDIO]" * (2 * PER_CHUNK), "[AUDIO]" * PER_CHUNK
    assert words == (
        f"<s>[INST][BEGIN_AUDIO]{first}What is this?[/INST]It is noise.</s>"
        f"[INST][BEGIN_AUDIO]{second}And how does this one differ?[/INST]"
    )
    assert processor.tokenizer.convert_tokens_to_ids(["[INST]", "[BEGIN_AUDIO]"]) == [3, 25]
