"""Make a bundle of a published model, and prove that it computes what the model does.

Holds no class of models (`anymal.published.registry`). A model that differs is refused, and
nothing is left behind.
"""

import copy
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from anymal.assemble import Assembled, build
from anymal.bundle.load import describe, load_bundle
from anymal.bundle.manifest import VOCABULARIES, ParityFacts
from anymal.bundle.save import free_folder, save_bundle
from anymal.errors import AnymalError, BundleError
from anymal.llm.load import without_progress
from anymal.published.base import ImportedModality, Importer, Published
from anymal.published.parity import LIMIT, Check, Reference, is_same, parity, reference_of
from anymal.published.source import Source, checked_source
from anymal.published.written import writing
from anymal.recipe.schema import LlmRecipe, ModalityRecipe, ModelRecipe, Precision
from encoders.base import EncoderError
from encoders.picture_limits import check_sides

Tell = Callable[[str], None]

# Written in pieces of this size, each of which is in memory twice.
_SHARD = "2GB"
_MOST_POSITIONS = 8192  # of a sample, whatever the language model could read


def import_model(
    checkpoint: str | Path,
    out: Path,
    *,
    check: Check = "whole",
    force: bool = False,
    allow_hub: bool = False,
    tell: Tell,
) -> ParityFacts:
    """Write a bundle of a published model.

    Args:
        checkpoint: Its folder, or a Hub id.
        out: Where the bundle goes; an older bundle there is replaced.
        check: `whole` compares soft tokens and logits in float32; `soft` needs less memory.
        force: Keep a bundle that differs.
        allow_hub: Download what the local cache lacks.
        tell: Called with one line at each step.

    Returns:
        How far the bundle is from the class.

    Raises:
        BundleError: The checkpoint cannot be imported, or the bundle differs.
        RecipeError: A part cannot be built.
    """
    out = free_folder(out)
    source = checked_source(checkpoint, allow_hub=allow_hub)
    with _draft_of(out) as draft:
        tell(f"reading {source.folder} ...")
        published = load_source(source)
        for note in source.importer.notes:
            tell(f"note: {note}")
        tell("writing its parts ...")
        with _in_one_line(f"the parts of {str(source.folder)!r} cannot be written", _COPY):
            recipe, weights = write_parts(source.importer, published, draft)
        reference = _reference(source, published, check=check, tell=tell)
        del published
        tell("asking the bundle ...")
        assembled = _built(recipe, weights, reference.precision)
        facts = parity(assembled, reference)
        if not (force or is_same(facts)):
            raise BundleError(
                f"the bundle would differ from {facts.class_name}: {shown(facts)}; allowed is "
                f"{LIMIT:g}; --force writes it all the same"
            )
        if assembled.model_recipe.llm.precision != recipe.llm.precision:
            del assembled
            assembled = _built(recipe, weights, recipe.llm.precision)
        tell(f"writing {out} ...")
        with writing(out):
            save_bundle(assembled, out, parity=facts)
    return facts


def check_against(
    bundle: str | Path,
    checkpoint: str | Path,
    *,
    check: Check = "whole",
    allow_hub: bool = False,
    tell: Tell,
) -> ParityFacts:
    """Compare a bundle with the published model that it was imported from, on this machine.

    Args:
        bundle: Its folder.
        checkpoint: Its folder, or a Hub id.
        check: As in `import_model`.
        allow_hub: Download what the local cache lacks.
        tell: Called with one line at each step.

    Returns:
        How far it is from the class.

    Raises:
        BundleError: The bundle or the checkpoint cannot be read, or they differ.
    """
    describe(bundle)  # refused before the model is read
    source = checked_source(checkpoint, allow_hub=allow_hub)
    tell(f"reading {source.folder} ...")
    published = load_source(source)
    reference = _reference(source, published, check=check, tell=tell)
    del published
    tell("asking the bundle ...")
    facts = parity(load_bundle(bundle, precision=reference.precision), reference)
    if not is_same(facts):
        raise BundleError(
            f"{str(bundle)!r} differs from {facts.class_name} of {str(checkpoint)!r}: "
            f"{shown(facts)}; allowed is {LIMIT:g}"
        )
    return facts


def shown(facts: ParityFacts) -> str:
    """Differences in a line."""
    return (
        f"soft tokens {facts.soft_tokens:.1e}, logits {facts.logits:.1e} "
        f"at {facts.positions} positions"
    )


def load_source(source: Source) -> Published:
    """The model, loaded by its class.

    Raises:
        BundleError: It cannot be loaded, or a pickle holds more than tensors.
    """
    with _in_one_line(f"{str(source.folder)!r} cannot be loaded", _COPY):
        return source.importer.load(source.folder)


def _reference(source: Source, published: Published, *, check: Check, tell: Tell) -> Reference:
    """What the class computes; the model is not what it was afterwards."""
    name = type(published.model).__name__
    tell(f"asking {name} ...")
    with _in_one_line(
        f"{name} of {str(source.folder)!r} cannot be asked",
        "its files do not fit each other: try them with transformers, and correct them",
    ):
        return reference_of(source.importer, published, check=check)


_COPY = "copy the checkpoint again"


@contextmanager
def _in_one_line(what: str, step: str) -> Iterator[None]:
    """Turn what libraries raise on checkpoints that make no sense into a user's error."""
    try:
        yield
    except AnymalError:
        raise
    except EncoderError as error:
        raise BundleError(str(error)) from error
    except pickle.UnpicklingError as error:
        raise BundleError(
            f"{what}: a pickle holds more than tensors, perhaps code, and was not read; convert it "
            "to safetensors on a machine where you trust it"
        ) from error
    except Exception as error:  # they fail in many ways
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise BundleError(f"{what} ({reason}); {step}") from error


def write_parts(
    importer: Importer, published: Published, draft: Path
) -> tuple[ModelRecipe, dict[str, Mapping[str, Tensor]]]:
    """Write the language model and the encoders.

    Returns:
        The recipe, and the weights of what stands between, by part: `aligners.NAME`, and `side`.
    """
    llm: Any = importer.llm(published)
    form = importer.prompt(published)
    place = draft / "llm"
    ends = {key: getattr(llm.generation_config, key) for key in _ENDS}
    settings: Any = GenerationConfig
    llm.generation_config = settings(**ends)
    with without_progress():
        llm.save_pretrained(place, max_shard_size=_SHARD)
    tokenizer = copy.deepcopy(published.processor.tokenizer)
    if form.chat_template is not None:
        tokenizer.chat_template = form.chat_template
    tokenizer.save_pretrained(place)
    modalities: dict[str, ModalityRecipe] = {}
    weights: dict[str, Mapping[str, Tensor]] = {}
    for name, part in importer.parts(published).items():
        check_sides(part.processor)  # before the class reads a picture
        path = draft / "encoders" / name
        _write_encoder(part, path)
        weights[f"aligners.{name}"] = _in_float32(part.weights)
        aligner = part.aligner
        if part.vocabulary is not None:
            words = draft / VOCABULARIES / name
            part.vocabulary.save_pretrained(words)
            aligner = aligner.model_copy(update={"vocabulary": str(words)})
        modalities[name] = ModalityRecipe(
            encoder=part.encoder.model_copy(update={"path": str(path)}),
            aligner=aligner,
            prefix=part.prefix,
            suffix=part.suffix,
        )
    side = importer.side(published)
    if side is not None:
        weights["side"] = _in_float32(side.weights)
    recipe = ModelRecipe(
        llm=LlmRecipe(
            path=str(place),
            precision="fp32" if llm.dtype == torch.float32 else "bf16",
            template=form.template,
            max_tokens=min(
                getattr(llm.config, "max_position_embeddings", None) or _MOST_POSITIONS,
                _MOST_POSITIONS,
            ),
            embed=True,
        ),
        modalities=modalities,
        side=None if side is None else side.recipe,
        media_first=form.media_first,
    )
    return recipe, weights


_ENDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def _in_float32(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in weights.items()}


def _write_encoder(part: ImportedModality, path: Path) -> None:
    """Write one encoder with its preprocessing."""
    path.mkdir(parents=True)
    if part.tower is not None:
        with without_progress():
            part.tower.save_pretrained(path, max_shard_size=_SHARD)
    part.processor.save_pretrained(path)


def _built(
    recipe: ModelRecipe, weights: Mapping[str, Mapping[str, Tensor]], precision: Precision
) -> Assembled:
    """The model with the weights of its aligners and side, built like any other."""
    llm = recipe.llm.model_copy(update={"precision": precision})
    assembled = build(recipe.model_copy(update={"llm": llm}))
    model = assembled.model
    state = model.trainable_state()
    for part, given in weights.items():
        module = model.get_submodule(part)
        kept = module.state_dict()
        names = [key for key, _ in module.named_buffers() if key in kept and key not in given]
        buffers = {key: kept[key] for key in names}
        own = {f"{part}.{key}" for key in kept}
        state = {key: tensor for key, tensor in state.items() if key not in own}
        state |= {f"{part}.{key}": tensor for key, tensor in {**buffers, **given}.items()}
    model.load_trainable_state(state)
    return assembled


@contextmanager
def _draft_of(out: Path) -> Iterator[Path]:
    """An empty folder beside a bundle, for its parts; also what a killed import left is removed."""
    place = next(place for place in out.parents if place.exists())
    draft = place / f".{'.'.join(out.relative_to(place).parts)}.importing"
    with writing(draft):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
