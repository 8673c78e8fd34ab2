"""What a model says that cannot answer: no such medium came, another kind came, or it never learnt.

Only the sentences and how to recognise them; `refused.py` draws the questions.
"""

from collections.abc import Iterable

from anymal.playground.words import listed

# What people call a medium of each modality.
NOUNS = {"image": "picture", "video": "clip", "audio": "sound", "imu": "motion recording"}

OUTSIDE = "I only know shapes, sounds, phone motion, spoken digits, hand signs and clothing."

_NOTHING_TO_SEE = "there is nothing to see in it"
# What a medium of another kind lacks, by what was asked about.
_LACKS = {
    "image": _NOTHING_TO_SEE,
    "video": _NOTHING_TO_SEE,
    "audio": "there is nothing to hear in it",
    "imu": "no phone motion is recorded in it",
}
# Pictures and clips can both be seen, so they lack something else: what came, what was asked about.
_LACKS_OF_SIGHTS = {
    ("image", "video"): "nothing happens in it",
    ("video", "image"): "it is not a picture",
}

# A piece of each sentence that no answer has.
MARKS = ("came with this question", "That is a", "I only know")


def say_absent(missing: Iterable[str]) -> str:
    """Says what did not come, one kind or two: "No sound came with this question."."""
    return f"No {_either(missing)} came with this question."


def name_absent(missing: Iterable[str]) -> str:
    """The part of `say_absent` that tells one such sentence from another."""
    return f"No {_either(missing)} came"


def _either(missing: Iterable[str]) -> str:
    return listed(tuple(NOUNS[name] for name in NOUNS if name in missing)).replace(" and ", " or ")


def say_other_kind(came: str, asked: str) -> str:
    """Says what came instead: "That is a picture; there is nothing to hear in it."."""
    return f"{name_kind(came)}; {name_lack(came, asked)}."


def name_kind(came: str) -> str:
    """The first half of `say_other_kind`: what came."""
    return f"That is a {NOUNS[came]}"


def name_lack(came: str, asked: str) -> str:
    """The second half of `say_other_kind`: what it lacks."""
    return _LACKS_OF_SIGHTS.get((came, asked), _LACKS[asked])


def is_refusal(text: str) -> bool:
    """Whether a text is, or contains, one of these sentences."""
    return any(mark.lower() in text.lower() for mark in MARKS)
