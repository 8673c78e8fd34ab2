"""From a model recipe to a model and its processor.

Does not read recipe files or bundles; `anymal.recipe` and `anymal.bundle` do.
"""

from dataclasses import dataclass

import torch
from torch import nn

from aligners.base import AlignerError
from aligners.registry import build_aligner
from anymal.chat import build_template
from anymal.errors import RecipeError
from anymal.llm import LLM, LoraOptions, load_llm
from anymal.model import AnyMAL
from anymal.processor import ModalityInput, Processor
from anymal.recipe import EncoderRecipe, LoraRecipe, ModalityRecipe, ModelRecipe
from encoders.base import EncoderError
from encoders.registry import build_encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A model with what is needed to use it.

    Attributes:
        model: Encoders, aligners and language model on one device, in eval mode.
        processor: Makes its samples.
        model_recipe: What it was built from.
    """

    model: AnyMAL
    processor: Processor
    model_recipe: ModelRecipe


def build(model_recipe: ModelRecipe, *, device: torch.device | str = "cpu") -> Assembled:
    """Build a model; fresh weights come from the global random state.

    Args:
        model_recipe: What it is made of, its paths absolute. `start_from` is not followed here
            (see `anymal.bundle.start_from`).
        device: Where it goes.

    Returns:
        The model and its processor.

    Raises:
        RecipeError: A part cannot be built; the message names its key.
    """
    llm = load_llm(
        model_recipe.llm.path,
        precision=model_recipe.llm.precision,
        device=device,
        lora=lora_options(model_recipe.lora),
        revision=model_recipe.llm.revision,
    )
    template = build_template(model_recipe.llm.template, llm.tokenizer)
    encoders: dict[str, nn.Module] = {}
    aligners: dict[str, nn.Module] = {}
    inputs: dict[str, ModalityInput] = {}
    for name, recipe in model_recipe.modalities.items():
        encoders[name] = _build_encoder(name, recipe.encoder)
        aligners[name] = _build_aligner(name, recipe, encoders[name], llm)
        inputs[name] = ModalityInput(
            preprocessor=encoders[name].preprocessor,  # type: ignore[arg-type]  # an Encoder
            num_tokens=recipe.aligner.num_tokens,
            prefix=recipe.prefix,
            suffix=recipe.suffix,
        )
    end_of_turn = llm.tokenizer.convert_tokens_to_ids(template.end_of_turn)
    model = AnyMAL(
        encoders=encoders,
        aligners=aligners,
        llm=llm,
        stop_ids={*llm.eos_ids, end_of_turn},
    )
    model.encoders.to(device)
    model.aligners.to(device)
    model.set_trainable((), lora=False)
    processor = Processor(
        tokenizer=llm.tokenizer,
        template=template,
        modalities=inputs,
        max_tokens=model_recipe.llm.max_tokens,
    )
    return Assembled(model=model.eval(), processor=processor, model_recipe=model_recipe)


def lora_options(recipe: LoraRecipe | None) -> LoraOptions | None:
    """The section of the recipe as plain options."""
    return None if recipe is None else LoraOptions(**recipe.model_dump())


def _build_encoder(name: str, recipe: EncoderRecipe) -> nn.Module:
    """Build the encoder of a modality."""
    try:
        encoder = build_encoder(recipe.kind, recipe.path, **recipe.options)
    except EncoderError as error:
        raise RecipeError(f"modalities.{name}.encoder: {error}") from error
    assert isinstance(encoder, nn.Module), type(encoder)
    return encoder


def _build_aligner(name: str, recipe: ModalityRecipe, encoder: nn.Module, llm: LLM) -> nn.Module:
    """Build the aligner between an encoder and the language model."""
    assert isinstance(encoder.width, int), encoder.width
    try:
        return build_aligner(
            recipe.aligner.kind,
            encoder_dim=encoder.width,
            llm_dim=llm.hidden_size,
            embedding_rms=llm.embedding_rms,
            num_tokens=recipe.aligner.num_tokens,
            **recipe.aligner.options,
        )
    except AlignerError as error:
        raise RecipeError(f"modalities.{name}.aligner: {error}") from error
