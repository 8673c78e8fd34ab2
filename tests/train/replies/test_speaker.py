"""What opens and ends a made-up prompt, and that replies are the model's own."""

from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from anymal.chat.segments import TextSegment
from anymal.chat.template import build_template
from anymal.chat.tokens import TextEncoder
from anymal.engine.sampling import Sampling
from anymal.errors import RecipeError
from anymal.recipe.schema import LlmRecipe
from train.replies.speaker import Speaker, opening_of


@pytest.fixture(scope="module")
def tokenizer(checkpoints: SimpleNamespace) -> Any:
    return AutoTokenizer.from_pretrained(checkpoints.llm)


@pytest.mark.parametrize(
    ("name", "start", "end", "stop"),
    [("vicuna", "<s>A chat between", "questions. USER: ", "ASSISTANT:"),
     ("llama2", "<s>", "[INST] ", "[/INST]")],
)  # fmt: skip
def test_a_prompt_opens_and_ends_as_the_template_writes_it(
    tokenizer: Any, name: str, start: str, end: str, stop: str
) -> None:
    opening, stops = opening_of(build_template(name, tokenizer), TextEncoder(tokenizer))
    written = "".join(one.text for one in opening if isinstance(one, TextSegment))
    assert written.startswith(start)
    assert written.endswith(end)
    assert stops == (stop,)


def test_no_string_ends_a_prompt_that_a_special_token_ends(tokenizer: Any) -> None:
    own = "{% for m in messages %}{{ '<s>' + m.role + ' ' + m.content + '</s>' }}{% endfor %}"
    tokenizer.chat_template = own + "{% if add_generation_prompt %}<s>assistant {% endif %}"
    opening, stops = opening_of(build_template("tokenizer", tokenizer), TextEncoder(tokenizer))
    assert [one.text for one in opening if isinstance(one, TextSegment)] == ["<s>user "]
    assert stops == ()


def test_a_template_without_a_users_words_is_refused(tokenizer: Any) -> None:
    with pytest.raises(RecipeError, match="give --prompts FILE"):
        opening_of(build_template("plain", tokenizer), TextEncoder(tokenizer))


def test_replies_are_those_of_the_plain_model(checkpoints: SimpleNamespace, tokenizer: Any) -> None:
    path = str(checkpoints.llm)
    recipe = LlmRecipe(path=path, precision="fp32", template="vicuna", max_tokens=256)
    with closing(Speaker.of(recipe)) as speaker:
        (said,) = speaker.reply(["What is it?"], [Sampling(max_tokens=8)])
        made_up = speaker.make_up([Sampling(max_tokens=6, temperature=1.0, seed=s) for s in (1, 2)])
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    opening, _ = opening_of(build_template("vicuna", tokenizer), TextEncoder(tokenizer))
    text = "".join(one.text for one in opening if isinstance(one, TextSegment))
    ids = tokenizer(f"{text}What is it? ASSISTANT:", return_tensors="pt", add_special_tokens=False)
    answer = model.generate(**ids, max_new_tokens=8, do_sample=False)
    expected = tokenizer.decode(answer[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert said.text == expected.strip()
    assert made_up[0] != made_up[1]
