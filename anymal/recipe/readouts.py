"""What a recipe says of numbers that are read out of the language model's last layer.

Does not build them; `anymal.llm.readout` does.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from anymal.recipe.section import Section

ReadOutName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class ReadOutRecipe(Section):
    """One number of a hidden state."""

    kind: Literal["scalar"] = Field("scalar", description="one number")
    ask: str | None = Field(
        None,
        min_length=1,
        description="of reward: what a user says behind the answer that is graded; {facts} stands "
        "for the record's facts; null reads the end of the answer itself",
    )
