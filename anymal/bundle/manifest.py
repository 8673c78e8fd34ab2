"""What a bundle's folder holds, and how it is read and checked without building a model.

Does not save or load models; `anymal.bundle.load` and `anymal.assemble` do.

    bundle.json            the manifest below
    aligners.safetensors   weights of all aligners, by `MODALITY.NAME`
    side.safetensors       weights of layers beside the row, where the model has any
    lora/                  adapters in PEFT's format, where the model has any
    extra_tokens.safetensors  rows of words beside the language model's table, likewise
    readouts.safetensors   what reads numbers out of the last layer, likewise
    tuned.safetensors      weights of the language model (norms and biases) and of encoders that
                           trained; they take the place of those in the checkpoints
    llm/                   a copy of the language model, where the recipe embeds it; or the
                           language model itself, where more of it trained than norms and biases
    encoders/NAME/         copies of encoders, likewise, and of all that trained, as they were
                           before; modalities may share one
    aligners/NAME/         tokenisers of aligners that read the words beside a medium
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from anymal.bundle.contents import Rules, check_contents, read_json
from anymal.bundle.hub import HubBundle, blobs_of
from anymal.errors import BundleError
from anymal.recipe.file import TINY
from anymal.recipe.lora import LoraRecipe
from anymal.recipe.schema import ModelRecipe

# What is written; 2 added num_tokens: null and the aligner `projection`, 3 what may train beside
# aligners and LoRA.
SCHEMA: Literal[3] = 3
READABLE = (1, 2, 3)
MANIFEST = "bundle.json"
ALIGNERS = "aligners.safetensors"
VOCABULARIES = "aligners"
EXTRA_TOKENS = "extra_tokens.safetensors"
READOUTS = "readouts.safetensors"
TUNED = "tuned.safetensors"
SIDE = "side.safetensors"
LORA = "lora"
LORA_WEIGHTS = "adapter_model.safetensors"
EMBEDDED = "bundle:"  # begins a path that is inside the bundle's own folder


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LlmFacts(_Section):
    """What must hold of the language model for the weights to mean anything."""

    path: str = Field(description="Hub id, absolute folder, or bundle:FOLDER inside the bundle")
    revision: str | None = Field(description="Hub revision")
    hidden_size: int = Field(description="width of its embeddings")
    embeddings: str = Field(description="SHA-256 of the first rows of its embedding table")
    tokenizer: str = Field(description="SHA-256 of vocabulary, special tokens and a tokenised text")
    template: str = Field(description="SHA-256 of a fixed conversation written by its template")
    trained: str | None = Field(None, description="SHA-256 of its weights, where they trained")


class ModalityFacts(_Section):
    """What must hold of one modality."""

    kind: str = Field(description="of the encoder")
    path: str | None = Field(
        description="of the encoder, as of the language model; null where there is nothing to load"
    )
    fingerprint: str = Field(description="SHA-256 over the encoder's weights and preprocessing")
    width: int = Field(description="width of its features")
    aligner: dict[str, Any] = Field(
        description="kind, num_tokens, options, SHA-256 of its tokeniser"
    )


class ParityFacts(_Section):
    """How far an imported model is from its class of transformers, in float32.

    A difference is the largest one, as a share of the largest value that the class gave.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    class_name: str = Field(alias="class", description="of transformers")
    transformers: str = Field(description="version of transformers")
    soft_tokens: float = Field(description="difference of soft tokens")
    logits: float = Field(description="difference of logits, over all positions")
    positions: int = Field(description="how many positions were compared")
    check: Literal["whole", "soft"] = Field(
        description="whole: logits of questions about media; soft: of words alone"
    )


class Manifest(_Section):
    """`bundle.json`."""

    schema_version: Literal[1, 2, 3] = Field(SCHEMA, description="of this file")
    recipe: ModelRecipe = Field(description="what the model is built from")
    llm: LlmFacts = Field(description="facts about the language model")
    modalities: dict[str, ModalityFacts] = Field(description="facts about each modality")
    lora: LoraRecipe | None = Field(description="adapters in lora/, or none")
    trained_precision: str = Field(description="how the LLM's weights were held in training")
    num_tuned: int | None = Field(
        None, description="weights in tuned.safetensors; null where an older version wrote it"
    )
    stages: list[Any] = Field(default_factory=list, description="how it was trained")
    data_sources: list[Any] = Field(default_factory=list, description="data with licences")
    results: Any = Field(None, description="what was measured")
    parity: ParityFacts | None = Field(None, description="of an imported model; null for others")


def bundle_folder(bundle: str | Path, *, allow_hub: bool = False) -> Path:
    """The folder that a user means.

    Args:
        bundle: A folder, `tiny` for the built-in one, or `ORG/NAME[@REV]` of the Hub.
        allow_hub: Download one of the Hub, if its local cache lacks it.

    Returns:
        The folder, links resolved, which holds a manifest and nothing that may not be read.

    Raises:
        BundleError: It does not, or `check_contents` refuses a file.
    """
    there = HubBundle.parse(str(bundle))
    if there is None:
        folder = TINY if str(bundle) == "tiny" else Path(bundle).expanduser()
    else:
        folder = there.folder(allow_hub=allow_hub)
    if not _holds_manifest(folder):
        raise BundleError(
            f"{str(bundle)!r} is not a bundle folder: it holds no {MANIFEST} that can be read; "
            "give the folder that training wrote (RUN_DIR/bundle), or tiny"
        )
    folder = folder.resolve()
    blobs = None if there is None else blobs_of(folder)
    check_contents(folder, Rules(what="bundle", links_into=blobs))
    return folder


def read_manifest(folder: Path) -> Manifest:
    """Read `bundle.json`, its `bundle:` paths made absolute.

    Args:
        folder: From `bundle_folder`.

    Returns:
        The manifest.

    Raises:
        BundleError: It is damaged, of another version, or names a place outside of its folder.
    """
    path = folder / MANIFEST
    try:
        values = read_json(path, is_strict=True)
        if values["schema_version"] not in READABLE:
            raise BundleError(
                f"{path} has schema version {values['schema_version']}; this version of anymal "
                f"reads {', '.join(map(str, READABLE))}; install the version that wrote it"
            )
        if isinstance(llm := values["recipe"]["llm"], dict):
            llm.setdefault("markers", {})  # bundles from before there were any
        return Manifest.model_validate(_located(values, folder))
    except (OSError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, BundleError):
            raise
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise BundleError(f"{path} cannot be read ({reason}); copy the bundle again") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read one file of weights.

    Raises:
        BundleError: It is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path} cannot be read ({error}); copy the bundle again") from error


def check_equal(what: str, saved: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse facts that differ.

    Args:
        what: Part of the model, for the message.
        saved: Facts in the bundle.
        found: Facts about what is there now.

    Raises:
        BundleError: Names the first field that differs and both values.
    """
    for field in saved:
        if saved[field] != found[field]:
            raise BundleError(
                f"{what}.{field} differs: the bundle was made with {saved[field]!r}, but "
                f"{found[field]!r} is here; use the same one, or train again"
            )


def _holds_manifest(folder: Path) -> bool:
    """Whether a manifest is there. Of any other folder, errors reveal nothing."""
    try:
        return (folder / MANIFEST).is_file()
    except (OSError, ValueError):  # not allowed to look, or a NUL in the path
        return False


def _located(value: Any, folder: Path) -> Any:
    """Values with `bundle:` paths made absolute."""
    if isinstance(value, dict):
        return {key: _located(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_located(item, folder) for item in value]
    if isinstance(value, str) and value.startswith(EMBEDDED):
        place = folder / value.removeprefix(EMBEDDED)
        if not place.resolve().is_relative_to(folder):
            raise BundleError(f"{value!r} in {folder / MANIFEST} leads out of the bundle")
        return str(place)
    return value
