"""Turns of one role in a row, where a template takes one."""

from typing import Any

from anymal.chat.segments import MediaSegment, Turn
from anymal.chat.template import build_template
from tests.anymal.chat.test_template import turns, written

STRICT_JINJA = (
    "{% for m in messages %}{% if m.role != 'system' and loop.previtem is defined "
    "and m.role == loop.previtem.role or m.role == 'system' and not loop.first %}"
    "{{ raise_exception('Roles must alternate!') }}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_turns_in_a_row_are_joined_where_only_one_is_taken(tokenizer: Any) -> None:
    tokenizer.chat_template = STRICT_JINJA
    talk = turns(("system", "A"), ("system", "B"), ("user", ""), ("user", "C"), ("user", "D"))
    for name in ("llama2", "vicuna", "tokenizer"):
        template = build_template(name, tokenizer)
        once = template.render(turns(("system", "A\n\nB"), ("user", "C\n\nD")), generate=True)
        assert written(template.render(talk, generate=True)) == written(once)
    apart = written(build_template("chatml", tokenizer).render(talk, generate=True))
    assert apart.count("system") == 2
    assert apart.count("user") == 3


def test_media_keep_their_places_in_joined_turns(tokenizer: Any) -> None:
    first = Turn(role="user", content=(MediaSegment(modality="image", index=0),))
    second = Turn(role="user", content=(MediaSegment(modality="image", index=1),))
    template = build_template("llama2", tokenizer)
    segments = template.render([first, *turns(("user", "or")), second], generate=True)
    assert written(segments) == "<s>[INST] (image)\n\nor\n\n(image) [/INST]"
    assert [s.index for s in segments if isinstance(s, MediaSegment)] == [0, 1]
