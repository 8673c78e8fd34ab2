"""From a model recipe to a model and its processor.

Does not read recipe files (see `anymal.recipe`) or bundles (see `anymal.bundle`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from aligners.base import Aligner, reads_text_of
from aligners.limits import AlignerError
from aligners.registry import build_aligner
from anymal.chat.template import ChatTemplate, build_template
from anymal.chat.vocabulary import vocabulary_of
from anymal.errors import RecipeError
from anymal.features.store import open_features
from anymal.intake.clock import Clock
from anymal.llm.beside import build_beside
from anymal.llm.causal_lm import LLM
from anymal.llm.extra_tokens import ExtraTokens, new_extra_tokens, with_words
from anymal.llm.load import empty_llm, load_llm, without_progress
from anymal.llm.lora import LoraOptions
from anymal.llm.readout import build_readouts
from anymal.model import AnyMAL
from anymal.processor import ModalityInput, Processor
from anymal.recipe.lora import LoraRecipe
from anymal.recipe.schema import EncoderRecipe, ModelRecipe
from encoders.base import Encoder, EncoderError
from encoders.registry import build_encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A model with what is needed to use it.

    Attributes:
        model: Encoders, aligners and language model, in eval mode; all on one device but for
            encoders whose features are cached, which stay on the CPU.
        processor: Makes its samples.
        model_recipe: What it was built from, with the markers that were found.
    """

    model: AnyMAL
    processor: Processor
    model_recipe: ModelRecipe


def build(
    model_recipe: ModelRecipe,
    *,
    device: torch.device | str = "cpu",
    features: Path | str | None = None,
    llm: LLM | None = None,
    trained_encoders: Collection[str] = (),
) -> Assembled:
    """Build a model; new aligners and LoRA draw their weights from the global random state.

    Reads no bundle: for `start_from`, call `anymal.bundle.start.take_over` afterwards.

    Args:
        model_recipe: What it is made of, its paths absolute.
        device: Where it goes.
        features: Folder that `anymal data encode` wrote; the processor reads features from there
            instead of decoding media.
        llm: The language model, if it is there already; None loads it as the recipe says.
        trained_encoders: Modalities whose encoders will train.

    Returns:
        The model and its processor.

    Raises:
        RecipeError: A part cannot be built; the message names its key.
        DataError: The features are damaged, or another encoder's.
    """
    if llm is None:
        llm = load_llm(
            model_recipe.llm.path,
            precision=model_recipe.llm.precision,
            device=device,
            lora=lora_options(model_recipe.lora),
            biases=model_recipe.biases,
            revision=model_recipe.llm.revision,
        )
    extra = _extra_tokens(model_recipe, llm)
    template = _template(model_recipe, llm.tokenizer)
    encoders, aligners = dict[str, nn.Module](), dict[str, nn.Module]()
    inputs: dict[str, ModalityInput] = {}
    for name, recipe in model_recipe.modalities.items():
        encoder = build_frozen(name, recipe.encoder)
        # Words are as large as the rows of their table; what stands beside them may be of any size.
        rms = llm.embedding_rms if model_recipe.side is None else 1.0
        aligner = _build_aligner(name, model_recipe, encoder, llm=llm, rms=rms)
        encoders[name], aligners[name] = cast(nn.Module, encoder), aligner
        inputs[name] = _input(name, model_recipe, encoder, aligner)
        if features is not None:
            cached = open_features(Path(features), modality=name, encoder=encoder)
            inputs[name] = replace(inputs[name], features=cached)
    side = model_recipe.side
    end_of_turn = llm.tokenizer.convert_tokens_to_ids(template.end_of_turn)
    model = AnyMAL(
        encoders=encoders,
        aligners=aligners,
        llm=llm,
        side=None if side is None else build_beside(llm, side.kind, side.options),
        stop_ids={*llm.eos_ids, end_of_turn},
        extra_tokens=extra,
        readouts=build_readouts(model_recipe.readouts or (), llm.hidden_size),
    )
    for name, each in model.encoders.items() if features is None else ():
        # An encoder that trains keeps float32, as aligners do.
        dtype = torch.float32 if name in trained_encoders else llm.dtype
        place_encoder(each, torch.device(device), dtype)
    for part in filter(None, (model.aligners, model.side, model.readouts)):
        part.to(device)
    model.set_trainable(())
    processor = _processor(model_recipe, llm, template, inputs)
    llm_recipe = model_recipe.llm.model_copy(update={"markers": dict(template.markers or {})})
    return Assembled(
        model=model.eval(),
        processor=processor,
        model_recipe=model_recipe.model_copy(update={"llm": llm_recipe}),
    )


def build_processor(model_recipe: ModelRecipe) -> Processor:
    """Build the processor of a model without the weights of its language model and aligners.

    Args:
        model_recipe: What the model is made of, its paths absolute.

    Returns:
        The same processor as `build` makes, which decodes media.

    Raises:
        RecipeError: A part cannot be built; the message names its key.
    """
    path = model_recipe.llm.path
    try:
        llm = empty_llm(path, dtype=torch.float32, revision=model_recipe.llm.revision)
    except (OSError, ValueError, KeyError) as error:
        why = str(error).strip().partition("\n")[0]
        raise RecipeError(
            f"cannot read the tokeniser of {path!r}: {why}; give the Hub id or folder of a causal "
            "language model in Hugging Face's format"
        ) from error
    if model_recipe.extra_tokens is not None:
        llm.tokenizer = with_words(llm.tokenizer, model_recipe.extra_tokens)
    inputs: dict[str, ModalityInput] = {}
    for name, recipe in model_recipe.modalities.items():
        encoder = build_frozen(name, recipe.encoder)
        with torch.device("meta"):
            aligner = _build_aligner(name, model_recipe, encoder, llm=llm, rms=1.0)
        inputs[name] = _input(name, model_recipe, encoder, aligner)
    return _processor(model_recipe, llm, _template(model_recipe, llm.tokenizer), inputs)


def from_media(assembled: Assembled) -> Assembled:
    """The same model, which sees media and not only what is cached; its encoders join it.

    Args:
        assembled: Perhaps built with `features`.

    Returns:
        The model, all of it on one device, and a processor that decodes.
    """
    model = assembled.model
    place_encoder(model.encoders, model.device, model.llm.dtype)
    return replace(assembled, processor=assembled.processor.without_features())


def lora_options(recipe: LoraRecipe | None) -> LoraOptions | None:
    """The section of the recipe as plain options."""
    return None if recipe is None else LoraOptions(**recipe.model_dump())


def build_frozen(name: str, recipe: EncoderRecipe) -> Encoder:
    """Build the encoder of a modality.

    Args:
        name: Of the modality.
        recipe: Its encoder.

    Returns:
        The encoder, an `nn.Module` on the CPU.

    Raises:
        RecipeError: It cannot be built.
    """
    try:
        with without_progress():
            encoder = build_encoder(recipe.kind, recipe.path, **recipe.options)
    except EncoderError as error:
        raise RecipeError(f"modalities.{name}.encoder: {error}") from error
    assert isinstance(encoder, nn.Module), type(encoder)
    return encoder


def place_encoder(encoder: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move an encoder, or several, to where it computes.

    Args:
        encoder: One that stays frozen computes, on CUDA, as the language model does.
        device: Where it goes.
        dtype: Of the language model's hidden states, or float32 for an encoder that trains.
    """
    encoder.to(device, dtype if device.type == "cuda" else None)


def _extra_tokens(model_recipe: ModelRecipe, llm: LLM) -> ExtraTokens | None:
    """Rows of the words beside the table, which the language model reads from now on."""
    words = model_recipe.extra_tokens
    if words is None:
        return None
    tokenizer, num_known = with_words(llm.own_tokenizer, words), len(llm.own_tokenizer)
    extra = new_extra_tokens(llm.model, tokenizer, words, num_known=num_known)
    llm.use_extra_tokens(extra, tokenizer)
    return extra


def _template(model_recipe: ModelRecipe, tokenizer: Any) -> ChatTemplate:
    """How a conversation becomes text."""
    return build_template(
        model_recipe.llm.template,
        tokenizer,
        modalities=tuple(model_recipe.modalities),
        markers=model_recipe.llm.markers,
    )


def _input(
    name: str, model_recipe: ModelRecipe, encoder: Encoder, aligner: nn.Module
) -> ModalityInput:
    """What the processor knows of a modality."""
    recipe = model_recipe.modalities[name]
    num_tokens = recipe.aligner.num_tokens
    return ModalityInput(
        preprocessor=encoder.preprocessor,
        num_tokens=num_tokens,
        layout=encoder.layout,
        # Encoders of other packages need not tell.
        times=getattr(encoder, "times", None),
        facts=recipe.facts,
        count=cast(Aligner, aligner).count if num_tokens is None else None,
        vocabulary=vocabulary_of(
            reads_text_of(aligner),
            recipe.aligner.vocabulary,
            where=f"modalities.{name}.aligner",
        ),
        is_beside=model_recipe.side is not None,
        prefix=recipe.prefix,
        suffix=recipe.suffix,
    )


def _processor(
    model_recipe: ModelRecipe,
    llm: LLM,
    template: ChatTemplate,
    inputs: Mapping[str, ModalityInput],
) -> Processor:
    """The processor of a model."""
    return Processor(
        tokenizer=llm.tokenizer,
        template=template,
        modalities=inputs,
        max_tokens=model_recipe.llm.max_tokens,
        # What a caller aligned belongs into the row, where this model was not taught to read it.
        embeds_dim=llm.hidden_size if model_recipe.side is None else None,
        media_first=model_recipe.media_first,
        needs_media=model_recipe.needs_media,
        clock=Clock(window_s=model_recipe.clock.window_s) if model_recipe.clock else None,
    )


def _build_aligner(
    name: str, model_recipe: ModelRecipe, encoder: Encoder, *, llm: LLM, rms: float
) -> nn.Module:
    """Build the aligner between an encoder and the language model, or what stands beside it."""
    recipe = model_recipe.modalities[name]
    if recipe.aligner.num_tokens is None and encoder.layout is None:
        raise RecipeError(
            f"modalities.{name}.aligner.num_tokens is null (one soft token per feature), but the "
            f"encoder '{recipe.encoder.kind}' does not tell how many features a medium will have; "
            "give a number"
        )
    try:
        return build_aligner(
            recipe.aligner.kind,
            encoder_dim=encoder.width,
            llm_dim=model_recipe.media_width(llm.hidden_size),
            embedding_rms=rms,
            num_tokens=recipe.aligner.num_tokens,
            **recipe.aligner.options,
        )
    except AlignerError as error:
        raise RecipeError(f"modalities.{name}.aligner: {error}") from error
