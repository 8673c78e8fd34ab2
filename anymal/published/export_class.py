"""A bundle as a class of transformers, where one can hold it: written, loaded again, compared.

What the class says is compared with what the bundle says, as an import does; what differs is not
kept. Does not know any class; each family has a file of its own.
"""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import MODEL_MAPPING

from anymal.assemble import Assembled
from anymal.bundle.load import describe, load_bundle
from anymal.bundle.manifest import ParityFacts
from anymal.errors import BundleError
from anymal.llm.load import without_progress
from anymal.llm.plain import plain_model
from anymal.published.base import Published
from anymal.published.chat_template import chat_template
from anymal.published.export_llava import LLAVA
from anymal.published.export_llava_next import LLAVA_NEXT
from anymal.published.export_merged import end_answers, own_template, write_model
from anymal.published.export_voxtral import VOXTRAL
from anymal.published.holder import NEXT_STEP, Holder, Misfit, Whole, all_options
from anymal.published.importing import shown
from anymal.published.parity import LIMIT, Reference, is_same, parity, reference_of
from anymal.published.source import checked_source
from anymal.published.written import Written
from anymal.recipe.schema import ModelRecipe

HOLDERS: tuple[Holder, ...] = (LLAVA, LLAVA_NEXT, VOXTRAL)


def write_class(bundle: str | Path, draft: Path) -> Written:
    """Write the checkpoint of a class.

    In bfloat16 where every weight is exact in it, in float32 where not.

    Args:
        bundle: Its folder, or `tiny`.
        draft: An empty folder.

    Returns:
        What was written.

    Raises:
        BundleError: No class can hold the bundle, or what was written says something else.
        RecipeError: A part cannot be built.
    """
    manifest = describe(bundle)
    holder = _holder_of(manifest.recipe, manifest.llm.hidden_size)
    assembled = load_bundle(bundle)
    published = holder.build(_taken_apart(assembled, holder))
    num_words = assembled.model.llm.vocab_size
    model = published.model
    model.to(_exact_dtype(model))
    dtype = str(model.dtype).removeprefix("torch.")
    write_model(model, draft)
    published.processor.save_pretrained(draft)
    del assembled, published, model
    facts = _compared(bundle, draft, num_words)
    has_lora = "" if manifest.lora is None else ", LoRA in its weights"
    return Written(
        holds=(
            f"{holder.class_name} in {dtype}{has_lora}; differs from the bundle by: {shown(facts)}"
        ),
        lacks=holder.lacks,
    )


def _holder_of(recipe: ModelRecipe, width: int) -> Holder:
    """The first class that can hold a bundle."""
    misfits: dict[str, Misfit] = {}
    for holder in HOLDERS:
        misfit = holder.misfit(recipe, width)
        if misfit is None:
            return holder
        misfits[holder.class_name] = misfit
    nearest = max(misfits, key=lambda name: (misfits[name].stage, -len(misfits[name].keys)))
    raise BundleError(
        f"no class of transformers holds this bundle. The nearest is {nearest}: "
        f"{'; '.join(misfits[nearest].keys)}. "
        "Write its language model (--to merged) or its LoRA (--to peft), and send soft tokens that "
        "POST /v1/align makes as prompt embeddings"
    )


def _taken_apart(assembled: Assembled, holder: Holder) -> Whole:
    """The parts of a bundle as a class needs them; its language model is taken over."""
    model, recipe = assembled.model, assembled.model_recipe
    name = holder.modality
    marker = (recipe.llm.markers or {}).get(name)
    tokenizer = copy.deepcopy(model.llm.tokenizer)
    token = marker or holder.token
    if token not in tokenizer.get_vocab():
        tokenizer.add_tokens([token], special_tokens=True)
    tokenizer.chat_template = chat_template(recipe, own_template(tokenizer), tokens={name: token})
    options = all_options(recipe, name, model.llm.hidden_size)
    is_exact = recipe.lora is None and recipe.extra_tokens is None  # which are held in float32
    llm = plain_model(model.llm, dtype=model.llm.dtype if is_exact else torch.float32)
    end_answers(llm, model.stop_ids)
    _make_room(llm, int(tokenizer.convert_tokens_to_ids(token)) + 1)
    whole = Whole(
        llm=llm,
        tokenizer=tokenizer,
        token=token,
        encoder=model.encoders[name],
        aligner=model.aligners[name],
        options=options,
    )
    _check_parts(whole, name)
    return whole


def _make_room(llm: Any, num_words: int) -> None:
    """Give the table and the head rows for so many words; a new one is never the likeliest."""
    rows = len(llm.get_input_embeddings().weight)
    if num_words <= rows:
        return
    llm.resize_token_embeddings(num_words, mean_resizing=False)
    for layer in (llm.get_input_embeddings(), llm.get_output_embeddings()):
        layer.weight.data[rows:] = layer.weight.data[:rows].mean(dim=0)


def _check_parts(whole: Whole, modality: str) -> None:
    """Refuse models that a class cannot build from their configuration alone."""
    parts = {
        f"modalities.{modality}.encoder": whole.encoder.model,
        "the language model": whole.llm.base_model,
    }
    for what, part in parts.items():
        known: Any = MODEL_MAPPING.get(type(part.config), None)
        if known is not type(part):
            raise BundleError(
                f"{what} is a {type(part).__name__}, which no class of transformers takes as a "
                f"part; {NEXT_STEP}"
            )
    inside = f"{whole.llm.base_model_prefix}."
    head = [name for name in whole.llm.state_dict() if not name.startswith(inside)]
    if len(head) != 1:
        raise BundleError(
            f"the head of {type(whole.llm).__name__} has {' and '.join(head)}; classes with media "
            f"have a weight alone; {NEXT_STEP}"
        )


def _exact_dtype(model: Any) -> torch.dtype:
    """The shortest dtype that holds each weight as it is."""
    is_exact = all(torch.equal(p, p.bfloat16().to(p.dtype)) for p in model.parameters())
    return torch.bfloat16 if is_exact else torch.float32


def _compared(bundle: str | Path, draft: Path, num_words: int) -> ParityFacts:
    """How far what was written is from the bundle, in float32."""
    importer = checked_source(draft).importer
    with without_progress():
        published: Published = importer.load(draft)
    reference = _of_words(reference_of(importer, published, check="whole"), num_words)
    del published
    facts = parity(load_bundle(bundle, precision="fp32", merge_lora=True), reference)
    if not is_same(facts):
        raise BundleError(
            f"{facts.class_name} says something else than the bundle: {shown(facts)}; allowed is "
            f"{LIMIT:g}; {NEXT_STEP}"
        )
    return facts


def _of_words(reference: Reference, number: int) -> Reference:
    """What a class computes, of the first words alone: those that the bundle knows."""
    answered = [
        replace(each, logits=None if each.logits is None else each.logits[:, :number])
        for each in reference.answered
    ]
    return replace(reference, answered=answered, words=reference.words[:, :number])
