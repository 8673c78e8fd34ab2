"""Published templates that write media themselves: our ids are those of transformers."""

from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from anymal.chat.segments import MediaSegment, Role, Segment, TextSegment, Turn
from anymal.chat.template import ChatTemplate, build_template
from anymal.chat.tokens import IdRun, TextEncoder, runs_of
from anymal.errors import ConversationError, RecipeError

# The shapes of templates that come with processors; each row: Jinja, what stands for an image.
SHAPES = {
    # Media first, then words; no token of its own begins or ends anything.
    "llava": (
        "{% for m in messages %}{% if m['role'] != 'system' %}{{ m['role'].upper() + ': ' }}"
        "{% endif %}{% for c in m['content'] | selectattr('type', 'equalto', 'image') %}"
        "{{ '<image>\n' }}{% endfor %}"
        "{% for c in m['content'] | selectattr('type', 'equalto', 'text') %}"
        "{% if m['role'] == 'assistant' %}{% generation %}{{ c['text'] + ' ' }}{% endgeneration %}"
        "{% else %}{{ c['text'] + ' ' }}{% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
        "<image>",
    ),
    # Contents of both shapes; the medium stands between two tokens.
    "qwen2-vl": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.content is string %}"
        "{{ m.content }}{% else %}{% for c in m.content %}"
        "{% if c.type == 'image' or 'image' in c %}"
        "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% elif 'text' in c %}{{ c.text }}"
        "{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "<|image_pad|>",
    ),
    # A number before each medium.
    "qwen2-audio": (
        "{% set n = namespace(value=0) %}{% for m in messages %}"
        "{{ '<|im_start|>' + m.role + '\n' }}{% if m.content is string %}{{ m.content }}"
        "{% else %}{% for c in m.content %}{% if 'image' in c %}{% set n.value = n.value + 1 %}"
        "{{ 'Item ' ~ n.value ~ ': <|vision_start|><|image_pad|><|vision_end|>\n' }}"
        "{% elif 'text' in c %}{{ c.text }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "<|image_pad|>",
    ),
    # What stands before a message depends on what it begins with.
    "idefics3": (
        "<s>{% for m in messages %}{{ m.role | capitalize }}"
        "{{ ':' if m.content[0].type == 'image' else ': ' }}{% for c in m.content %}"
        "{{ c.text if c.type == 'text' else '<image>' if c.type == 'image' }}{% endfor %}"
        "{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
        "<image>",
    ),
    # One token before the medium, and answers that end with the model's eos.
    "voxtral": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}"
        "{% for c in m.content %}{{ ' ' + c.text }}{% endfor %}{{ eos_token }}{% else %}"
        "{{ '[INST]' }}{% for c in m.content %}{% if c.type == 'text' %}{{ c.text }}"
        "{% elif c.type == 'image' %}{{ '<|vision_start|><|image_pad|>' }}{% else %}"
        "{{ raise_exception('only text and images') }}{% endif %}{% endfor %}{{ '[/INST]' }}"
        "{% endif %}{% endfor %}",
        "<|image_pad|>",
    ),
}
TALK: list[tuple[Role, list[str]]] = [
    ("user", ["*", "What is this?"]),
    ("assistant", ["A dog."]),
    ("user", ["And", "*", "*", "this?"]),
]
ANSWER: tuple[Role, list[str]] = ("assistant", ["A cat."])


def with_media_tokens(tokenizer: Any) -> Any:
    names = ["<image>", "<|image_pad|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer.add_tokens(names, special_tokens=True)
    return tokenizer


@pytest.fixture(name="tokenizer")
def _tokenizer(tokenizer: Any) -> Any:
    return with_media_tokens(tokenizer)


def turns_of(talk: Sequence[tuple[Role, list[str]]], modality: str = "image") -> list[Turn]:
    """Turns, `*` in them a medium."""
    turns, index = [], 0
    for role, parts in talk:
        content: list[Segment] = []
        for part in parts:
            if part == "*":
                content.append(MediaSegment(modality=modality, index=index))
                index += 1
            else:
                content.append(TextSegment(text=part))
        turns.append(Turn(role=role, content=tuple(content)))
    return turns


def messages_of(talk: Sequence[tuple[Role, list[str]]]) -> list[dict[str, Any]]:
    parts = [
        [
            {"type": "image", "image": "a.png"} if part == "*" else {"type": "text", "text": part}
            for part in parts
        ]
        for _, parts in talk
    ]
    return [{"role": role, "content": own} for (role, _), own in zip(talk, parts, strict=True)]


def theirs(tokenizer: Any, talk: Sequence[tuple[Role, list[str]]], *, generate: bool) -> list[int]:
    """As `ProcessorMixin.apply_chat_template`: what the template writes, tokenised whole."""
    text = tokenizer.apply_chat_template(
        messages_of(talk), tokenize=False, add_generation_prompt=generate
    )
    begins = text.startswith(tokenizer.bos_token)
    return list(tokenizer(text, add_special_tokens=not begins)["input_ids"])


def ours(tokenizer: Any, segments: Sequence[Segment], marker: str) -> list[int]:
    """Ids of segments, each medium a single marker."""
    ids: list[int] = []
    for run in runs_of(segments, TextEncoder(tokenizer, is_processors=True), enough=1000):
        ids += run.ids if isinstance(run, IdRun) else [tokenizer.convert_tokens_to_ids(marker)]
    return ids


def built(tokenizer: Any, shape: str) -> ChatTemplate:
    jinja, marker = SHAPES[shape]
    tokenizer.chat_template = jinja
    markers = {"image": marker} if shape == "voxtral" else None
    return build_template("tokenizer", tokenizer, modalities=("image", "imu"), markers=markers)


@pytest.mark.parametrize("generate", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_ids_are_those_of_transformers(tokenizer: Any, shape: str, generate: bool) -> None:
    template = built(tokenizer, shape)
    assert template.markers == {"image": SHAPES[shape][1]}
    talk = TALK if generate else [*TALK, ANSWER]
    found = ours(tokenizer, template.render(turns_of(talk), generate=generate), SHAPES[shape][1])
    expected = theirs(tokenizer, talk, generate=generate)
    if not generate and shape == "llava":  # what follows the last answer is not learnt; eos is
        blank = TextEncoder(tokenizer).encode(" ")
        expected = [*expected[: len(expected) - len(blank)], tokenizer.eos_token_id]
    assert found == expected


def spaced(scheme: str) -> Any:
    """A tokeniser that writes a space before words, as sentencepiece does."""
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)  # type: ignore[arg-type]
    letters = [chr(code) for code in range(32, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=200,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=[*letters, "\u2581", "\n"],
        show_progress=False,
    )
    backend.train_from_iterator(["What is this? ASSISTANT: A dog. A cat. USER: And this?"], trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    return with_media_tokens(tokenizer)


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
@pytest.mark.parametrize("shape", ["llava", "qwen2-audio", "idefics3", "voxtral"])
def test_ids_are_those_of_transformers_where_words_begin_with_a_space(
    shape: str, scheme: str
) -> None:
    tokenizer = spaced(scheme)
    template = built(tokenizer, shape)
    found = ours(tokenizer, template.render(turns_of(TALK), generate=True), SHAPES[shape][1])
    assert found == theirs(tokenizer, TALK, generate=True)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("llava", " A dog. A cat.</s>"),
        ("qwen2-vl", "A dog.<|im_end|>A cat.<|im_end|>"),
        ("qwen2-audio", "A dog.<|im_end|>A cat.<|im_end|>"),
        ("idefics3", " A dog.<|im_end|> A cat.<|im_end|>"),
        ("voxtral", " A dog.</s> A cat.</s>"),
    ],
)
def test_answers_and_their_ends_are_learnt(tokenizer: Any, shape: str, expected: str) -> None:
    template = built(tokenizer, shape)
    segments = template.render(turns_of([*TALK, ANSWER]), generate=False)
    learnt = [s.text for s in segments if isinstance(s, TextSegment) and s.is_target]
    assert "".join(learnt) == expected
    assert expected.endswith(template.end_of_turn)


def written(segments: Sequence[Segment]) -> str:
    return "".join(
        s.text if isinstance(s, TextSegment) else f"({s.modality} {s.index})" for s in segments
    )


def test_the_text_around_a_marker_stays_and_the_recipes_is_added(tokenizer: Any) -> None:
    template = built(tokenizer, "qwen2-vl")
    medium = MediaSegment(modality="image", index=0, prefix="<s>", suffix="#")
    segments = template.render([Turn(role="user", content=(medium,))], generate=True)
    assert "\n<|vision_start|><s>(image 0)#<|vision_end|><|im_end|>" in written(segments)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_modality_that_the_template_does_not_know_stands_in_the_text(
    tokenizer: Any, shape: str
) -> None:
    template = built(tokenizer, shape)
    media = [
        MediaSegment(modality="imu", index=0, suffix="\n"),
        MediaSegment(modality="image", index=0),
    ]
    content = (TextSegment(text="Both "), *media, TextSegment(text="now"))
    text = written(template.render([Turn(role="user", content=content)], generate=True))
    assert "Both (imu 0)\n" in text
    assert text.count("(image 0)") == 1


def test_soft_tokens_stand_where_their_medium_would(tokenizer: Any) -> None:
    template = built(tokenizer, "qwen2-vl")
    sent = MediaSegment(modality="embeds", index=0, stands_for="image")
    bare = MediaSegment(modality="embeds", index=1, stands_for="")
    text = written(template.render([Turn(role="user", content=(sent, bare))], generate=True))
    assert "<|vision_start|>(embeds 0)<|vision_end|>(embeds 1)<|im_end|>" in text


def test_media_in_another_turn_than_theirs_are_refused(tokenizer: Any) -> None:
    gathers = (
        "{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}<image>"
        "{% endif %}{% endfor %}{% endfor %}"
        "{% for m in messages %}{{ m.role }}: {% for c in m.content %}"
        "{% if c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    tokenizer.chat_template = gathers
    template = build_template("tokenizer", tokenizer, modalities=("image",))
    assert template.render(turns_of(TALK[:1]), generate=True)
    with pytest.raises(ConversationError, match="reorders messages or media"):
        template.render(turns_of(TALK), generate=True)


@pytest.mark.parametrize("sign", ["\ue0009\ue001", "\ue000media 7\ue001", "\ue000\ue001", "\ue000"])
def test_a_template_cannot_make_up_contents(tokenizer: Any, sign: str) -> None:
    tokenizer.chat_template = sign + SHAPES["idefics3"][0]
    with pytest.raises(RecipeError, match="drops, repeats or reorders"):
        build_template("tokenizer", tokenizer, modalities=("image",))
