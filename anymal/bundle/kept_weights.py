"""Merged weights of a bundle's language model, kept so that the next start only maps them.

A hit builds the language model on the meta device and gives it the kept tensors: of the checkpoint,
only configuration and vocabulary are read. What cannot be kept or used is made as without this
file, and the log says why.

Weights are found by the digest of everything they follow from, also of the code that makes them: a
checkout changes it without a new version. Files up to 64 MiB are hashed whole. Of a larger one the
digest takes its resolved path, its size, the times of its last change, and 256 pieces of 4 KiB: any
write through the file system changes those times (no program can set the time of a file's status,
ctime), and where images with fixed times are mounted one after the other, the weights of another
training differ in the pieces. The times of a file that changed less than two seconds ago may not
tell it from what it was before; its weights are not kept yet. Anyone who can write to the cache
folder can change answers; a folder that is open to all users, or belongs to another user, is not
used.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

import anymal.llm
from anymal.bundle import weight_cache
from anymal.bundle.manifest import LORA, LORA_WEIGHTS, TUNED, Manifest
from anymal.bundle.weight_file import DamagedError, read_facts, read_tensors, write_tensors
from anymal.errors import RecipeError
from anymal.llm.biases import add_biases
from anymal.llm.causal_lm import LLM
from anymal.llm.load import empty_llm
from anymal.llm.merge_lora import laid_out, merge_layers
from anymal.llm.precision import compute_dtype
from anymal.llm.weight_only import WEIGHT_ONLY, weight_layout
from anymal.recipe.schema import LlmRecipe

logger = logging.getLogger(__name__)

_FORMAT = 2  # of the kept files
_WHOLE_BYTES = 64 * 2**20
_PIECES, _PIECE_BYTES = 256, 4096
_SETTLED_S = 2.0  # the coarsest clock of a file system in use
_PACKAGES = ("anymal", "bitsandbytes", "peft", "torch", "transformers")
_CPU = torch.device("cpu")


class _NotKept(Exception):
    """Weights cannot be kept, or not be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLLM:
    """A language model from kept weights.

    Attributes:
        llm: It answers; LoRA is in its weights.
        embeddings: Digest of the embedding table that it was made from, before LoRA and rounding.
    """

    llm: LLM
    embeddings: str


class KeptWeights:
    """The merged weights of one bundle at one precision, kept or not.

    Args:
        folder: Of the bundle.
        manifest: Of the bundle.
        llm: The language model's section of the recipe, its path a folder.
        precision: How the merged weights are held.
    """

    def __init__(self, folder: Path, manifest: Manifest, llm: LlmRecipe, *, precision: str) -> None:
        self._folder, self._manifest, self._llm = folder, manifest, llm
        self._precision = precision
        self._what = f"the merged weights of {str(folder)!r}"
        self._digest: str | None = None
        is_off = not weight_cache.most_bytes()
        as_checkpoint = (llm.precision, precision) in (("fp32", "fp32"), ("bf16", "bf16"))
        if is_off or (as_checkpoint and manifest.lora is None):  # what is mapped as it is
            return
        try:
            self._digest = self._of_files()
        except (OSError, _NotKept) as error:
            logger.info("%s are not kept: %s", self._what, error)

    def take(self) -> KeptLLM | None:
        """The language model, if its weights are kept and whole."""
        if self._digest is None:
            return None
        path = weight_cache.file_of(self._digest)
        try:
            weight_cache.check_own()
            facts = read_facts(path)
            if facts["digest"] != self._digest:
                raise _NotKept("it was made from other files")
            embeddings = facts["embeddings"]
            llm = _empty(self._llm.path, self._precision, self._manifest.recipe.biases)
            _fill(llm.model, read_tensors(path))
        except FileNotFoundError:
            return None
        except (OSError, KeyError, DamagedError, _NotKept) as error:
            logger.warning("%s are made again: %s cannot be used (%s)", self._what, path, error)
            return None
        weight_cache.note_use(path)
        llm = laid_out(llm, precision=self._precision)
        return KeptLLM(llm=llm, embeddings=embeddings)

    def keep(self, llm: LLM, *, embeddings: str) -> None:
        """Keep what `merge_layers` made.

        Args:
            llm: Of which the layers are merged, and not laid out yet.
            embeddings: `LLM.embeddings_digest` before they were merged.
        """
        if self._digest is None:
            return
        path = weight_cache.file_of(self._digest)
        tensors = dict(_tensors(llm.model))
        size = sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors.values()}.values())
        try:
            empty = _empty(self._llm.path, self._precision, self._manifest.recipe.biases)
            _fill(empty.model, tensors)
            if not weight_cache.make_room(size):
                raise _NotKept(
                    f"they take {size:,} bytes, and {weight_cache.VARIABLE} allows "
                    f"{weight_cache.most_bytes():,}"
                )
            if self._of_files() != self._digest:
                raise _NotKept("what they were made from changed while it was read")
            facts = {
                "digest": self._digest,
                "embeddings": embeddings,
                "model": self._llm.path,
                "precision": self._precision,
            }
            write_tensors(path, tensors, facts)
        except (OSError, KeyError, RecipeError, _NotKept) as error:
            logger.warning("%s are not kept, and are made at each start: %s", self._what, error)

    def _of_files(self) -> str:
        return _digest(self._folder, self._manifest, self._llm, self._precision)


# --- what decides the weights -------------------------------------------------------------------


def _digest(folder: Path, manifest: Manifest, llm: LlmRecipe, precision: str) -> str:
    """SHA-256 over everything that the merged weights follow from."""
    checkpoint = Path(llm.path)
    facts = {
        "format": _FORMAT,
        "code": _of_code(),
        "checkpoint": [
            [str(file.relative_to(checkpoint)), *_of_file(file)] for file in _files(checkpoint)
        ],
        "trained": llm.precision,
        "lora": None,
        "precision": precision,
        "versions": [version(name) for name in _PACKAGES],
        "layout": weight_layout(precision) if precision in WEIGHT_ONLY else "",
    }
    if manifest.lora is not None:
        weights = _of_file(folder / LORA / LORA_WEIGHTS)
        facts["lora"] = [manifest.lora.model_dump(mode="json"), weights]
    if (folder / TUNED).is_file():
        facts["tuned"] = [manifest.recipe.biases, _of_file(folder / TUNED)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _files(checkpoint: Path) -> list[Path]:
    """The files of a checkpoint, those of folders inside too: an index can name them."""
    return sorted(path for path in checkpoint.rglob("*") if path.is_file())


@cache
def _of_code() -> str:
    """SHA-256 of the package that loads, rounds and merges."""
    digest = hashlib.sha256()
    for file in sorted(Path(anymal.llm.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _of_file(path: Path) -> list[Any]:
    """What tells a file from every other; see the module's docstring."""
    stat = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if stat.st_size <= _WHOLE_BYTES:
            digest.update(file.read())
            return [path.name, digest.hexdigest()]
        if time.time() - max(stat.st_mtime, stat.st_ctime) < _SETTLED_S:
            raise _NotKept(f"{path} has changed just now")
        for number in range(_PIECES):
            file.seek((stat.st_size - _PIECE_BYTES) * number // (_PIECES - 1))
            digest.update(file.read(_PIECE_BYTES))
    times = [stat.st_mtime_ns, stat.st_ctime_ns]
    return [path.name, str(path.resolve()), stat.st_size, *times, digest.hexdigest()]


# --- a model and its tensors --------------------------------------------------------------------


def _empty(path: str, precision: str, biases: str | list[str] | None) -> LLM:
    """The model without weights, its layers as `merge_layers` leaves them.

    Raises:
        _NotKept: It cannot be built so.
    """
    try:
        dtype = compute_dtype(precision, _CPU)
        llm = empty_llm(path, dtype=dtype)
        if biases is not None:
            add_biases(llm.model, biases, dtype=dtype)
        merge_layers(llm, precision=precision)
    except (ValueError, NotImplementedError, RuntimeError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise _NotKept(f"the model cannot be built without its weights ({reason})") from error
    return llm


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """All that a model computes with, also what it does not save, such as rotary frequencies."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _fill(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a model on the meta device its tensors.

    Raises:
        _NotKept: They are not those of the model, or it holds others.
    """
    empty, parameters = dict(_tensors(model)), dict[int, nn.Parameter]()
    if different := sorted(empty.keys() ^ tensors.keys()):
        raise _NotKept(f"{different[0]} is not in both the model and what is kept")
    for name, tensor in tensors.items():
        if (tensor.shape, tensor.dtype) != (empty[name].shape, empty[name].dtype):
            raise _NotKept(f"{name} has another shape or dtype than in the model")
        place, _, own_name = name.rpartition(".")
        layer = model.get_submodule(place)
        if own_name in layer._parameters:
            # One for tied layers: `prepack` would lay out a second copy of each of two.
            parameter = nn.Parameter(tensor.detach(), requires_grad=False)
            layer._parameters[own_name] = parameters.setdefault(id(tensor), parameter)
        else:
            layer._buffers[own_name] = tensor
    for name, layer in model.named_modules():
        for own_name, value in vars(layer).items():
            if isinstance(value, Tensor) and value.is_meta:
                raise _NotKept(f"{name}.{own_name} is no parameter and no buffer")
