"""A prompt whose words a recipe says itself, beside those that have names.

Does not write conversations; `anymal.recipe.prompts` does.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from anymal.chat.coordinates import CODECS
from anymal.recipe.prompts import PROMPTS, PromptStyle
from anymal.recipe.section import Section


class OwnPrompt(Section):
    """Words around a plain row; `{name}` in them is filled from the row."""

    modality: Literal["image", "video", "audio", "imu"] = Field(
        "image", description="of the medium, and the row's key for it"
    )
    system: str = Field("", description="stands before the medium; empty: the medium comes first")
    templates: list[str] = Field(
        min_length=1, description="requests; a hash of the row chooses one of them"
    )
    answer: str = Field("{text}", description="what is learnt")
    coordinates: str | None = Field(None, description="how a row's box is written for {box}")
    square: bool = Field(False, description="pictures are padded to squares, and so their boxes")

    @model_validator(mode="after")
    def _has_what_it_names(self) -> Self:
        named = self.style().named  # its error is a ValueError
        if self.coordinates is not None and self.coordinates not in CODECS:
            known = ", ".join(CODECS)
            raise ValueError(f"unknown coordinates {self.coordinates!r}; known: {known}")
        if ("box" in named) != (self.coordinates is not None):
            raise ValueError("coordinates say how {box} is written; give both or neither")
        if self.square and self.coordinates is None:
            raise ValueError("square is for boxes; set coordinates, or leave it out")
        return self

    def style(self) -> PromptStyle:
        """The prompt, as named ones are."""
        return PromptStyle(
            modality=self.modality,
            system=self.system,
            user=self.templates[0],
            more=tuple(self.templates[1:]),
            answer=self.answer,
            coordinates=self.coordinates,
            square=self.square,
            source="the recipe",
        )


def style_of(prompt: str | OwnPrompt) -> PromptStyle:
    """The prompt that a data entry names or says."""
    return PROMPTS[prompt] if isinstance(prompt, str) else prompt.style()
