"""The configurations of checkpoints that this project's recipes name, so that none need be loaded.

Each file holds the numbers of the checkpoint's public config.json, and its `model_type`. Does not
hold weights, tokenisers or preprocessing.
"""

import json
from pathlib import Path
from typing import Any

from anymal.errors import RecipeError

_FOLDER = Path(__file__).parent


def known_ids() -> list[str]:
    """The ids whose configurations come with this package, such as `openai/whisper-large-v3`."""
    return sorted(file.stem.replace("--", "/") for file in _FOLDER.glob("*.json"))


def config_of(path: str, revision: str | None = None) -> Any:
    """Read the configuration of a checkpoint without its weights.

    Args:
        path: A folder with a config.json, one of `known_ids`, or another Hub id.
        revision: Of a Hub id that is not known here.

    Returns:
        The `transformers.PretrainedConfig`, of the class of its `model_type`.

    Raises:
        RecipeError: There is no such configuration, or it cannot be had offline.
    """
    from transformers import AutoConfig

    file = _FOLDER / f"{path.replace('/', '--')}.json"
    if not Path(path).exists() and file.is_file():
        values = json.loads(file.read_text(encoding="utf-8"))
        return AutoConfig.for_model(**values)
    if Path(path).is_absolute() and not Path(path).exists():
        raise RecipeError(
            f"there is no folder {path!r}; make it first (the README beside a recipe says how), or "
            "give another"
        )
    try:
        return AutoConfig.from_pretrained(path, revision=revision)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RecipeError(
            f"cannot read the configuration of {path!r}: {reason}. Give a folder with a "
            f"config.json, or one of: {', '.join(known_ids())}"
        ) from error
