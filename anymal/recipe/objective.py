"""What a stage minimises: a name, or for preference among answers, a section of its own.

Does not compute a loss (see `anymal.objectives.preference`, `anymal.model` and `train.word_loss`).
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from anymal.objectives.terms import ANSWERS, Branch, Term, branches_of, numbers_of
from anymal.recipe.data_entry import DataRecipe
from anymal.recipe.reinforce import ReinforceRecipe, check_reinforce
from anymal.recipe.reward import RewardRecipe, grading_of
from anymal.recipe.section import Section

if TYPE_CHECKING:
    from anymal.recipe.schema import Recipe, StageRecipe

PresetName = Literal["dpo", "halva", "hsa_dpo", "mdpo", "povid", "rlhf_v", "stic"]

_DPO = {"chosen": 1.0, "rejected": -1.0}
PRESETS: Mapping[PresetName, Mapping[str, Any]] = {
    "dpo": {"terms": [_DPO]},
    "halva": {"terms": [_DPO], "beta": 1.0, "unit": "phrase", "reference": "none", "kl": {}},
    "hsa_dpo": {"terms": [{"chosen": 1.0, "rejected": "-severity"}]},
    "mdpo": {"terms": [_DPO, {"chosen": 1.0, "chosen@crop": -1.0}, {"chosen": 1.0}]},
    "povid": {
        "terms": [
            {**_DPO, "weight": 0.5},
            {"chosen": 1.0, "greedy@noise": -1.0, "weight": 0.5},
        ]
    },
    "rlhf_v": {"terms": [_DPO], "beta": 0.5, "tokens": {"changed": 5.0, "normalise": True}},
    "stic": {"terms": [_DPO], "sft": 1 / 1024},
}
"""The keys that a name stands for; keys that a recipe gives beside it win."""


class TokenWeights(Section):
    """How much tokens count that differ between the two answers; others count 1."""

    changed: float = Field(gt=0, description="weight of a token that is changed")
    normalise: bool = Field(False, description="divide weights by their sum over the answer")


class KlRecipe(Section):
    """Other records, on which the model is to stay what it was at the start of the stage."""

    weight: float = Field(0.4, gt=0, description="how much KL(reference || model) counts")
    data: list[DataRecipe] = Field(min_length=1, description="records with one answer")


class PreferenceRecipe(Section):
    """Compares the answers of a record; see docs/recipes.md, Preference."""

    kind: Literal["preference"] = Field(description="preference")
    preset: PresetName | None = Field(
        None, exclude=True, description="a published method; stands for the keys below"
    )
    terms: list[dict[str, float | str]] = Field(
        min_length=1, description="what is compared: coefficients by branch; or give preset"
    )
    beta: float = Field(0.1, gt=0, description="larger keeps the model nearer to the reference")
    tokens: TokenWeights | None = Field(None, description="weights of tokens; null is 1 each")
    sft: float = Field(0.0, ge=0, description="weight of -log p(chosen) beside the terms")
    unit: Literal["answer", "phrase"] = Field(
        "answer", description="what is scored: answers, or their phrases in meta.phrases"
    )
    kl: KlRecipe | None = Field(None, description="holds the model to the reference elsewhere")
    reference: Literal["start", "base", "none"] = Field(
        "start", description="the model at the start, that without LoRA, or scores by themselves"
    )

    @model_validator(mode="before")
    @classmethod
    def _preset_stands_for_keys(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or value.get("preset") is None:
            return value
        if (name := value["preset"]) not in PRESETS:
            raise ValueError(f"unknown preset {name!r}; known: {', '.join(get_args(PresetName))}")
        if "terms" in value:
            raise ValueError("give exactly one of preset and terms")
        return {**PRESETS[name], **value}

    @model_validator(mode="after")
    def _terms_are_understood(self) -> Self:
        _ = self.parsed  # its error is a ValueError
        if self.sft and "chosen" not in map(str, self.branches):
            raise ValueError("sft needs a term with the branch chosen")
        if self.tokens is not None and not {"chosen", "rejected"} <= {*map(str, self.branches)}:
            raise ValueError("tokens needs terms with the branches chosen and rejected")
        return self

    @model_validator(mode="after")
    def _keys_go_together(self) -> Self:
        lazy = [str(branch) for branch in self.branches if branch.is_lazy]
        if lazy and "chosen" not in map(str, self.branches):
            raise ValueError(
                f"{lazy[0]} is scored where the chosen answer stands, so that a term needs the "
                "branch chosen"
            )
        if lazy and self.tokens is not None:
            raise ValueError(
                f"tokens weighs what differs between chosen and rejected, which {lazy[0]} is not; "
                "set tokens: null"
            )
        if self.unit == "phrase":
            self._check_phrases(lazy)
        return self

    def _check_phrases(self, lazy: Sequence[str]) -> None:
        """Refuse what phrases cannot be compared with."""
        if self.reference != "none":
            raise ValueError("unit: phrase compares scores by themselves; set reference: none")
        if self.tokens is not None:
            raise ValueError("unit: phrase has no weights of tokens; set tokens: null")
        if lazy:
            raise ValueError(f"unit: phrase: {lazy[0]} has no phrases; leave it out")

    @cached_property
    def parsed(self) -> tuple[Term, ...]:
        """The terms."""
        return tuple(map(Term.of, self.terms))

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The samples that each record makes, in order."""
        return branches_of(self.parsed)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numbers that each record's `meta` has to have."""
        return numbers_of(self.parsed)


_SECTIONS: Mapping[str, type[Section]] = {
    "preference": PreferenceRecipe,
    "ppo": ReinforceRecipe,
    "reward": RewardRecipe,
    "rloo": ReinforceRecipe,
}


def _tag_of(value: Any) -> str:
    if isinstance(value, Mapping):
        kind = value.get("kind")
        return str(kind) if kind in _SECTIONS else "preference"
    return "name" if isinstance(value, str) else str(getattr(value, "kind", "name"))


Objective = Annotated[
    Annotated[Literal["answer", "words"], Tag("name")]
    | Annotated[PreferenceRecipe, Tag("preference")]
    | Annotated[RewardRecipe, Tag("reward")]
    | Annotated[ReinforceRecipe, Tag("ppo")]
    | Annotated[ReinforceRecipe, Tag("rloo")],
    Discriminator(_tag_of),
]


def samples_of_a_record(objective: Objective) -> int:
    """How many samples each record makes."""
    if isinstance(objective, RewardRecipe):
        return len(ANSWERS)
    if not isinstance(objective, PreferenceRecipe):
        return 1
    return len(objective.branches) + (objective.kl is not None)


def check_objective(stage: "StageRecipe") -> None:
    """Refuse keys of a stage that its objective cannot have.

    Raises:
        ValueError: It has one; the message names the key to change.
    """
    if stage.objective == "words" and (stage.kind == "instruct" or stage.packing):
        raise ValueError("objective: words is for kind: align, with packing: false")
    own = stage.objective
    if isinstance(own, PreferenceRecipe | RewardRecipe) and stage.modality_dropout:
        raise ValueError(
            f"objective: {own.kind} compares answers under the same media; set modality_dropout: 0"
        )


def check_objectives(recipe: "Recipe") -> None:
    """Refuse objectives that the rest of a recipe contradicts.

    Raises:
        ValueError: One does; the message names the stage.
    """
    for stage in recipe.stages:
        if stage.objective == "words" and recipe.model.side is not None:
            raise ValueError(
                f"stage {stage.name!r} has objective: words, which compares soft tokens with "
                "words; with model.side they stand beside the words; take objective: answer"
            )
        _check_base(stage.objective, recipe, name=stage.name)
        if isinstance(stage.objective, ReinforceRecipe):
            check_reinforce(stage, recipe.model)
        if isinstance(stage.objective, RewardRecipe):
            try:
                grading_of(recipe.model)
            except ValueError as error:
                raise ValueError(f"stage {stage.name!r} teaches a reward: {error}") from None
        corrupted = _corrupted(stage.objective)
        if corrupted and recipe.features is not None:
            raise ValueError(
                f"stage {stage.name!r} compares {', '.join(corrupted)}, whose media are not those "
                "that features were saved of; set features: null"
            )


def _check_base(objective: Objective, recipe: "Recipe", *, name: str) -> None:
    """Refuse a reference without LoRA of a model that has none."""
    is_base = isinstance(objective, PreferenceRecipe) and objective.reference == "base"
    if is_base and recipe.model.lora is None:
        raise ValueError(
            f"stage {name!r} has reference: base, which leaves LoRA out, and the model has none; "
            "set reference: start"
        )


def _corrupted(objective: Objective) -> Sequence[str]:
    """The branches with corrupted media."""
    if not isinstance(objective, PreferenceRecipe):
        return ()
    return [str(branch) for branch in objective.branches if branch.reads_others]
