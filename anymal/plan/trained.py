"""What trains in a stage: which weights, by the rules that the run follows, and how they are held.

Counts from outlines alone; does not add up memory (see `stage.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anymal.llm.biases import is_target
from anymal.plan.language_model import LanguageModel, Linear
from anymal.plan.trainable import adapted_linears, gradient_bytes, optimiser_bytes
from anymal.recipe.schema import ModelRecipe, StageRecipe
from anymal.recipe.trains import rules_of
from anymal.trainable.rules import Weight, match

if TYPE_CHECKING:
    from anymal.plan.stage import Parts

_COPY = 4  # bytes of the float32 copy that `train.copying_adamw` keeps of a shorter number


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What trains in a stage.

    Attributes:
        floats: Numbers that train in float32: all but the language model's own.
        own: Numbers of the language model's own that train, as it is held.
        linears: Its linear layers that train.
        num_norms: Its norms that train.
        lora: Whether LoRA trains.
        encoders: By modality, the names of the weights that train, as their models call them.
    """

    floats: int
    own: int
    linears: tuple[Linear, ...]
    num_norms: int
    lora: bool
    encoders: Mapping[str, frozenset[str]]

    def gradient_bytes(self, number: int) -> int:
        """Bytes of the gradients.

        Args:
            number: Bytes of one number of the language model's own.
        """
        return gradient_bytes(self.floats) + number * self.own

    def optimiser_bytes(self, stage: StageRecipe, number: int) -> int:
        """Bytes of the optimiser's state; `number` as in `gradient_bytes`."""
        copies = _COPY * self.own if number < _COPY else 0
        return optimiser_bytes(self.floats + self.own, stage.optimizer) + copies


def what_trains(stage: StageRecipe, model: ModelRecipe, parts: "Parts") -> Trained:
    """Apply a stage's rules to a model that is not there yet.

    Raises:
        RecipeError: A rule matches nothing.
    """
    weights = weights_in(model, parts)
    chosen = match(weights, [rule.what for rule in rules_of(stage, model)])
    own = [name for name in chosen if name.startswith("llm.") and weights[name].kind != "lora"]
    encoders: dict[str, set[str]] = {}
    for name in chosen:
        part, _, rest = name.partition(".")
        if part == "encoders":
            modality, _, inner = rest.partition(".")
            encoders.setdefault(modality, set()).add(inner.removeprefix("model."))
    trained = set(own)
    return Trained(
        floats=sum(weights[name].size for name in chosen) - sum(weights[name].size for name in own),
        own=sum(weights[name].size for name in own),
        linears=tuple(
            linear for linear in parts.llm.linears if f"llm.model.{linear.name}.weight" in trained
        ),
        num_norms=sum(weights[name].kind == "norm" for name in own),
        lora=any(weights[name].kind == "lora" for name in chosen),
        encoders={name: frozenset(inner) for name, inner in encoders.items()},
    )


def weights_in(model: ModelRecipe, parts: "Parts") -> dict[str, Weight]:
    """All weights of a model by the names of `AnyMAL`'s parameters, without loading it."""
    weights = dict(parts.llm.weights)
    for kind, own in (("aligners", parts.aligners), ("encoders", parts.encoders)):
        for name, part in own.items():
            for inner, size in part.weights.items():
                place = f"{kind}.{name}."
                full = f"{place}model.{inner}" if kind == "encoders" else f"{place}{inner}"
                weights[full] = Weight(name=f"{place}{inner}", size=size)
    for name, size in {} if parts.side is None else parts.side.weights.items():
        weights[f"side.{name}"] = Weight(name=f"side.{name}", size=size)
    weights |= _lora(model, parts.llm) | _biases(model, parts.llm) | _words(model, parts.llm)
    return weights | _readouts(model, parts.llm)


def _lora(model: ModelRecipe, llm: LanguageModel) -> dict[str, Weight]:
    """The adapters: two matrices beside each layer, and DoRA's sizes."""
    weights: dict[str, Weight] = {}
    recipe = model.lora
    for linear in [] if recipe is None else adapted_linears(recipe, llm):
        assert recipe is not None
        size = recipe.r * (linear.in_dim + linear.out_dim) + recipe.use_dora * linear.out_dim
        name = f"llm.{linear.name}.lora_A"
        weights[f"llm.model.{linear.name}.lora_A"] = Weight(name=name, size=size, kind="lora")
    return weights


def _biases(model: ModelRecipe, llm: LanguageModel) -> dict[str, Weight]:
    """Those that a recipe adds."""
    if model.biases is None:
        return {}
    return {
        f"llm.model.{linear.name}.bias": Weight(
            name=f"llm.{linear.name}.bias", size=linear.out_dim, kind="bias"
        )
        for linear in llm.linears
        if is_target(linear.name, model.biases)
    }


def _words(model: ModelRecipe, llm: LanguageModel) -> dict[str, Weight]:
    """Rows of extra words."""
    number = len(model.extra_tokens or ())
    widths = {"rows": llm.embedding_dim} | (
        {"head_rows": llm.head_width} if llm.has_own_head else {}
    )
    return {
        f"extra_tokens.{name}": Weight(name=f"extra_tokens.{name}", size=number * width)
        for name, width in widths.items()
        if number
    }


def _readouts(model: ModelRecipe, llm: LanguageModel) -> dict[str, Weight]:
    """A row and a bias for each number that is read out."""
    sizes = {"linear.weight": llm.head_width, "linear.bias": 1}
    names = [f"readouts.{name}.{inner}" for name in model.readouts or () for inner in sizes]
    return {name: Weight(name=name, size=sizes[name.split(".", maxsplit=2)[2]]) for name in names}
