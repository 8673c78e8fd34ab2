"""What is asked about a scene: counts, colours, shapes, sizes, places and relations.

Draws and paints nothing; the facts are those of `scenes.py`.
"""

import numpy as np

from anymal.playground.question import Question, ask, ask_whether
from anymal.playground.scenes import Scene, Thing, describe_scene
from anymal.playground.words import COLOURS, DIGITS, PLACES, SHAPES, SIZES, how_many, plural

_COUNTS = DIGITS[1:7]

_DESCRIBE = (
    "Describe the image.",
    "Describe this picture.",
    "What is in the picture?",
    "What do you see?",
    "What does the image show?",
)


def ask_about_scene(scene: Scene, rng: np.random.Generator) -> Question:
    """One question about the scene."""
    if rng.random() < 0.2:
        return caption_scene(scene, rng)
    if scene.is_crowd:
        return _ask_about_crowd(scene, rng)
    questions = [_ask_colour, _ask_shape, _ask_size, _ask_place, _ask_presence, _ask_count]
    if len(scene.things) > 1:
        questions += [_ask_relation, _ask_relation]
    return questions[int(rng.integers(len(questions)))](scene, rng)


def ask_about_lone(scene: Scene, rng: np.random.Generator) -> Question:
    """One question about the only thing in the scene."""
    questions = (_ask_colour, _ask_shape, _ask_size, _ask_place)
    return questions[int(rng.integers(len(questions)))](scene, rng)


def caption_scene(scene: Scene, rng: np.random.Generator) -> Question:
    """Asks for a description; the right one names every thing."""
    words = describe_scene(scene)
    verb = "are" if scene.is_crowd else "is"
    return ask(
        rng, _DESCRIBE, f"There {verb} {words}.", task="scene caption", expected=words, choices=()
    )


def _ask_about_crowd(scene: Scene, rng: np.random.Generator) -> Question:
    """Count, colour, shape or size of equal things."""
    first, count = scene.things[0], len(scene.things)
    nouns = plural(first.shape, count)
    phrasings: tuple[str, ...]
    pick = rng.random()
    if pick < 0.55:
        noun = str(rng.choice([first.shape, "shape"]))
        many = plural(noun, 2)
        phrasings = (
            f"How many {many} are there?",
            f"How many {many} do you see?",
            f"How many {many} are in the picture?",
            f"Count the {many}.",
        )
        answer = how_many(count, noun)
        return ask(
            rng, phrasings, answer, task="scene count", expected=DIGITS[count], choices=_COUNTS
        )
    if pick < 0.7:
        return _ask_attribute(rng, nouns, "are", "colour", first.colour, tuple(COLOURS))
    if pick < 0.85:
        return _ask_attribute(rng, nouns, "are", "size", first.size, SIZES)
    phrasings = (
        "What shape are they?",
        "Which shapes are in the picture?",
        "What shapes are these?",
    )
    answer = f"They are {nouns}."
    return ask(
        rng, phrasings, answer, task="scene shape", expected=nouns, choices=_plural_shapes(count)
    )


def _plural_shapes(count: int) -> tuple[str, ...]:
    return tuple(plural(shape, count) for shape in SHAPES)


def _ask_attribute(
    rng: np.random.Generator,
    noun: str,
    verb: str,
    attribute: str,
    value: str,
    choices: tuple[str, ...],
) -> Question:
    """Colour or size of a named thing."""
    phrasings = (
        f"What {attribute} {verb} the {noun}?",
        f"Which {attribute} {'do' if verb == 'are' else 'does'} the {noun} have?",
        f"What is the {attribute} of the {noun}?",
    )
    answer = f"The {noun} {verb} {value}."
    return ask(rng, phrasings, answer, task=f"scene {attribute}", expected=value, choices=choices)


def _any(scene: Scene, rng: np.random.Generator) -> Thing:
    return scene.things[int(rng.integers(len(scene.things)))]


def _ask_colour(scene: Scene, rng: np.random.Generator) -> Question:
    thing = _any(scene, rng)
    return _ask_attribute(rng, thing.shape, "is", "colour", thing.colour, tuple(COLOURS))


def _ask_size(scene: Scene, rng: np.random.Generator) -> Question:
    thing = _any(scene, rng)
    noun = str(rng.choice([thing.shape, f"{thing.colour} {thing.shape}"]))
    return _ask_attribute(rng, noun, "is", "size", thing.size, SIZES)


def _ask_shape(scene: Scene, rng: np.random.Generator) -> Question:
    thing = _any(scene, rng)
    phrasings = (
        f"What shape is the {thing.colour} one?",
        f"Which shape is {thing.colour}?",
        f"What is the {thing.colour} shape?",
        f"What shape is the {thing.colour} object?",
    )
    answer = f"The {thing.colour} shape is a {thing.shape}."
    return ask(rng, phrasings, answer, task="scene shape", expected=thing.shape, choices=SHAPES)


def _ask_place(scene: Scene, rng: np.random.Generator) -> Question:
    thing = _any(scene, rng)
    place = PLACES[thing.place]
    phrasings = (
        f"Where is the {thing.shape}?",
        f"Where is the {thing.colour} {thing.shape}?",
        f"What is the position of the {thing.shape}?",
    )
    answer = f"The {thing.shape} is at the {place}."
    return ask(rng, phrasings, answer, task="scene place", expected=place, choices=PLACES)


def _ask_count(scene: Scene, rng: np.random.Generator) -> Question:
    count = len(scene.things)
    phrasings = ("How many shapes are there?", "How many shapes do you see?", "Count the shapes.")
    answer = how_many(count, "shape")
    return ask(rng, phrasings, answer, task="scene count", expected=DIGITS[count], choices=_COUNTS)


def _ask_presence(scene: Scene, rng: np.random.Generator) -> Question:
    shapes = {thing.shape for thing in scene.things}
    absent = [shape for shape in SHAPES if shape not in shapes]
    is_there = bool(rng.random() < 0.5)
    shape = _any(scene, rng).shape if is_there else str(rng.choice(absent))
    phrasings = (
        f"Is there a {shape}?",
        f"Do you see a {shape}?",
        f"Is a {shape} in the picture?",
    )
    statement = f"there is {'a' if is_there else 'no'} {shape}"
    return ask_whether(rng, phrasings, is_there, statement, task="scene presence")


def _ask_relation(scene: Scene, rng: np.random.Generator) -> Question:
    one, other = (scene.things[i] for i in rng.choice(len(scene.things), 2, replace=False))
    relations = relations_of(one.place, other.place)
    right, wrong = relations[int(rng.integers(len(relations)))]
    is_true = bool(rng.random() < 0.5)
    asked = right if is_true else wrong
    phrasings = (
        f"Is the {one.shape} {asked} the {other.shape}?",
        f"Is the {one.colour} {one.shape} {asked} the {other.colour} {other.shape}?",
    )
    statement = f"the {one.shape} is {right} the {other.shape}"
    return ask_whether(rng, phrasings, is_true, statement, task="scene relation")


def relations_of(one: int, other: int) -> list[tuple[str, str]]:
    """How one place lies to another: for each axis that tells them apart, what is so and what not.

    Args:
        one: Its number in `PLACES`, which go by rows of three.
        other: Likewise.

    Returns:
        One pair of relations or two; none for equal places.
    """
    relations = []
    for axis, (before, after) in ((1, ("left of", "right of")), (0, ("above", "below"))):
        here, there = divmod(one, 3)[axis], divmod(other, 3)[axis]
        if here != there:
            relations.append((before, after) if here < there else (after, before))
    return relations
