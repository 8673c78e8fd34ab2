"""Which text of a template stands for a medium: found, named, or refused."""

from typing import Any

import pytest

from anymal.chat.template import build_template
from anymal.errors import RecipeError
from tests.anymal.chat.test_published_templates import SHAPES, turns_of, with_media_tokens, written


@pytest.fixture(name="tokenizer")
def _tokenizer(tokenizer: Any) -> Any:
    return with_media_tokens(tokenizer)


def test_a_template_of_both_shapes_is_read_as_text_where_no_marker_is_wanted(
    tokenizer: Any,
) -> None:
    tokenizer.chat_template = SHAPES["qwen2-vl"][0]
    for options in ({}, {"modalities": ("image",), "markers": {}}, {"modalities": ("imu",)}):
        template = build_template("tokenizer", tokenizer, **options)  # type: ignore[arg-type]
        assert template.markers is None
        text = written(template.render(turns_of([("user", ["a ", "*", " b"])]), generate=True))
        assert "\na (image 0) b<|im_end|>" in text


def test_the_tokenizer_may_name_the_marker(tokenizer: Any) -> None:
    tokenizer.chat_template = SHAPES["voxtral"][0]
    tokenizer.image_token = "<|image_pad|>"
    template = build_template("tokenizer", tokenizer, modalities=("image",))
    assert template.markers == {"image": "<|image_pad|>"}


@pytest.mark.parametrize("marker", ["[IMG]", "<picture>", "IMG"])
def test_a_marker_may_be_no_token(tokenizer: Any, marker: str) -> None:
    tokenizer.chat_template = SHAPES["idefics3"][0].replace("<image>", marker)
    template = build_template("tokenizer", tokenizer, modalities=("image",))
    assert template.markers == {"image": marker}


TWICE = SHAPES["idefics3"][0].replace("else '<image>'", "else '<image> <image>'")


@pytest.mark.parametrize(
    ("jinja", "markers", "words"),
    [
        (SHAPES["voxtral"][0], None, r"vision_start.*set llm.markers.image to the part"),
        (TWICE, None, "set llm.markers.image"),
        (TWICE, {"image": "<image>"}, "must name a part of that, once"),
        (SHAPES["llava"][0], {"image": "<picture>"}, r"<picture>.*writes '<image>"),
        (SHAPES["llava"][0], {"imu": "<imu>"}, "for one medium of this kind .* writes 'nothing'"),
        (
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
            {"image": "<image>"},
            "no contents as lists of parts.*leave llm.markers out",
        ),
    ],
)
def test_a_marker_that_cannot_be_found_is_refused(
    tokenizer: Any, jinja: str, markers: dict[str, str] | None, words: str
) -> None:
    tokenizer.chat_template = jinja
    with pytest.raises(RecipeError, match=words):
        build_template("tokenizer", tokenizer, modalities=("image", "imu"), markers=markers)
