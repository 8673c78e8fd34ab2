"""One data set in a recipe: where it is, what its rows mean, how much of the mixture it is.

Does not open it; `anymal.data.registry` does.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from anymal.recipe.licences import UNKNOWN, check_licence
from anymal.recipe.own_prompt import OwnPrompt
from anymal.recipe.prompts import PROMPTS
from anymal.recipe.section import Section
from anymal.recipe.suffixes import SUFFIXES
from anymal.recipe.task_tags import TAGS

DataFormat = Literal[
    "anymal",
    "llava",
    "sharegpt",
    "swift",
    "trl",
    "mimicit",
    "hf",
    "webdataset",
    "audiocaps",
    "clotho",
    "audioset",
    "ego4d",
    "folder",
    "rlhf_v",
    "hsa_dpo",
    "llava_hound",
    "povid",
    "halva",
    "vlfeedback",
    "bpo",
]
_OF_MANIFESTS = ("format", "media", "split", "columns", "prompt", "suffix", "tag")


class WeightRule(Section):
    """A weight that follows from how many records a source has.

    `sqrt_size` is InstructBLIP's (arXiv 2305.06500, section 2.3): the share of a source is the root
    of its size over the sum of all roots, and some sources are then corrected by hand.
    """

    rule: Literal["sqrt_size"] = Field(description="the square root of the number of records")
    times: float = Field(1.0, gt=0, description="correction by hand")

    def weight(self, size: int) -> float:
        """The weight of a source.

        Args:
            size: How many records it has.
        """
        return self.times * math.sqrt(size)


class DataRecipe(Section):
    """One source of records: exactly one of `manifest` and `source`."""

    manifest: str | None = Field(None, description="data file or folder, relative to the recipe")
    format: DataFormat = Field("anymal", description="what the rows of a manifest mean")
    media: str | None = Field(
        None, description="folder of the media, relative to the recipe; null: the manifest's"
    )
    split: str | None = Field(None, description="part of a manifest that has several")
    columns: dict[str, str] = Field(
        default_factory=dict, description="names of a format to those of the manifest"
    )
    licence: Annotated[str, AfterValidator(check_licence)] = Field(
        UNKNOWN, description="SPDX name of the records' licence, or unknown"
    )
    prompt: str | OwnPrompt | None = Field(
        None, description="prompt around the rows of a manifest: a name, or its words"
    )
    suffix: str | None = Field(
        None, description="named suffix of the user's last message in the rows of a manifest"
    )
    tag: str | None = Field(
        None, description="named task tag before the user's last message in the rows of a manifest"
    )
    source: str | None = Field(None, description="module:function that returns records")
    args: dict[str, Any] = Field(default_factory=dict, description="arguments of the function")
    weight: Annotated[float, Field(gt=0)] | WeightRule = Field(
        1.0, description="share of the mixture, relative to the others; or a rule for it"
    )
    name: str | None = Field(None, description="name in reports; by default the file or function")

    @model_validator(mode="after")
    def _exactly_one_origin(self) -> Self:
        if (self.manifest is None) == (self.source is None):
            raise ValueError("give exactly one of manifest and source")
        if self.manifest is not None and self.args:
            raise ValueError("args belong to a source; a manifest takes none")
        if self.manifest is None and (given := self._given(_OF_MANIFESTS)):
            raise ValueError(
                f"{', '.join(given)} belong to a manifest; a source makes whole conversations"
            )
        if self.suffix is not None and self.suffix not in SUFFIXES:
            raise ValueError(f"unknown suffix {self.suffix!r}; known: {', '.join(SUFFIXES)}")
        if self.tag is not None and self.tag not in TAGS:
            raise ValueError(f"unknown tag {self.tag!r}; known: {', '.join(TAGS)}")
        if isinstance(self.prompt, str) and self.prompt not in PROMPTS:
            raise ValueError(f"unknown prompt {self.prompt!r}; known: {', '.join(PROMPTS)}")
        return self

    def _given(self, names: Sequence[str]) -> list[str]:
        """Which keys say something; a recipe that a run wrote has all of them."""
        fields = type(self).model_fields
        return [
            name
            for name in names
            if getattr(self, name) != fields[name].get_default(call_default_factory=True)
        ]
