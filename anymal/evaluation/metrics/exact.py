"""Exact match of short answers, after the normalisation of the official VQA evaluation.

Does not find an answer inside a sentence.
"""

from anymal.evaluation.metrics.right import RightOrWrong
from anymal.evaluation.metrics.vqa import normal_answer
from anymal.evaluation.scoring import Expected


def is_exact(text: str, want: Expected) -> bool:
    """Whether an answer is the expected one, but for signs, articles and digits."""
    return normal_answer(text) == normal_answer(want.answer)


EXACT_MATCH = RightOrWrong(scorer=is_exact, name="exact match (VQA normalisation)")
