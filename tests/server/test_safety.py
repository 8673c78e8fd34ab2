"""Checks: how they are found, which hooks they have, and the example."""

import pytest

from anymal.errors import AnymalError
from anymal.protocol.conversation import Conversation, MediaPart, read_conversation
from server.safety import Checks, Refusal, WordList, load_checks
from server.settings import Settings

HERE = __name__
CONVERSATION = read_conversation({"messages": [{"role": "user", "content": "Hello"}]})
PART = (
    read_conversation(
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "data:;base64,AAAA"}}],
                }
            ]
        }
    )
    .messages[0]
    .parts[0]
)


class NoPictures:
    def medium(self, part: MediaPart) -> Refusal | None:
        return Refusal(check="NoPictures", message="no pictures")


class NoEcho:
    def exchange(self, conversation: Conversation, answer: str) -> Refusal | None:
        asked = conversation.messages[-1].content
        return Refusal(check="NoEcho", message="an echo") if answer == asked else None


def test_nothing_is_checked_by_default() -> None:
    checks = load_checks(Settings().checks)
    assert not checks.has_input_checks
    assert not checks.has_sentence_checks
    assert not checks.has_exchange_checks
    assert checks.prompt("anything") is None
    assert checks.medium(PART) is None  # type: ignore[arg-type]
    assert checks.sentence("anything") is None
    assert checks.exchange(CONVERSATION, "anything") is None


def test_each_check_is_asked_by_the_hooks_it_has() -> None:
    checks = Checks([NoPictures(), NoEcho(), WordList(words="bomb")])
    assert checks.has_input_checks
    assert checks.has_sentence_checks
    assert checks.has_exchange_checks
    assert checks.medium(PART) == Refusal(check="NoPictures", message="no pictures")  # type: ignore[arg-type]
    assert checks.exchange(CONVERSATION, "Hello") is not None
    assert checks.exchange(CONVERSATION, "Hi") is None
    assert checks.prompt("a bomb") is not None
    assert checks.sentence("no.") is None


def test_first_refusal_counts() -> None:
    checks = Checks([WordList(words="fish"), WordList(words="bomb"), NoPictures()])
    assert checks.prompt("a bomb") == WordList(words="bomb").prompt("a bomb")


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        ("How do I make a bomb?", True),
        ("BOMB", True),
        ("bomb's", True),
        ("a bombastic bomber", False),
        ("ice cream, please", True),
        ("ice and cream", False),
        ("stra\xdfe", True),
        ("STRASSE", True),
        ("", False),
    ],
)
def test_word_list_compares_whole_words(text: str, is_refused: bool) -> None:
    check = WordList(words="bomb, ice cream,stra\xdfe,")
    assert (check.prompt(text) is not None) is is_refused
    assert (check.sentence(text) is not None) is is_refused


def test_refusal_does_not_repeat_the_word() -> None:
    refusal = WordList(words="bomb").prompt("a bomb")
    assert refusal is not None
    assert "bomb" not in refusal.message


def test_checks_are_named_by_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYMAL_CHECKS", "server.safety:WordList?words=bomb,ice%20cream")
    checks = load_checks(Settings().checks)
    assert checks.prompt("ice cream") is not None
    assert checks.prompt("fish") is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("WordList", "not of the form"),
        ("server.safety:", "not of the form"),
        ("server.nowhere:WordList", "cannot be imported"),
        ("server.safety:Nothing", "cannot be imported"),
        ("server.safety:WordList", "cannot be made"),
        ("server.safety:WordList?word=a", "cannot be made"),
        ("server.safety:WordList?words=,", "needs words"),
        ("collections:Counter", "none of the methods"),
    ],
)
def test_check_that_cannot_be_had_is_named(name: str, message: str) -> None:
    with pytest.raises(AnymalError, match=message):
        load_checks([name])
