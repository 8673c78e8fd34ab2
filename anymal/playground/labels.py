"""What is said and asked about the labelled recordings: hand signs, speech, clothes, activities.

Words only; the recordings themselves are opened in `recorded.py`. A label is an index into the
word list of its kind, so that the language world can speak of recordings that nobody holds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anymal.playground.question import Question, ask, ask_whether, weigh
from anymal.playground.words import ACTIVITIES, CLOTHING, DIGITS, YES_NO, in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """One kind of labelled recording.

    Attributes:
        task: Its name in tables.
        words: The word for each label.
        description: Sentence pieces that stand for the recording, with `{}` for the word.
        answer: The full answer, with `{}` for the word.
        phrasings: Ways to ask which it is.
        whether: Ways to ask whether it is a given one, with `{}` for that word.
    """

    task: str
    words: tuple[str, ...]
    description: str
    answer: str
    phrasings: tuple[str, ...]
    whether: tuple[str, ...]

    def draw(self, rng: np.random.Generator) -> int:
        """Any label, all equally likely."""
        return int(rng.integers(len(self.words)))

    def describe(self, label: int) -> str:
        """The words that stand for the recording."""
        return self.description.format(self.words[label])

    def ask(self, label: int, rng: np.random.Generator) -> Question:
        """Which one it is, or sometimes whether it is a given one."""
        if rng.random() < 0.8:
            return self.ask_which(label, rng)
        is_true = bool(rng.random() < 0.5)
        other = (label + 1 + int(rng.integers(len(self.words) - 1))) % len(self.words)
        asked = self.words[label if is_true else other]
        statement = self.answer.format(self.words[label]).rstrip(".")
        return ask_whether(
            rng,
            tuple(phrasing.format(asked) for phrasing in self.whether),
            is_true,
            statement[0].lower() + statement[1:],
            task=f"{self.task} whether",
        )

    def ask_which(self, label: int, rng: np.random.Generator) -> Question:
        """Which one it is."""
        word = self.words[label]
        return ask(
            rng,
            self.phrasings,
            self.answer.format(word),
            task=self.task,
            expected=word,
            choices=self.words,
        )


SIGNS = Labels(
    task="signs",
    words=DIGITS,
    description="a hand sign showing {}",
    answer="The hand shows {}.",
    phrasings=(
        "What number does the hand sign show?",
        "Which digit does the hand show?",
        "Which digit is the hand showing?",
        "What digit is this hand sign?",
        "What does the hand sign mean?",
        "Which number is signed?",
        "What number is the person signing?",
        "What digit is shown?",
        "Which number is shown by the hand?",
        "What is in the picture?",
        "What does the image show?",
        "Describe the image.",
        "What do you see?",
    ),
    whether=("Does the hand show {}?", "Is the hand sign {}?", "Is this the sign for {}?"),
)

SPEECH = Labels(
    task="digits",
    words=DIGITS,
    description="a voice saying {}",
    answer="The voice says {}.",
    phrasings=(
        "What digit is spoken?",
        "Which digit is spoken?",
        "Which digit is said?",
        "What number does the voice say?",
        "Which number does the speaker say?",
        "What does the speaker say?",
        "What does the person say?",
        "What is said in the recording?",
        "What number do you hear?",
        "Which digit do you hear in the audio?",
        "Which spoken digit is this?",
        "What word is spoken?",
        "What do you hear?",
        "Transcribe the audio.",
        "Describe the sound.",
    ),
    whether=("Does the voice say {}?", "Is the spoken digit {}?", "Do you hear {}?"),
)

CLOTHES = Labels(
    task="clothing",
    words=CLOTHING,
    description="a piece of clothing: {}",
    answer="The piece of clothing is: {}.",
    phrasings=(
        "What piece of clothing is this?",
        "What kind of clothing is this?",
        "Which item of clothing is shown?",
        "What clothing item is in the picture?",
        "What type of clothing does the image show?",
        "What article of clothing is shown?",
        "Which garment is this?",
        "What fashion item is this?",
        "Name the item of clothing.",
        "What product is this?",
        "What is in the picture?",
        "What does the image show?",
        "What is this?",
        "Describe the image.",
        "What do you see?",
    ),
    whether=("Is the piece of clothing a {}?", "Does the picture show a {}?", "Is this a {}?"),
)

MOTION = Labels(
    task="activities",
    words=ACTIVITIES,
    description="a person {}",
    answer="The person is {}.",
    phrasings=(
        "What is the person doing?",
        "What is this person doing?",
        "Which activity is this?",
        "What activity is the person doing?",
        "What activity does the motion show?",
        "Which activity was recorded?",
        "What is the wearer doing?",
        "What is the user doing?",
        "What motion is this?",
        "What is going on in this recording?",
        "What does the sensor record?",
        "Describe the motion.",
        "Describe what the person is doing.",
        "How is the person moving?",
    ),
    whether=("Is the person {}?", "Is this person {}?"),
)

ALL_LABELS = (SIGNS, SPEECH, CLOTHES, MOTION)


def draw_sign_clip(rng: np.random.Generator) -> tuple[int, ...]:
    """Two to four hand signs, most often three, in the order of the clip; signs may repeat."""
    count = int(rng.choice([2, 3, 4], p=[0.2, 0.65, 0.15]))
    return tuple(int(label) for label in rng.integers(len(DIGITS), size=count))


def describe_sign_clip(labels: tuple[int, ...]) -> str:
    """The words that stand for the clip."""
    return f"hand signs, {in_order(tuple(DIGITS[label] for label in labels))}"


def ask_about_sign_clip(labels: tuple[int, ...], rng: np.random.Generator) -> Question:
    """The whole order, or the first or last sign of it."""
    if rng.random() < 0.75:
        return ask_sign_order(labels, rng)
    index, word = (0, "first") if rng.random() < 0.5 else (-1, "last")
    digit = DIGITS[labels[index]]
    phrasings = (
        f"Which digit does the hand show {word}?",
        f"Which hand sign comes {word}?",
        f"What is the {word} hand sign?",
    )
    answer = f"The {word} hand sign is {digit}."
    return ask(rng, phrasings, answer, task=f"sign clip {word}", expected=digit, choices=DIGITS)


def ask_sign_order(labels: tuple[int, ...], rng: np.random.Generator) -> Question:
    """All the hand signs in their order."""
    words = tuple(DIGITS[label] for label in labels)
    phrasings = (
        "Which digits do the hand signs show, in order?",
        "Which hand signs are shown, in order?",
        "What is the order of the hand signs?",
        "Which digits does the hand show in the video?",
        "Which numbers are signed, one after another?",
        "What numbers does the hand show, in order?",
        "Name the hand signs in the order they appear.",
        "In what order are the signs shown?",
        "What happens in the video?",
        "Describe the video.",
        "Describe the clip.",
    )
    return ask(
        rng,
        phrasings,
        f"The hand shows {in_order(words)}.",
        task="sign clips",
        expected=words,
        choices=DIGITS,
    )


def draw_sign_and_speech(rng: np.random.Generator) -> tuple[int, int]:
    """A hand sign and a spoken digit; every second pair matches."""
    sign = int(rng.integers(len(DIGITS)))
    if rng.random() < 0.5:
        return sign, sign
    return sign, (sign + 1 + int(rng.integers(len(DIGITS) - 1))) % len(DIGITS)


_MATCH = (
    "Does the spoken digit match the hand sign?",
    "Do the hand sign and the spoken digit match?",
    "Is the spoken digit the same as the hand sign?",
    "Does the voice say the number that the hand shows?",
    "Do the image and the audio show the same digit?",
)
_LARGER = (
    "Which is larger?",
    "Which number is larger, the hand sign or the spoken digit?",
    "Which is larger, the spoken digit or the hand sign?",
    "Is the hand sign or the spoken digit larger?",
)
_LARGER_CHOICES = ("hand sign", "spoken digit", "equal")
LARGER = "sign and speech larger"  # the task of asking which


def ask_match(pair: tuple[int, int], rng: np.random.Generator) -> Question:
    """Whether sign and speech are the same digit."""
    word, verdict = ("yes", "they match") if pair[0] == pair[1] else ("no", "they do not match")
    return ask(
        rng,
        _MATCH,
        weigh(_both_digits(pair), f"{word}, {verdict}"),
        task="sign and speech match",
        expected=word,
        choices=YES_NO,
    )


def ask_larger(pair: tuple[int, int], rng: np.random.Generator) -> Question:
    """Which of sign and speech is the larger digit."""
    sign, speech = pair
    expected = "equal" if sign == speech else "hand sign" if sign > speech else "spoken digit"
    verdict = "they are equal" if sign == speech else f"the {expected} is larger"
    return ask(
        rng,
        _LARGER,
        weigh(_both_digits(pair), verdict),
        task=LARGER,
        expected=expected,
        choices=_LARGER_CHOICES,
    )


def _both_digits(pair: tuple[int, int]) -> str:
    sign, speech = (DIGITS[label] for label in pair)
    return f"the hand shows {sign} and the voice says {speech}"


def ask_about_sign_and_speech(pair: tuple[int, int], rng: np.random.Generator) -> Question:
    """A match or a comparison, or which digit either of the two is."""
    questions: tuple[Callable[[], Question], ...] = (
        lambda: ask_match(pair, rng),
        lambda: ask_match(pair, rng),
        lambda: ask_larger(pair, rng),
        lambda: ask_larger(pair, rng),
        lambda: SIGNS.ask_which(pair[0], rng),
        lambda: SPEECH.ask_which(pair[1], rng),
    )
    # Phrasings such as "What do you hear?" stay unambiguous: one picture, one sound.
    return questions[int(rng.integers(len(questions)))]()
