"""How far a bundle is from the class that it was imported from: soft tokens, then logits.

Reads and writes no files. Both run the same conversation in float32; the prompt, by ids, has to be
the same. Memory holds one of the two models at a time.

Shapes: T positions, Q soft tokens of one medium, D_llm embedding width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import torch
from torch import Tensor

from anymal.assemble import Assembled
from anymal.bundle.manifest import ParityFacts
from anymal.collate import collate
from anymal.errors import BundleError
from anymal.published.base import Importer, Published
from anymal.published.probe import Probe
from anymal.recipe.schema import Precision
from anymal.sample import SLOT_ID

Check = Literal["whole", "soft"]

LIMIT = 1e-3  # difference above which a model is not the same
_WORDS = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answered:
    """What the class makes of one conversation.

    Attributes:
        probe: The conversation.
        ids: `[T]` int64, with `SLOT_ID` where soft tokens go.
        soft_tokens: Of all media, one after the other, `[Q of all, D_llm]` float32.
        logits: `[T, V]` float32; None for `soft`.
    """

    probe: Probe
    ids: Tensor
    soft_tokens: Tensor
    logits: Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """What the class computes, kept so that the model itself can go.

    Attributes:
        class_name: Of transformers.
        check: `whole` compares logits of the conversations; `soft` those of words alone, for which
            the language model is not held in float32.
        precision: That a bundle is held at to be compared.
        answered: One conversation for each modality.
        words: Logits `[T, V]` of some words alone.
    """

    class_name: str
    check: Check
    precision: Precision
    answered: Sequence[Answered]
    words: Tensor


@torch.no_grad()
def reference_of(importer: Importer, published: Published, *, check: Check) -> Reference:
    """Run the class.

    Args:
        importer: Of the class.
        published: The model; what is compared in float32 is turned into it in place.
        check: What is compared.

    Returns:
        What it computes.
    """
    llm = importer.llm(published)
    kept = {id(tensor) for tensor in _tensors(llm)} if check == "soft" else set()
    for tensor in _tensors(published.model):
        if tensor.is_floating_point():
            is_kept = id(tensor) in kept and tensor.dtype != torch.float16
            dtype = torch.bfloat16 if id(tensor) in kept else torch.float32
            tensor.data = tensor.data if is_kept else tensor.data.to(dtype)
    answered = []
    for name, part in importer.parts(published).items():
        probe = importer.probe(name)
        inputs = importer.inputs(published, probe)
        ids = inputs["input_ids"][0]
        is_slot = torch.isin(ids, torch.tensor(part.placeholders, dtype=ids.dtype))
        soft_tokens = torch.cat(list(importer.soft_tokens(published, inputs)))
        logits = importer.logits(published, inputs).float() if check == "whole" else None
        answered.append(
            Answered(
                probe=probe,
                ids=ids.masked_fill(is_slot, SLOT_ID),
                soft_tokens=soft_tokens.float(),
                logits=logits,
            )
        )
    return Reference(
        class_name=type(published.model).__name__,
        check=check,
        precision="fp32" if llm.dtype == torch.float32 else "bf16",
        answered=answered,
        words=llm(input_ids=_words(llm.config.vocab_size)[None]).logits[0].float(),
    )


@torch.no_grad()
def parity(assembled: Assembled, reference: Reference) -> ParityFacts:
    """Compare a built bundle with what the class computed.

    Args:
        assembled: The bundle, on a CPU, as `Reference.check` wants it.
        reference: Of the class.

    Returns:
        The largest differences, whether or not they are small.

    Raises:
        BundleError: The prompts differ; the message shows where.
    """
    model, processor = assembled.model, assembled.processor
    soft, logits, positions = [], [], 0
    for theirs in reference.answered:
        sample = processor(theirs.probe.record(), generate=True)
        _check_prompt(sample.ids, theirs.ids, processor.tokenizer)
        batch = collate([sample], pad_id=processor.pad_id)
        ours = model.align(model.encode(batch.media))
        soft.append(_difference(ours[theirs.probe.modality].flat(), theirs.soft_tokens))
        if theirs.logits is not None:
            side = model.beside(batch, ours)
            hidden = model.decode(model.fuse(batch, ours), batch, side)[0]
            logits.append(_difference(model.llm.head(hidden), theirs.logits))
            positions += len(hidden)
    if reference.check == "soft":
        words = model.llm.embed(_words(model.llm.vocab_size))[None]
        places = torch.arange(words.shape[1])[None]
        hidden = model.llm.decode(words, positions=places)[0]
        logits.append(_difference(model.llm.head(hidden), reference.words))
        positions = len(hidden)
    return ParityFacts.model_validate(
        {
            "class": reference.class_name,
            "transformers": version("transformers"),
            "soft_tokens": max(soft),
            "logits": max(logits),
            "positions": positions,
            "check": reference.check,
        }
    )


def is_same(facts: ParityFacts) -> bool:
    """Whether the differences are those of rounding."""
    return facts.soft_tokens <= LIMIT and facts.logits <= LIMIT


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference as a share of the largest value; infinite where shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    largest = float((ours.float() - theirs).abs().max() / theirs.abs().max())
    return largest if largest == largest else float("inf")  # not a number


def _check_prompt(ours: Tensor, theirs: Tensor, tokenizer: Any) -> None:
    """Refuse another prompt than that of the class."""
    if torch.equal(ours, theirs):
        return
    alike = next(
        (i for i, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other),
        min(len(ours), len(theirs)),
    )
    texts = [_shown(ids[max(0, alike - 4) : alike + 8], tokenizer) for ids in (ours, theirs)]
    raise BundleError(
        f"the prompt of the bundle differs from that of the class at position {alike} "
        f"({len(ours)} and {len(theirs)} positions): {texts[0]!r} here, {texts[1]!r} there"
    )


def _shown(ids: Tensor, tokenizer: Any) -> str:
    """Ids as text, `*` in slots."""
    return "".join("*" if i == SLOT_ID else tokenizer.decode([i]) for i in ids.tolist())


def _words(vocab_size: int) -> Tensor:
    """Some ids of a vocabulary."""
    return torch.arange(_WORDS) * 7 % vocab_size


def _tensors(model: Any) -> list[Tensor]:
    """Parameters and buffers."""
    return [*model.parameters(), *model.buffers()]
