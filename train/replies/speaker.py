"""A language model alone: it makes up prompts, and replies to them.

Does not choose, keep or write records; see `train.replies.write`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Self

from anymal.chat.segments import Segment, TextSegment, Turn
from anymal.chat.template import ChatTemplate, build_template
from anymal.chat.tokens import IdRun, TextEncoder, runs_of
from anymal.engine.build import build_engine
from anymal.engine.events import Finished, TextDelta
from anymal.engine.prompt import Prompt, TokenSpan
from anymal.engine.sampling import Sampling
from anymal.errors import RecipeError
from anymal.evaluation.answers import batch_budget
from anymal.llm.causal_lm import LLM
from anymal.llm.load import load_llm
from anymal.recipe.schema import LlmRecipe

AT_A_TIME = 64  # a step for as many takes a CPU hardly twice as long as one for one
_WORD = "x"  # stands for a prompt while its opening is found


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the model said.

    Attributes:
        text: Without white space around it.
        is_whole: Whether it ended by itself, and not at the limit.
    """

    text: str
    is_whole: bool


class Speaker:
    """A language model with its template.

    Args:
        llm: In eval mode; nothing else may use it until the speaker is closed.
        template: Of its conversations.
        max_tokens: Most positions of one.
    """

    def __init__(self, llm: LLM, template: ChatTemplate, *, max_tokens: int) -> None:
        self._template = template
        self._text = TextEncoder(llm.tokenizer)
        self._max_tokens = max_tokens
        end = llm.tokenizer.convert_tokens_to_ids(template.end_of_turn)
        self._engine = build_engine(
            llm,
            stop_ids={*llm.eos_ids, end},
            stop=template.stop,
            max_tokens=max_tokens,
            max_waiting=AT_A_TIME,
            budget=batch_budget(AT_A_TIME),
        )

    @classmethod
    def of(cls, recipe: LlmRecipe) -> Self:
        """The language model of a recipe, without adapters.

        Args:
            recipe: Which one, how it is held, and its template.

        Raises:
            RecipeError: It cannot be loaded.
        """
        llm = load_llm(recipe.path, precision=recipe.precision, revision=recipe.revision)
        template = build_template(recipe.template, llm.tokenizer)
        return cls(llm, template, max_tokens=recipe.max_tokens)

    def close(self) -> None:
        """End the engine's thread."""
        self._engine.close()

    def make_up(self, sampling: Sequence[Sampling]) -> list[Said]:
        """Make up prompts: what the model expects a user to write (Magpie, arXiv 2406.08464, 2.1).

        Args:
            sampling: How to draw each.

        Returns:
            One text for each.

        Raises:
            RecipeError: The template has nothing before and after a user's words.
        """
        opening, stop = opening_of(self._template, self._text)
        return self._say([(opening, replace(one, stop=stop)) for one in sampling])

    def reply(self, prompts: Sequence[str], sampling: Sequence[Sampling]) -> list[Said]:
        """Reply to prompts.

        Args:
            prompts: A user's words.
            sampling: How to draw the reply to each.

        Returns:
            A reply to each.
        """
        written = [_written(self._template, prompt) for prompt in prompts]
        return self._say(list(zip(written, sampling, strict=True)))

    def _say(self, wanted: Sequence[tuple[Sequence[Segment], Sampling]]) -> list[Said]:
        with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
            return list(pool.map(lambda each: self._continue(*each), wanted))

    def _continue(self, segments: Sequence[Segment], sampling: Sampling) -> Said:
        runs = runs_of(segments, self._text, enough=self._max_tokens)
        ids = tuple(id_ for run in runs if isinstance(run, IdRun) for id_ in run.ids)
        pieces: list[str] = []
        is_whole = False
        with closing(self._engine.submit(Prompt(spans=(TokenSpan(ids=ids),)), sampling)) as events:
            for event in events:
                if isinstance(event, TextDelta):
                    pieces.append(event.text)
                elif isinstance(event, Finished):
                    is_whole = event.reason == "stop"
        return Said(text="".join(pieces).strip(), is_whole=is_whole)


def opening_of(template: ChatTemplate, text: TextEncoder) -> tuple[list[Segment], tuple[str, ...]]:
    """What a template writes before a user's first words, and what ends them.

    Args:
        template: Of the conversation.
        text: Of the same tokeniser.

    Returns:
        The opening, and the strings that end the words; none where a special token does.

    Raises:
        RecipeError: It writes nothing before or after them.
    """
    segments = _written(template, _WORD)
    opening = list(takewhile(_is_markup, segments))
    after = takewhile(_is_markup, segments[len(opening) + 1 :])
    ending = "".join(one.text for one in after if isinstance(one, TextSegment)).strip()
    if not opening or not ending:
        raise RecipeError(
            f"template {template.name} writes nothing around a user's words, so the model cannot "
            "make prompts up; give --prompts FILE"
        )
    first = text.split_special(ending)[0]
    return opening, (first.strip(),) if isinstance(first, str) else ()


def _written(template: ChatTemplate, prompt: str) -> list[Segment]:
    """A conversation of one user turn, up to where the reply begins."""
    turn = Turn(role="user", content=(TextSegment(text=prompt),))
    return template.render([turn], generate=True)


def _is_markup(segment: Segment) -> bool:
    return isinstance(segment, TextSegment) and segment.is_markup
