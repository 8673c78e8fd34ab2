"""From a YAML file and overrides to plain values with absolute paths.

Does not know what a valid recipe is; `anymal.recipe.schema` checks the result.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from anymal.errors import RecipeError

TINY = Path(__file__).parents[1] / "tiny"

_TINY_PREFIX = "tiny:"
_VARIABLE = re.compile(r"\$\{(\w+)\}")
# Paths of checkpoints, which may also be Hub ids, and paths that can only be files.
_CHECKPOINT_KEYS = ("path", "start_from", "vocabulary", "bundle")
_FILE_KEYS = ("manifest", "media", "features")
# A data set of the Hub; the revision tells it from a file.
HUB_DATA_SET = re.compile(r"[\w.-]+/[\w.-]+@[\w./-]+")


def read_recipe_file(
    path: Path, overrides: Sequence[str], *, keep_unset: bool = False
) -> dict[str, Any]:
    """Read a recipe without checking its keys.

    Args:
        path: The YAML file.
        overrides: `a.b=c`, applied in order.
        keep_unset: Leave a variable that is not set as it is written.

    Returns:
        The values, variables replaced and paths made absolute.

    Raises:
        RecipeError: The file cannot be read, or an override or variable does not resolve.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {str(path)!r}: {error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path} holds a {type(values).__name__}; a recipe is a mapping of keys")
    for override in overrides:
        _apply(values, override)
    replaced = _replace_variables(values, keep_unset=keep_unset)
    resolved: dict[str, Any] = _resolve(replaced, path.resolve().parent, key="")
    return resolved


def resolve_checkpoint(reference: str, base_dir: Path) -> str:
    """Make the path of a checkpoint absolute; a Hub id stays as it is.

    Args:
        reference: `tiny`, `tiny:NAME`, a path, or a Hub id.
        base_dir: What relative paths are relative to.

    Returns:
        An absolute path, or the Hub id.
    """
    if reference == "tiny":
        return str(TINY)
    if reference.startswith(_TINY_PREFIX):
        return str(TINY / reference.removeprefix(_TINY_PREFIX))
    path = Path(reference).expanduser()
    # `name/name` is a Hub id unless there is such a folder; `./name/name` is always a path.
    if path.is_absolute() or reference.startswith(".") or (base_dir / path).exists():
        return os.path.normpath(base_dir / path)
    return reference


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one `a.b=c`."""
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"override {override!r} must look like key.subkey=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"the value of override {override!r} is not valid YAML") from error
    inner: Any = values
    for key in keys[:-1]:
        inner = _enter(inner, key, override)
    if isinstance(inner, list):
        inner[_index(inner, keys[-1], override)] = value
    else:
        inner[keys[-1]] = value


def _enter(values: Any, key: str, override: str) -> Any:
    """The mapping or list under a key; an absent one becomes a mapping."""
    if isinstance(values, list):
        inner = values[_index(values, key, override)]
    else:
        if values.get(key) is None:
            values[key] = {}
        inner = values[key]
    if not isinstance(inner, dict | list):
        raise RecipeError(f"override {override!r}: {key!r} holds {inner!r}, which has no keys")
    return inner


def _index(items: list[Any], key: str, override: str) -> int:
    """The place of a list's item, named by number or by its `name`."""
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    if key in names:
        return names.index(key)
    if key.isdigit() and int(key) < len(items):
        return int(key)
    known = [name for name in names if name] or list(range(len(items)))
    raise RecipeError(f"override {override!r}: no item {key!r}; known: {known}")


def _resolve(value: Any, base_dir: Path, *, key: str) -> Any:
    """Make paths absolute."""
    if isinstance(value, dict):
        # What a data source calls `path` is its own affair.
        return {k: _resolve(v, base_dir, key=key if key == "args" else k) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(item, base_dir, key=key) for item in value]
    if not isinstance(value, str):
        return value
    if key in _CHECKPOINT_KEYS:
        return resolve_checkpoint(value, base_dir)
    if key == "manifest" and HUB_DATA_SET.fullmatch(value) and not (base_dir / value).exists():
        return value
    if key in _FILE_KEYS:
        return os.path.normpath(base_dir / Path(value).expanduser())
    return os.path.abspath(value) if key == "run_dir" else value


def _replace_variables(value: Any, *, keep_unset: bool) -> Any:
    """Replace variables in every text."""
    if isinstance(value, dict):
        return {k: _replace_variables(v, keep_unset=keep_unset) for k, v in value.items()}
    if isinstance(value, list):
        return [_replace_variables(item, keep_unset=keep_unset) for item in value]
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(lambda match: _variable(match, keep_unset=keep_unset), value)


def _variable(match: re.Match[str], *, keep_unset: bool) -> str:
    """The value of an environment variable of ours."""
    name = match.group(1)
    if not name.startswith("ANYMAL_"):
        raise RecipeError(f"${{{name}}} is not replaced; only variables named ANYMAL_* are")
    if name not in os.environ:
        if keep_unset:
            return match.group()
        raise RecipeError(f"the recipe uses ${{{name}}}, which is not set; export {name}=...")
    return os.environ[name]
