"""An answer to grade, as a reward model reads it: perhaps with a question behind it, and facts.

The facts stand in that question alone, so that only the one who grades knows them (LLaVA-RLHF,
arXiv 2309.14525, section 2.4). Does not compute a grade.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from anymal.errors import ConversationError
from anymal.protocol.conversation import Conversation, Message

FACTS = "{facts}"
"""What stands for the facts in the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """How an answer is presented to a reward model.

    Attributes:
        ask: What a user says behind the answer; the grade is read where the reply would begin. None
            reads it at the end of the answer.
    """

    ask: str | None = None

    @property
    def is_asked(self) -> bool:
        """Whether the grade is read where a reply would begin, and not where an answer ends."""
        return self.ask is not None

    @property
    def takes_facts(self) -> bool:
        """Whether the question has a place for facts."""
        return self.ask is not None and FACTS in self.ask

    def __call__(self, conversation: Conversation, facts: Sequence[str] = ()) -> Conversation:
        """The conversation as it is read.

        Args:
            conversation: Ends with the answer.
            facts: What is known of its media; where the question has a place for them.

        Returns:
            A conversation to go on with where `ask` is given, else the same one.

        Raises:
            ConversationError: It does not end with an answer, or facts are missing or have no
                place.
        """
        if conversation.messages[-1].role != "assistant":
            raise ConversationError(
                "the conversation should end with the answer to grade, a message of the role "
                "assistant"
            )
        if bool(facts) != self.takes_facts:
            raise _facts_error(has_place=self.takes_facts)
        if self.ask is None:
            return conversation
        question = Message(role="user", content=self.ask.replace(FACTS, "\n".join(facts)))
        return conversation.model_copy(update={"messages": [*conversation.messages, question]})


def _facts_error(*, has_place: bool) -> ConversationError:
    error = ConversationError(
        "this reward model was taught with facts; give some, each a sentence about the media"
        if has_place
        else "this reward model reads no facts, since its readouts.reward.ask has no {facts}; "
        "leave facts out"
    )
    error.place = "facts"
    return error
