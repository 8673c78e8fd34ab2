"""Whether a language model can be used, found out as it is loaded and before anything trains.

Compares what it computes with what it computes by itself in one go. Does not look at packed rows:
see `packable.py`, and the self-test in `anymal.engine.packed`.

Shapes: T positions, D_llm embedding width, V vocabulary.
"""

import hashlib
import inspect
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anymal.errors import RecipeError
from anymal.llm.causal_lm import LLM
from anymal.llm.merge_lora import has_lora, merged_layer
from anymal.llm.user_cache import user_cache

logger = logging.getLogger(__name__)

_NEXT = "use another model with attention and a decoder alone, such as Llama"
_PIECES = (4, 2, 1, 1)  # a prompt in two parts, then words
_PASSES = 7  # through the model, of all checks together
_SLOW_SECONDS = 1.0


def check_arguments(model: Any, path: str) -> None:
    """Refuse a model that cannot read media, or would forget all but the last word it said.

    Args:
        model: A transformers causal model.
        path: Where it is from.

    Raises:
        RecipeError: It cannot be used; the message names its class.
    """
    name = _name(model, path)
    accepted = inspect.signature(model.base_model.forward).parameters
    if "inputs_embeds" not in accepted:
        raise RecipeError(f"{name} reads no embeddings, only words; {_NEXT}")
    if "past_key_values" not in accepted:
        raise RecipeError(
            f"{name} keeps what it has read in another form than keys and values; {_NEXT}"
        )


def check_decoding(llm: LLM, path: str) -> None:
    """Refuse a model that would be trained or answer wrongly.

    From embeddings, whole and word by word, its scores must be those of its own forward pass, and
    LoRA merged must compute what LoRA beside the weights does. A good result is kept in the user's
    cache folder, so that a model is checked once; the log says so where that takes over a second.

    Args:
        llm: In eval mode, LoRA off; stays as it is.
        path: Where it is from.

    Raises:
        RecipeError: It cannot be used; the message names its class.
    """
    note = _note(llm)
    if note.exists():
        return
    name = _name(llm.model, path)
    started = time.perf_counter()
    words = torch.arange(sum(_PIECES), device=llm.device) * 7 % llm.vocab_size
    with torch.no_grad():
        with _in_one_line(name, "score words"):
            own = llm.model(input_ids=words[None]).logits[0].float()
        _tell_if_slow(time.perf_counter() - started)
        with _in_one_line(name, "read embeddings"):
            whole = _scores(llm, words, pieces=(len(words),))
        _check_same(
            llm, whole, own, f"{name} scores words differently when it reads embeddings: its logits"
        )
        with _in_one_line(name, "decode word by word"):
            pieces = _scores(llm, words, pieces=_PIECES)
        later = slice(_PIECES[0], None)
        _check_same(
            llm,
            pieces[later],
            own[later],
            f"{name} forgets what it has read as it decodes word by word: its logits",
        )
        with _in_one_line(name, "compute with LoRA"):
            _check_merging(llm, words, name)
    _keep(note)


def _name(model: nn.Module, path: str) -> str:
    return f"the language model {path!r} ({type(model).__name__})"


@contextmanager
def _in_one_line(name: str, deed: str) -> Iterator[None]:
    """Turn what a model's own code raises into an error that says what to do."""
    try:
        yield
    except (RecipeError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # other people's code may raise anything
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise RecipeError(f"{name} cannot {deed} ({why}); {_NEXT}") from error


def _scores(llm: LLM, words: Tensor, *, pieces: tuple[int, ...]) -> Tensor:
    """Logits `[T, V]` of words read in pieces, as the engine does that cannot pack them."""
    cache = llm.new_cache() if len(pieces) > 1 else None
    hidden, stop = [], 0
    for length in pieces:
        start, stop = stop, stop + length
        places = torch.arange(start, stop, device=llm.device)[None]
        rows = llm.embed(words[start:stop])[None]
        hidden.append(llm.decode(rows, positions=places, cache=cache)[0])
    return llm.head(torch.cat(hidden))


def _check_same(llm: LLM, found: Tensor, expected: Tensor, what: str) -> None:
    error = float((found - expected).norm() / expected.norm())
    # Rounded, a router may choose another expert; what forgets is further off.
    is_exact = llm.dtype == torch.float32 and llm.precision != "int8"
    if not error <= (1e-3 if is_exact else 0.1):
        raise RecipeError(f"{what} differ by {error:.1g} of their size; {_NEXT}")


def _check_merging(llm: LLM, words: Tensor, name: str) -> None:
    """Compare the first layer of each kind that has LoRA with itself merged, as the model runs."""
    seen = set()

    def compare(layer: Any, args: Any, kwargs: Any, out: Tensor) -> None:
        kind = (type(layer), type(layer.base_layer))
        if kind in seen:
            return
        seen.add(kind)
        merged = merged_layer(layer).to(out.dtype)(*args, **kwargs)
        what = f"{name} computes otherwise once LoRA is merged into {kind[1].__name__}: its outputs"
        _check_same(llm, merged.float(), out.float(), what)

    hooks = [
        module.register_forward_hook(compare, with_kwargs=True)
        for module in llm.model.modules()
        if has_lora(module)
    ]
    if not hooks:
        return
    llm.use_lora(True)
    fresh = [each for each in llm.lora_parameters().values() if not each.any()]
    try:
        for each in fresh:  # zero, they would hide what is wrong; no random numbers are drawn
            each.copy_(torch.arange(each.numel(), device=each.device).view_as(each).sin() / 10)
        _scores(llm, words, pieces=(len(words),))
    finally:
        for hook in hooks:
            hook.remove()
        for each in fresh:
            each.zero_()
        llm.use_lora(False)


def _tell_if_slow(seconds: float) -> None:
    if _PASSES * seconds > _SLOW_SECONDS:
        logger.warning(
            "checking, once for this language model, that it decodes word by word as it reads: "
            "about %.0f s",
            _PASSES * seconds,
        )


def _note(llm: LLM) -> Path:
    """The file whose being there says that a model was checked."""
    facts = [
        llm.model.config.to_json_string(use_diff=False),
        llm.weights_digest(),
        str(llm.device.type),
        *(f"{name} {version(name)}" for name in ("anymal", "peft", "torch", "transformers")),
        *llm.lora_parameters(),
    ]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    return user_cache() / "checked-language-models" / digest


def _keep(note: Path) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
    except OSError as error:
        logger.warning("the language model will be checked at each load: %s", error)
