"""From given answers to ids, as training teaches them after a conversation.

Does not know media: the place of one is a segment. Does not grade; `anymal.engine.grade` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from anymal.chat.segments import Segment, TextSegment, Turn, markup
from anymal.chat.template import ChatTemplate
from anymal.chat.tokens import IdRun, TextEncoder, runs_of
from anymal.errors import ConversationError, TooLong


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswers:
    """Answers that somebody gives to a conversation.

    Attributes:
        texts: What they say; outer white space is dropped, as it is of every message.
        with_end: Whether the token that ends an answer belongs to each. Training teaches it; with
            it, "a dog" is an answer of its own and not the beginning of "a dog and a cat".
    """

    texts: tuple[str, ...]
    with_end: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Blank:
    """A conversation up to an answer, and what the template writes around the answer's words.

    Attributes:
        before: The conversation.
        lead: What the model learns to write before the words.
        after: What it learns to write after them, up to the token that ends the answer.
        answers: What to fill in.
    """

    before: tuple[Segment, ...]
    lead: Segment
    after: tuple[Segment, ...]
    answers: GivenAnswers

    def filled(self, text: TextEncoder, *, used: int, most: int) -> tuple[tuple[int, ...], ...]:
        """The ids that training would teach of each answer.

        Args:
            text: The tokeniser.
            used: How many tokens the conversation takes.
            most: Most tokens of the conversation and an answer, and of all answers together.

        Raises:
            TooLong: They have more.
            ConversationError: One has none.
        """
        found: list[tuple[int, ...]] = []
        for index, words in enumerate(self.answers.texts):
            said = TextSegment(text=words.strip(), is_target=True)
            after = self.after if self.answers.with_end else ()
            runs = runs_of([*self._nearest(), self.lead, said, *after], text, enough=2 * most)
            learnt = [run.ids for run in runs if isinstance(run, IdRun) and run.is_target]
            found.append(tuple(id_ for ids in learnt for id_ in ids))
            _check(index, len(found[-1]), most - used)
            if (total := sum(map(len, found))) > most:
                error = TooLong(
                    f"the answers take {total} tokens or more together; {most} are taken at a "
                    "time, so send them in several requests"
                )
                error.place = "answers"
                raise error
        return tuple(found)

    def _nearest(self) -> list[Segment]:
        """What stands before the answer, on which the tokens of its first word depend."""
        some = [each for each in self.before if not isinstance(each, TextSegment) or each.text]
        last = [
            replace(each, is_target=False) if isinstance(each, TextSegment) else each
            for each in some[-1:]
        ]
        return [*last, markup("")]


def blank_of(template: ChatTemplate, turns: Sequence[Turn], answers: GivenAnswers) -> Blank:
    """Write a conversation up to its next answer, as training has it.

    Args:
        template: Writes it.
        turns: The conversation.
        answers: What somebody gives to it.

    Raises:
        ConversationError: The template has no way to write an answer to these turns.
    """
    words = TextSegment(text="a")
    segments = template.render([*turns, Turn(role="assistant", content=(words,))], generate=False)
    said = [isinstance(s, TextSegment) and s.is_target and not s.is_markup for s in segments]
    place = len(said) - 1 - said[::-1].index(True)
    after = (each for each in segments[place + 1 :] if isinstance(each, TextSegment))
    learnt = [each for each in after if each.is_target and each.text]
    return Blank(
        before=tuple(segments[: place - 1]),
        lead=segments[place - 1],
        after=tuple(learnt[:1]),  # a format may write more after the last answer
        answers=answers,
    )


def _check(index: int, number: int, room: int) -> None:
    """Refuse an answer that has no token, or does not fit.

    Raises:
        TooLong: It does not fit.
        ConversationError: It has none.
    """
    error: ConversationError
    if number == 0:
        error = ConversationError(f"answer {index} has no words, and its end is not counted")
    elif number > room:
        error = TooLong(
            f"answer {index} takes {number} tokens; after the conversation there is room for {room}"
        )
    else:
        return
    error.place = f"answers.{index}"
    raise error
