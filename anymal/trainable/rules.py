"""Rules for what trains: which of a model's weights a list of patterns chooses.

Knows names and kinds of weights alone, so that a plan can ask before anything is loaded. Does not
let anything train (`anymal.model` does).

A weight is called as in its own checkpoint, behind the part of the model that it is in:
`aligners.image.queries`, `encoders.image.embeddings.class_embedding`, `llm.lm_head.weight`,
`extra_tokens.rows`. A pattern is such a name, a part of it up to a dot (`aligners.image`), or has
`*` for any characters. Layers can be counted from either end: `encoders.image.layers.-1.*`. Three
patterns choose by kind: `llm.lora`, `llm.norms`, `llm.biases`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from anymal.errors import RecipeError

Kind = Literal["weight", "norm", "bias", "lora"]
LORA, NORMS, BIASES = "llm.lora", "llm.norms", "llm.biases"
_KINDS: dict[str, Kind] = {LORA: "lora", NORMS: "norm", BIASES: "bias"}
_NEXT = {
    LORA: "set model.lora",
    BIASES: "name the layers that get one under model.biases",
    "extra_tokens": "list them under model.extra_tokens",
    "readouts": "name them under model.readouts",
    "side": "set model.side",
}
_NUMBERED = re.compile(r"(.*?)\.(\d+)\.(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One weight of a model.

    Attributes:
        name: As rules call it.
        size: How many numbers it holds.
        kind: What it is inside the language model; `weight` everywhere else.
    """

    name: str
    size: int
    kind: Kind = "weight"


def match(weights: Mapping[str, Weight], patterns: Sequence[str]) -> dict[str, int]:
    """Find what trains.

    Args:
        weights: Of a model, by any key.
        patterns: The first one that matches a weight counts.

    Returns:
        The number of its pattern for each weight that trains, by the same key.

    Raises:
        RecipeError: A pattern matches nothing, or nothing that those before it leave.
    """
    names = {key: {weight.name} for key, weight in weights.items()}
    for key, more in _counted(weights):
        names[key] |= more
    found: dict[str, int] = {}
    for number, pattern in enumerate(patterns):
        own = [key for key, weight in weights.items() if _covers(pattern, weight, names[key])]
        if not own:
            raise RecipeError(f"trains: {pattern!r} matches no weight; {_advice(pattern, weights)}")
        fresh = [key for key in own if key not in found]
        if not fresh:
            raise RecipeError(
                f"trains: {pattern!r} comes too late: rules before it match all that it does; "
                "leave it out, or put it first"
            )
        found |= dict.fromkeys(fresh, number)
    return found


def _covers(pattern: str, weight: Weight, names: set[str]) -> bool:
    """Whether a pattern matches a weight, which has several names if it is in a layer."""
    if pattern in _KINDS:
        return weight.kind == _KINDS[pattern]
    return any(
        name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)
        for name in names
    )


def _counted(weights: Mapping[str, Weight]) -> Iterator[tuple[str, set[str]]]:
    """Names of the weights in layers by `layers.NUMBER`, from the first and from the last."""
    stacks: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for weight in weights.values():
        if found := _NUMBERED.fullmatch(weight.name):
            stacks[part_of(weight.name)][found[1]].add(int(found[2]))
    # A part's layers are its longest stack: others are a few of something else.
    layers = {
        part: max(own, key=lambda place: len(own[place]))  # called at once
        for part, own in stacks.items()
    }
    for key, weight in weights.items():
        part = part_of(weight.name)
        found = _NUMBERED.fullmatch(weight.name)
        if found and found[1] == layers[part]:
            own, number = f"{part}.layers", int(found[2])
            back = number - len(stacks[part][found[1]])
            yield key, {f"{own}.{number}.{found[3]}", f"{own}.{back}.{found[3]}"}


def part_of(name: str) -> str:
    """The part of the model that a weight is in, such as `llm` or `encoders.image`.

    Args:
        name: Of the weight or its parameter.
    """
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first in ("aligners", "encoders") else first


def _advice(pattern: str, weights: Mapping[str, Weight]) -> str:
    """What to do about a pattern that matches nothing."""
    first = pattern.partition(".")[0]
    if advice := _NEXT.get(pattern, _NEXT.get(first)):
        return advice
    parts = list(dict.fromkeys(part_of(weight.name) for weight in weights.values()))
    if part_of(pattern) not in parts:
        return f"the model has {', '.join(parts)}"
    own = [weight.name for weight in weights.values() if part_of(weight.name) == part_of(pattern)]
    return f"{part_of(pattern)} has {', '.join(own[:3])}{' and others' if len(own) > 3 else ''}"
