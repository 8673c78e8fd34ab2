"""The data sets that the `anymal data` commands look at: a data file, or those that a recipe names.

Does not read rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from anymal.data.registry import open_rows
from anymal.data.rows import Rows
from anymal.errors import DataError
from anymal.recipe.data_entry import DataFormat, DataRecipe
from anymal.recipe.licences import UNKNOWN
from anymal.recipe.objective import PreferenceRecipe
from anymal.recipe.prompts import PROMPTS
from anymal.recipe.schema import Recipe, load_recipe
from anymal.recipe.section import parse_section

if TYPE_CHECKING:
    from anymal.cli.recipe_model import RecipeModel

_RECIPES = (".yaml", ".yml")

DataArgument = Annotated[
    Path,
    typer.Argument(help="Data file or folder, or a recipe (YAML).", show_default=False),
]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Overrides of the recipe, as of anymal train."),
]
FormatOption = Annotated[
    str, typer.Option(help=f"What the rows mean: {', '.join(get_args(DataFormat))}.")
]
MediaOption = Annotated[
    Path | None,
    typer.Option(help="Folder that media paths are relative to; by default the data file's."),
]
SplitOption = Annotated[str | None, typer.Option(help="Part of a data set that has several.")]
PromptOption = Annotated[
    str | None, typer.Option(help=f"Prompt around plain rows: {', '.join(PROMPTS)}.")
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=COLUMN",
        help="What the file calls a column that the format knows by another name; repeatable.",
    ),
]
LicenceOption = Annotated[str, typer.Option(help="SPDX name of the data's licence.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One data set.

    Attributes:
        name: The data file.
        rows: Its rows.
        is_training: Whether a recipe trains on it; a file that is given alone counts as training.
        is_heldout: Whether a recipe measures with it.
        numbers: Keys of `meta` that a stage of the recipe weighs pairs of answers by.
    """

    name: str
    rows: Rows
    is_training: bool = True
    is_heldout: bool = False
    numbers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a command looks at.

    Attributes:
        sets: The data sets.
        recipe: What names them; None where a file was given.
    """

    sets: Sequence[DataSet]
    recipe: Recipe | None = None

    def only(self) -> Rows:
        """The rows of the only data set.

        Raises:
            DataError: There are several.
        """
        if len(self.sets) > 1:
            names = ", ".join(one.name for one in self.sets)
            raise DataError(f"the recipe names {names}; give one of these files instead")
        return self.sets[0].rows

    def model(self) -> "RecipeModel | None":
        """What measures rows in tokens; None without a recipe. Imports torch."""
        if self.recipe is None:
            return None
        from anymal.cli.recipe_model import RecipeModel

        return RecipeModel.of(self.recipe)


def choose(
    data: Path,
    overrides: Sequence[str] | None = None,
    *,
    format: str = "anymal",
    media: Path | None = None,
    split: str | None = None,
    columns: Sequence[str] | None = None,
    prompt: str | None = None,
    licence: str = UNKNOWN,
) -> Chosen:
    """Open a data file, or all that a recipe names.

    Args:
        data: A recipe, by its ending; else a data file or folder.
        overrides: Of the recipe.
        format: Of the data file.
        media: Folder of its media.
        split: Part of it.
        columns: Names of the format and of the file, as `NAME=COLUMN`.
        prompt: Named prompt around its rows.
        licence: Its licence.

    Returns:
        The data sets; Python sources of a recipe are left out.

    Raises:
        DataError: One cannot be opened, or an option does not fit.
        RecipeError: The recipe cannot be read.
    """
    if data.suffix.lower() in _RECIPES:
        given = (format, media, split, columns or None, prompt, licence)
        if given != ("anymal", None, None, None, None, UNKNOWN):
            raise DataError(
                "--format, --media, --split, --column, --prompt and --licence are for a data file; "
                "a recipe has these in its data entries"
            )
        return _of_recipe(load_recipe(data, overrides or []))
    if overrides:
        raise DataError(f"{overrides[0]!r} is an override, which only a recipe takes")
    values = {
        "manifest": str(data),
        "format": format,
        "media": None if media is None else str(media),
        "split": split,
        "columns": dict(map(_column, columns or [])),
        "prompt": prompt,
        "licence": licence,
    }
    entry = parse_section(DataRecipe, values, where="the options")
    return Chosen(sets=[DataSet(name=str(data), rows=open_rows(entry))])


def _column(text: str) -> tuple[str, str]:
    """One `NAME=COLUMN`."""
    name, equals, column = text.partition("=")
    if not name or not equals or not column:
        raise DataError(f"--column {text!r} must look like answer=caption")
    return name, column


def _of_recipe(recipe: Recipe) -> Chosen:
    """The data files of all stages, each once."""
    training = _distinct(entry for stage in recipe.stages for entry in stage.data)
    heldout = _distinct(entry for stage in recipe.stages for entry in stage.heldout or [])
    sets = [
        DataSet(
            name=str(entry.manifest),
            rows=open_rows(entry),
            is_training=key in training,
            is_heldout=key in heldout,
            numbers=_numbers(recipe, key),
        )
        for key, entry in (training | heldout).items()
    ]
    if not sets:
        raise DataError(
            "the recipe names no data file, only Python sources, which make their own records"
        )
    return Chosen(sets=sets, recipe=recipe)


def _numbers(recipe: Recipe, key: str) -> frozenset[str]:
    """The keys of `meta` by which stages weigh the pairs of a data set."""
    return frozenset(
        name
        for stage in recipe.stages
        if isinstance(stage.objective, PreferenceRecipe)
        and key in _distinct([*stage.data, *(stage.heldout or [])])
        for name in stage.objective.numbers
    )


def _distinct(entries: Iterable[DataRecipe]) -> dict[str, DataRecipe]:
    """The entries that name a file, by what is read of it."""
    return {
        entry.model_dump_json(exclude={"weight", "name"}): entry
        for entry in entries
        if entry.manifest is not None
    }
