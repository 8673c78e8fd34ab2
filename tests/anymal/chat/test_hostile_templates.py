"""Chat templates of strangers: each is refused in bounded time, memory and output."""

import resource
import time
from collections.abc import Callable
from typing import Any

import pytest

from anymal.chat import template_process
from anymal.chat.segments import TextSegment, Turn
from anymal.chat.template import build_template
from anymal.errors import ConversationError, RecipeError

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
# Which of them is first depends on the machine.
LIMIT = "seconds of processor time|MiB of memory|writes more than"
HOSTILE = {
    "product": ("{{ 'a' * 2000000000 }}", LIMIT),
    "product in a name": ("{% set x = 'a' * 2000000000 %}", LIMIT),
    "power": ("{% set x = 10 ** (10 ** 10) %}", LIMIT),
    "loops": (LOOPS, LIMIT),
    "loops that write": (LOOPS.replace("{% endfor %}", "xxxxxxxxxx{% endfor %}", 1), LIMIT),
    "joined": ("{% set x = (['a' * 1000000] * 100000) | join %}", LIMIT),
    "centred": ("{% set x = 'a' | center(1000000000) %}", LIMIT),
    "indented": ("{% set x = ('\n' * 30000000) | indent(100000, blank=true) %}", LIMIT),
    "formatted": ("{% set x = '%2000000000d' % 1 %}", LIMIT),
    "format": ("{% set x = '{:2000000000}'.format(1) %}", LIMIT),
    "replaced": ("{% set x = ('a' * 100000).replace('a', 'b' * 100000) %}", LIMIT),
    "doubled": (
        "{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}"
        "{% endfor %}",
        LIMIT,
    ),
    "deep macro": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
    "wide macro": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
        "{{ f(90) }}",
        LIMIT,
    ),
    "range": ("{{ range(10 ** 9) | list }}", "Range too big"),
    "include": ("{% include 'bundle.json' %}", "TypeError: no loader"),
    "import": ("{% import 'os' as os %}", "TypeError: no loader"),
    "attributes": ("{{ ''.__class__.__mro__ }}", "unsafe"),
    "division": ("{{ 1 / 0 }}", "ZeroDivisionError"),
    "syntax": ("{% for %}", "Expected"),
    "nested": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", f"refuses|{LIMIT}"),
}


def turns(number: int) -> list[Turn]:
    roles = ["user", "assistant"] * number
    return [Turn(role=r, content=(TextSegment(text="Hi"),)) for r in roles[:number]]  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_process, "MAX_SECONDS", 0.5)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_before_it_does_harm(tokenizer: Any, name: str) -> None:
    jinja, words = HOSTILE[name]
    tokenizer.chat_template = jinja + CHATML
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
    with pytest.raises(RecipeError, match=f"cannot be used: the model's chat template.*({words})"):
        build_template("tokenizer", tokenizer)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_maxrss - before.ru_maxrss < 20 * 2**10  # KiB, of this process
    assert time.process_time() - began < 1


@pytest.mark.parametrize("name", ["product", "loops", "doubled"])
def test_a_template_that_bursts_later_stops_one_conversation_and_is_not_tried_again(
    tokenizer: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jinja, words = HOSTILE[name]
    tokenizer.chat_template = "{% if messages | length > 4 %}" + jinja + "{% endif %}" + CHATML
    template = build_template("tokenizer", tokenizer)
    known = template.render(turns(3), generate=True)
    with pytest.raises(ConversationError, match=words):
        template.render(turns(5), generate=True)
    monkeypatch.setattr(template_process, "_process", must_not_be_asked)
    with pytest.raises(ConversationError, match=words):
        template.render(turns(7), generate=True)
    assert template.render(turns(3), generate=True) == known


def must_not_be_asked(pid: int) -> Any:
    raise AssertionError("a template that went beyond a limit is rendered again")


def test_one_hostile_template_leaves_the_others_alone(tokenizer: Any) -> None:
    tokenizer.chat_template = CHATML
    template = build_template("tokenizer", tokenizer)
    tokenizer.chat_template = LOOPS
    with pytest.raises(RecipeError):
        build_template("tokenizer", tokenizer)
    assert template.render(turns(9), generate=True)


def test_a_template_sees_no_secret_of_this_process(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should it ever get out of Jinja's sandbox."""
    starts: list[dict[str, Any]] = []
    popen: Callable[..., Any] = template_process.subprocess.Popen

    def start(*arguments: Any, **options: Any) -> Any:
        starts.append(options)
        return popen(*arguments, **options)

    monkeypatch.setenv("ANYMAL_API_KEY", "sesame")
    monkeypatch.setattr(template_process.subprocess, "Popen", start)
    tokenizer.chat_template = LOOPS
    for _ in range(2):  # the first ends the process, so that the second starts one
        with pytest.raises(RecipeError):
            build_template("tokenizer", tokenizer)
    assert starts
    assert all("sesame" not in options["env"].values() for options in starts)


def test_a_refusal_of_the_first_conversation_is_the_recipes_fault(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ raise_exception('no questions, please') }}"
    with pytest.raises(RecipeError, match="no questions, please"):
        build_template("tokenizer", tokenizer)
    tokenizer.chat_template = (
        "{% if messages | length == 3 %}{{ raise_exception('no more') }}{% endif %}" + CHATML
    )
    template = build_template("tokenizer", tokenizer)
    with pytest.raises(RecipeError, match="no more"):
        _ = template.digest
    with pytest.raises(ConversationError, match="no more"):
        template.render(turns(3), generate=True)


def test_the_date_stands_still(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ strftime_now('%Y-%m-%d') }}" + CHATML
    segments = build_template("tokenizer", tokenizer).render(turns(1), generate=True)
    assert segments[0].text.startswith("2024-07-26")  # type: ignore[union-attr]


def test_tools_of_transformers_are_there(tokenizer: Any) -> None:
    extra = (
        "{% generation %}a{% endgeneration %}{{ {'b': '<'} | tojson }}{{ bos_token }}"
        "{% for i in range(9) %}{% if i %}{% break %}{% endif %}c{% endfor %}"
    )
    tokenizer.chat_template = extra + CHATML
    segments = build_template("tokenizer", tokenizer).render(turns(1), generate=True)
    assert segments[0].text.startswith('a{"b": "<"}<s>c<|im_start|>')  # type: ignore[union-attr]
    messages = [{"role": "user", "content": "Hi"}]
    assert "".join(segment.text for segment in segments) == tokenizer.apply_chat_template(  # type: ignore[union-attr]
        messages, tokenize=False, add_generation_prompt=True
    )
