"""Where the parts of a bundle lie on this machine, and which places a bundle may name at all.

Does not read parts. A checkpoint is inside the bundle (`bundle:llm`), in a folder (an absolute
path) or on the Hub; every one is a local folder before a library sees it, so that loading asks no
other machine for anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import HFValidationError

from anymal.errors import BundleError
from anymal.recipe.file import TINY
from anymal.recipe.hub import NotFetched, fetch
from anymal.recipe.schema import ModelRecipe

# As a bundle holds them itself; nothing pickled, and no folders of other formats.
_FETCHED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_NOT_FETCHED = ["*/*", "consolidated*"]
ANYWHERE = Path(Path.cwd().anchor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a bundle may use besides its own folder, the built-in model and the Hub's local cache.

    Attributes:
        allow_hub: Download what the cache lacks.
        local_models: Folder of checkpoints that it may name by absolute path; None allows none.
    """

    allow_hub: bool = False
    local_models: str | Path | None = None


NOTHING_ELSE = Reach()
# For a bundle that its user names: any folder of this machine, but no downloads.
THIS_MACHINE = Reach(local_models=ANYWHERE)


def with_local_parts(recipe: ModelRecipe, folder: Path, reach: Reach) -> ModelRecipe:
    """The recipe of a bundle whose parts are all local.

    Args:
        recipe: Of the manifest, its `bundle:` paths absolute.
        folder: Of the bundle.
        reach: What it may use besides.

    Returns:
        The same recipe with absolute paths alone.

    Raises:
        BundleError: It names a place beyond its reach, or a checkpoint that is not here.
    """
    llm = recipe.llm
    path = _local("llm", llm.path, llm.revision, folder, reach)
    modalities = {}
    for name, modality in recipe.modalities.items():
        encoder = modality.encoder
        if encoder.path is not None:
            place = _local(f"modalities.{name}.encoder", encoder.path, None, folder, reach)
            encoder = encoder.model_copy(update={"path": place})
        aligner = modality.aligner
        if aligner.vocabulary is not None:
            what = f"modalities.{name}.aligner"
            place = _local(what, aligner.vocabulary, None, folder, reach, key="vocabulary")
            aligner = aligner.model_copy(update={"vocabulary": place})
        modalities[name] = modality.model_copy(update={"encoder": encoder, "aligner": aligner})
    return recipe.model_copy(
        update={
            "llm": llm.model_copy(update={"path": path, "revision": None}),
            "modalities": modalities,
        }
    )


def _local(
    what: str, path: str, revision: str | None, folder: Path, reach: Reach, *, key: str = "path"
) -> str:
    """The local place of one checkpoint."""
    what = f"{what}.{key} of the bundle"
    if not Path(path).is_absolute():
        return hub_folder(path, what=what, revision=revision, allow_hub=reach.allow_hub)
    allowed = [folder, TINY.resolve()]
    if reach.local_models is not None:
        allowed.append(Path(reach.local_models).expanduser().resolve())
    if not any(Path(path).resolve().is_relative_to(place) for place in allowed):
        raise BundleError(
            f"{what} is {path!r}, which is outside of the folders that it may "
            "name; if you trust the bundle, allow the folder of that checkpoint with "
            "--local-models (ANYMAL_LOCAL_MODELS), or embed the checkpoint (embed: true) when you "
            "train"
        )
    if not Path(path).is_dir():
        raise BundleError(f"{what} is {path!r}, where there is no folder")
    return path


def hub_folder(
    path: str,
    *,
    what: str,
    revision: str | None = None,
    allow_hub: bool,
    others: Sequence[str] = (),
) -> str:
    """The local copy of a checkpoint of the Hub.

    Args:
        path: Its Hub id.
        what: Errors call it so.
        revision: Of the Hub; None is the newest, or the one that is here.
        allow_hub: Download what the local cache lacks.
        others: Patterns of files to download beside safetensors, configurations and vocabularies.

    Returns:
        A folder.

    Raises:
        BundleError: It is no Hub id, or it is not here and may not or cannot be downloaded.
    """
    try:
        return str(
            fetch(
                path,
                revision=revision,
                allow_hub=allow_hub,
                patterns=[*_FETCHED, *others],
                ignored=_NOT_FETCHED,
            )
        )
    except HFValidationError as error:
        raise BundleError(
            f"{what} is {path!r}, which is no Hub id, no absolute path and not inside the bundle"
        ) from error
    except NotFetched as error:
        raise BundleError(
            f"{what} is {path!r} of the Hub, which is not on this machine; {error}"
        ) from error
