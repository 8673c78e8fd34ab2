"""The formats that come with the package: what they write has not changed, and what they need."""

import re
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from anymal.chat.segments import MediaSegment, TextSegment, Turn
from anymal.chat.shipped import format_names
from anymal.chat.template import build_template
from anymal.errors import RecipeError
from anymal.recipe.schema import TemplateName
from tests.anymal.chat.test_template import TALK, targets, turns, written


def test_the_prompts_of_old_bundles_have_not_changed(tokenizer: Any) -> None:
    """Bundles record the digest, and are refused by a version that writes otherwise."""
    digests = {name: build_template(name, tokenizer).digest for name in ("llama2", "vicuna")}
    digests["chatml"] = build_template("chatml", tokenizer, modalities=("image",)).digest
    assert digests == {
        "llama2": "fd5e488eb340e947ce903080247e57d2d28ef196e78f6eb6af1c2540e7680ac5",
        "vicuna": "291b78c451d9949e1c4aa3e88189f35cbfa0a543cbd2285f5cdea1d64e0534c0",
        "chatml": "0227b504b157d8ab8c6bf24e61a173af4ef2b807b63b98e2f4907c39765a38c5",
    }


def test_a_recipe_may_name_every_format() -> None:
    assert set(get_args(TemplateName)) == {"tokenizer", *format_names()}


def test_base_writes_words_as_they_are(tokenizer: Any) -> None:
    template = build_template("base", tokenizer)
    talk = turns(("system", "Be brief."), *TALK, ("assistant", "See you."))
    segments = template.render(talk, generate=False)
    assert written(segments) == "<s>Be brief.\n\nHi Hello.</s>Bye See you.</s>"
    assert targets(segments) == " Hello.</s> See you.</s>"
    assert written(template.render(talk[:2], generate=True)) == "<s>Be brief.\n\nHi"


def test_plain_writes_media_and_their_captions_alone(tokenizer: Any) -> None:
    template = build_template("plain", tokenizer, modalities=("image",))
    medium = MediaSegment(modality="image", index=0, prefix="<s>")
    asked = Turn(role="user", content=(TextSegment(text="Describe "), medium))
    said = turns(("assistant", "A dog."))
    segments = template.render([asked, *said], generate=False)
    assert written(segments) == "<s><s>(image)A dog.\n"
    assert targets(segments) == "A dog.\n"
    assert written(template.render([asked], generate=True)) == "<s><s>(image)"
    again = template.render([asked, *said, *turns(("user", "And?")), *said], generate=False)
    assert targets(again) == "A dog.\nA dog.\n"
    assert template.end_of_turn == "</s>"
    assert template.digest != build_template("base", tokenizer).digest


@pytest.mark.parametrize(
    ("name", "lacks", "words"),
    [
        ("llama2", "eos_token", "template llama2 writes ' ' after an answer"),
        ("plain", "eos_token", "no special token to stop at; set llm.template to alpaca, "),
        ("chatml", "<|im_end|>", "template chatml writes '<|im_end|>"),
    ],
)
def test_a_format_whose_end_the_tokenizer_lacks_is_refused(
    tokenizer: Any, name: str, lacks: str, words: str
) -> None:
    if lacks == "eos_token":
        tokenizer.eos_token = None
    else:
        found = tokenizer.added_tokens_decoder
        known = {i: token for i, token in found.items() if token.content != lacks}
        tokenizer = SimpleNamespace(
            special_tokens_map=tokenizer.special_tokens_map,
            eos_token=tokenizer.eos_token,
            added_tokens_decoder=known,
        )
    with pytest.raises(RecipeError, match=re.escape(words)):
        build_template(name, tokenizer)
