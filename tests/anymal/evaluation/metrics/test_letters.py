import pytest

from anymal.evaluation.metrics.base import Answer
from anymal.evaluation.metrics.letters import LETTER_ACCURACY, lettered
from anymal.evaluation.scoring import Expected

WANT = Expected(task="t", answer="a dog", choices=("the cat", "a dog", "a dog house"), synonyms={})


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("B", True),
        ("b", True),
        ("(B)", True),
        ("B.", True),
        ("B. a dog", True),
        ("(B) a dog", True),
        ("The answer is B.", True),
        ("the correct option: (B)", True),
        ("Answer: B", True),
        ("ANSWER: (B)", True),
        ("Option C", False),
        ("Answer: A dog", True),
        ("a dog", True),
        ("It shows a dog.", True),
        ("C", False),
        ("A", False),
        ("A. a dog", False),
        ("A dog house", False),
        ("The answer is C", False),
        ("E", False),
        ("", False),
    ],
)
def test_letters_are_read(text: str, is_right: bool) -> None:
    assert LETTER_ACCURACY.judge([Answer(text=text)], [WANT]).figure == is_right


def test_options_are_lettered() -> None:
    assert lettered(["one", "other"]) == "(A) one (B) other"
