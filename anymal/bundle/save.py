"""Write a bundle, whole or not at all.

Does not say what lies where (see `manifest.py`) and never uses pickle.
"""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from huggingface_hub import snapshot_download
from pydantic import BaseModel
from safetensors.torch import save
from torch import nn

from anymal.assemble import Assembled
from anymal.bundle.facts import llm_facts, modality_facts
from anymal.bundle.manifest import (
    ALIGNERS,
    EMBEDDED,
    EXTRA_TOKENS,
    LORA,
    MANIFEST,
    READOUTS,
    SIDE,
    VOCABULARIES,
    Manifest,
    ParityFacts,
)
from anymal.bundle.tuned import llm_trained, tuned_encoders, write_trained_llm, write_tuned
from anymal.durable import write_folder
from anymal.errors import BundleError
from anymal.llm.weight_only import WeightOnlyLinear
from anymal.recipe.schema import ModelRecipe
from encoders.base import Encoder

# What a checkpoint folder holds besides weights: configuration, vocabulary, chat template.
_COPIED = {".json", ".safetensors", ".txt", ".model", ".jinja"}
_NOT_COPIED = {".bin", ".pt", ".pth"}  # weights


def save_bundle(
    assembled: Assembled,
    folder: Path,
    *,
    stages: Sequence[Mapping[str, Any] | BaseModel] = (),
    data_sources: Sequence[Mapping[str, Any] | BaseModel] = (),
    results: Mapping[str, Any] | BaseModel | None = None,
    parity: ParityFacts | None = None,
) -> Path:
    """Write a bundle, whole or not at all; replaces an older bundle.

    Files go to a temporary folder, are flushed to disk, and appear by one rename.

    Args:
        assembled: The trained model.
        folder: Where it goes, as `free_folder` allows.
        stages: How it was trained, as JSON values or pydantic models.
        data_sources: What it was trained on, with licences.
        results: What was measured.
        parity: How far it is from the published model that it was imported from.

    Returns:
        The folder, absolute.

    Raises:
        BundleError: The folder is taken, or a part that should be embedded cannot be copied.
    """
    folder = free_folder(folder)
    _check_is_trainable(assembled)
    with write_folder(folder) as draft:
        for name in tuned_encoders(assembled.model.tuned_state()):
            cast(Encoder, assembled.model.encoders[name]).renew_fingerprint()
        recipe = _with_vocabularies(_embed(assembled, draft), assembled, draft)
        saved = Assembled(model=assembled.model, processor=assembled.processor, model_recipe=recipe)
        manifest = Manifest(
            recipe=recipe,
            llm=llm_facts(saved),
            modalities={name: modality_facts(saved, name) for name in recipe.modalities},
            lora=recipe.lora,
            trained_precision=assembled.model.llm.precision,
            num_tuned=write_tuned(assembled.model, draft),
            stages=[_plain(stage) for stage in stages],
            data_sources=[_plain(source) for source in data_sources],
            results=_plain(results),
            parity=parity,
        )
        _write(assembled.model.aligners, draft / ALIGNERS)
        model = assembled.model
        beside = {SIDE: model.side, EXTRA_TOKENS: model.extra_tokens, READOUTS: model.readouts}
        for name, part in beside.items():
            if part:  # a module, and of read-outs any
                _write(part, draft / name)
        if recipe.lora is not None:
            assembled.model.llm.save_lora(draft / LORA)
        (draft / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return folder


def free_folder(folder: Path) -> Path:
    """Where a bundle may be written: a folder that is new, empty or an older bundle.

    Args:
        folder: As the user gave it.

    Returns:
        The folder, absolute.

    Raises:
        BundleError: It holds something else, or a file is in its place.
    """
    folder = Path(folder).resolve()
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise BundleError(f"{str(place)!r} is not a folder; give another")
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise BundleError(f"{str(folder)!r} holds something that is not a bundle; give another")
    return folder


def _check_is_trainable(assembled: Assembled) -> None:
    """Refuse to save what `merge` made: LoRA is gone, and the precision is not the trained one."""
    llm, recipe = assembled.model.llm, assembled.model_recipe
    has_lora = bool(llm.lora_parameters())
    is_rounded = any(isinstance(layer, WeightOnlyLinear) for layer in llm.modules())
    is_other = llm.precision != recipe.llm.precision or has_lora != (recipe.lora is not None)
    if is_rounded or is_other:
        raise BundleError(
            f"a model loaded to answer (here {llm.precision}, LoRA merged) cannot be saved; load "
            "the bundle without merge_lora, at a precision it can be trained at"
        )


def _write(module: nn.Module, path: Path) -> None:
    """Write a part's weights."""
    state = module.state_dict()
    plain = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
    # Not save_file, whose files only their owner may read: bundles are shared.
    path.write_bytes(save(plain))


def _embed(assembled: Assembled, draft: Path) -> ModelRecipe:
    """Copy the parts that should be inside, or trained; returns the recipe that points at them."""
    recipe, model = assembled.model_recipe, assembled.model
    llm, trained = recipe.llm, tuned_encoders(model.tuned_state())
    is_trained = llm_trained(model)
    if llm.embed or is_trained:
        files = _checkpoint_files(llm.path, llm.revision, with_weights=not is_trained)
        _copy(files, draft / "llm")
        if is_trained:
            write_trained_llm(model, draft / "llm")
        llm = llm.model_copy(update={"path": f"{EMBEDDED}llm", "revision": None, "embed": True})
    places: dict[str, str] = {}  # several modalities may read with one encoder, wherever it lies
    modalities = {}
    for name, modality in recipe.modalities.items():
        encoder = modality.encoder
        if (encoder.embed or name in trained) and encoder.path is not None:
            files = _checkpoint_files(encoder.path, None)
            content = _digest(files)
            if content not in places:
                places[content] = f"encoders/{name}"
                _copy(files, draft / places[content])
            place = f"{EMBEDDED}{places[content]}"
            encoder = encoder.model_copy(update={"path": place, "embed": True})
        modalities[name] = modality.model_copy(update={"encoder": encoder})
    return recipe.model_copy(update={"llm": llm, "modalities": modalities, "start_from": None})


def _with_vocabularies(recipe: ModelRecipe, assembled: Assembled, draft: Path) -> ModelRecipe:
    """Write the tokenisers of aligners, which are small; the recipe that points at them."""
    modalities = dict(recipe.modalities)
    for name, own in assembled.processor.modalities.items():
        if own.vocabulary is not None:
            own.vocabulary.save(draft / VOCABULARIES / name)
            place = {"vocabulary": f"{EMBEDDED}{VOCABULARIES}/{name}"}
            aligner = modalities[name].aligner.model_copy(update=place)
            modalities[name] = modalities[name].model_copy(update={"aligner": aligner})
    return recipe.model_copy(update={"modalities": modalities})


def _checkpoint_files(path: str, revision: str | None, *, with_weights: bool = True) -> list[Path]:
    """A checkpoint's configuration, vocabulary and safetensors, or all but these."""
    source = Path(path)
    if not source.is_dir():  # a Hub id, which was loaded and is therefore in the cache
        source = Path(snapshot_download(path, revision=revision, local_files_only=True))
    found = [file for file in sorted(source.iterdir()) if file.is_file()]
    files = [file for file in found if file.suffix in _COPIED]
    if not with_weights:
        return [file for file in files if not _holds_weights(file)]
    has_others = any(file.suffix in _NOT_COPIED for file in found)  # an encoder may have no weights
    if not files or (has_others and not any(file.suffix == ".safetensors" for file in files)):
        raise BundleError(
            f"{path!r} cannot be embedded: it has no safetensors; convert it with "
            "save_pretrained, or set embed: false"
        )
    return files


def _holds_weights(file: Path) -> bool:
    """Whether a file of a checkpoint holds weights, or says which file does."""
    return file.suffix == ".safetensors" or file.name.endswith(".index.json")


def _digest(files: Sequence[Path]) -> str:
    """SHA-256 over names and contents."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _copy(files: Sequence[Path], target: Path) -> None:
    """Copy files into a new folder."""
    target.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, target / file.name)


def _plain(value: Any) -> Any:
    """JSON values of a pydantic model; anything else is JSON already."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
