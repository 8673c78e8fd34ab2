"""How an answer is shown to a reward model."""

import pytest

from anymal.errors import ConversationError
from anymal.protocol.conversation import Conversation
from anymal.protocol.grading import Grading

ASK = "How good is it? {facts} Grade:"


def talk(*roles: str) -> Conversation:
    messages = [{"role": role, "content": role} for role in roles]
    return Conversation.model_validate({"messages": messages})


def test_the_question_stands_behind_the_answer_with_the_facts() -> None:
    given = talk("user", "assistant")
    found = Grading(ask=ASK)(given, ["A cat sleeps.", "It is red."])
    assert found.messages[:2] == given.messages
    assert found.messages[2].role == "user"
    assert found.messages[2].content == "How good is it? A cat sleeps.\nIt is red. Grade:"
    assert len(given.messages) == 2


def test_without_a_question_the_answer_ends_it() -> None:
    given = talk("user", "assistant")
    assert Grading()(given) is given
    assert not Grading().is_asked


@pytest.mark.parametrize(
    ("ask", "facts", "message"),
    [
        (ASK, [], "was taught with facts"),
        ("Grade it.", ["A cat."], r"has no \{facts\}"),
        (None, ["A cat."], "reads no facts"),
    ],
)
def test_facts_have_a_place_or_are_refused(ask: str | None, facts: list[str], message: str) -> None:
    with pytest.raises(ConversationError, match=message) as caught:
        Grading(ask=ask)(talk("user", "assistant"), facts)
    assert caught.value.place == "facts"


def test_a_conversation_without_an_answer_is_refused() -> None:
    with pytest.raises(ConversationError, match="end with the answer"):
        Grading()(talk("user"))
