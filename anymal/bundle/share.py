"""A bundle to the Hub and back, whole: one commit, or one folder.

Does not load the model. Says what of a bundle stays behind: checkpoints that only this machine has.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from anymal.bundle.card import CARD, write_card
from anymal.bundle.hub import HubBundle
from anymal.bundle.manifest import bundle_folder, read_manifest
from anymal.bundle.save import free_folder
from anymal.durable import write_folder
from anymal.errors import BundleError
from anymal.recipe.hub import HUB_ERRORS, reason_of
from anymal.recipe.licences import check_licence
from anymal.recipe.schema import ModelRecipe

_OF_THE_HUB = {".gitattributes"}  # which it writes itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What is on the Hub.

    Attributes:
        url: Of the commit.
        lacks: Paths of checkpoints that the bundle names and nobody else has.
    """

    url: str
    lacks: tuple[str, ...]


def hub_name(text: str) -> HubBundle:
    """Read `ORG/NAME[@REV]`.

    Raises:
        BundleError: It is none.
    """
    found = HubBundle.parse(text)
    if found is None:
        raise BundleError(
            f"{text!r} is not the name of a bundle on the Hub, or is a folder here; write ORG/NAME "
            "or ORG/NAME@REV"
        )
    return found


def push(bundle: str | Path, to: HubBundle, *, licence: str, is_public: bool) -> Pushed:
    """Replace the files of a repository with those of a bundle, in one commit.

    Args:
        bundle: Its folder, or `tiny`.
        to: Where; a revision is the name of a branch. Made if it is not there.
        licence: Of the weights, as an SPDX name, for the card; a README.md in the bundle's folder
            is the card as it is.
        is_public: Whether others can read a repository that is made.

    Returns:
        What is there.

    Raises:
        BundleError: The licence is no SPDX name, the bundle is damaged, or the Hub refuses it.
    """
    try:
        check_licence(licence)
    except ValueError as error:
        raise BundleError(str(error)) from error
    folder = bundle_folder(bundle)
    recipe = read_manifest(folder).recipe
    files: dict[str, Path | bytes] = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if CARD not in files:
        files[CARD] = write_card(folder, name=to.repo, licence=licence).encode()
    try:
        url = _commit(files, to, is_public=is_public)
    except HUB_ERRORS as error:
        raise BundleError(
            f"{to} does not take the bundle ({reason_of(error)}); log in (hf auth login, or "
            "HF_TOKEN) with the right to write there, and see whether the Hub can be reached"
        ) from error
    return Pushed(url=url, lacks=tuple(_only_here(recipe, folder)))


def pull(name: HubBundle, out: Path, *, allow_hub: bool) -> Path:
    """Copy a bundle of the Hub into a folder.

    Args:
        name: Of the bundle.
        out: Where it goes, as `free_folder` allows.
        allow_hub: Download what the local cache lacks.

    Returns:
        The folder, absolute.

    Raises:
        BundleError: There is no such bundle, it is damaged, or the folder is taken.
    """
    out = free_folder(out)
    folder = bundle_folder(str(name), allow_hub=allow_hub)
    read_manifest(folder)
    with write_folder(out) as draft:
        shutil.copytree(folder, draft, dirs_exist_ok=True, copy_function=shutil.copyfile)
    return out


def _commit(files: dict[str, Path | bytes], to: HubBundle, *, is_public: bool) -> str:
    """Commit files, and delete those that are there and not among them."""
    api = HfApi()
    api.create_repo(to.repo, private=not is_public, exist_ok=True)
    if to.revision is not None:
        api.create_branch(to.repo, branch=to.revision, exist_ok=True)
    there = set(api.list_repo_files(to.repo, revision=to.revision)) - _OF_THE_HUB
    added = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in files.items()
    ]
    gone = [CommitOperationDelete(path_in_repo=name) for name in sorted(there - files.keys())]
    commit = api.create_commit(
        to.repo, [*added, *gone], commit_message="Push a bundle of AnyMAL", revision=to.revision
    )
    return str(commit.commit_url)


def _only_here(recipe: ModelRecipe, folder: Path) -> list[str]:
    """Checkpoints that a bundle names by absolute path, outside of its own folder."""
    paths = [recipe.llm.path, *(each.encoder.path for each in recipe.modalities.values())]
    absolute = {Path(path) for path in paths if path is not None and Path(path).is_absolute()}
    return sorted(str(path) for path in absolute if not path.is_relative_to(folder))
