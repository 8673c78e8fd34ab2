"""What is measured of a model that did not change, and of one that did."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from anymal.assemble import Assembled, build
from benchmarks.chat_kept import chat_kept

PROMPTS = ["What is red?", "Who is there?", "Tell me more."]


@pytest.fixture
def adapted(model_recipe: Callable[..., Any]) -> Assembled:
    torch.manual_seed(0)
    return build(model_recipe("image", lora={"r": 4, "alpha": 4}))


def test_adapters_that_add_nothing_change_nothing(adapted: Assembled) -> None:
    answered: list[int] = []
    found = chat_kept(adapted, PROMPTS, tokens=5, shown=2, tick=answered.append)
    assert found["prompts"] == 3
    assert found["log_probability_after"] == found["log_probability_before"] < 0
    assert found["change_by_prompt"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert [row["prompt"] for row in found["answers"]] == PROMPTS[:2]
    assert all(row["before"] == row["after"] for row in found["answers"])
    assert sum(answered) == 5


def test_what_the_model_says_is_its_likeliest_and_adapters_make_it_less_likely(
    adapted: Assembled,
) -> None:
    same = chat_kept(adapted, PROMPTS, tokens=5, shown=0)
    torch.manual_seed(1)
    for parameter in adapted.model.llm.lora_parameters().values():
        parameter.data = torch.randn_like(parameter) / 4
    changed = chat_kept(adapted, PROMPTS, tokens=5, shown=0)
    assert changed["log_probability_before"] == same["log_probability_before"]
    assert changed["log_probability_after"] < changed["log_probability_before"] - 0.05
    # Greedy tokens are each at least as likely as one of a vocabulary drawn evenly.
    uniform = -torch.tensor(float(adapted.model.llm.vocab_size)).log()
    assert changed["log_probability_before"] > float(uniform)
