"""What all sections of a recipe share: frozen, without unknown keys, with errors that name a key.

Does not know which sections there are.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from anymal.errors import RecipeError

Checked = TypeVar("Checked", bound=BaseModel)
Positive = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """Frozen; a key that is not declared is an error that lists the known ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, value: Any) -> Any:
        if isinstance(value, dict) and cls.model_config.get("extra") == "forbid":
            unknown = sorted(str(key) for key in value if key not in cls.model_fields)
            if unknown:
                raise ValueError(
                    f"unknown key {', '.join(map(repr, unknown))}; "
                    f"known: {', '.join(cls.model_fields)}"
                )
        return value


class SectionWithOptions(Section):
    """A section whose undeclared keys are options of the kind it names, checked when built."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments for the kind."""
        return dict(self.__pydantic_extra__ or {})


def parse_section(section: type[Checked], value: object, *, where: str) -> Checked:
    """Validate a plain value as a section of a recipe.

    Args:
        section: The model class.
        value: What was read from YAML or JSON.
        where: Names the file in errors.

    Returns:
        The section.

    Raises:
        RecipeError: One line per problem, with the path of the key.
    """
    try:
        return section.model_validate(value)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, problem['loc'])) or 'recipe'}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False)
        ]
        raise RecipeError(f"{where}: " + "; ".join(lines)) from None
