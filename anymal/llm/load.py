"""Any Hugging Face causal language model, frozen, at four precisions, with LoRA on top.

Does not know media, chat or training. `precision.py` states the precision policy, `lora.py`
attaches LoRA, and `decode_check.py` refuses a model that would be trained or answer wrongly.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoTokenizer, GenerationConfig
from transformers.utils import GENERATION_CONFIG_NAME
from transformers.utils import logging as transformers_logging

from anymal.errors import RecipeError
from anymal.llm.auto_class import auto_causal_lm
from anymal.llm.biases import add_biases
from anymal.llm.causal_lm import LLM
from anymal.llm.decode_check import check_arguments, check_decoding
from anymal.llm.lora import LoraOptions, attach_lora
from anymal.llm.precision import Precision, compute_dtype, keep_packing, quantisation
from anymal.llm.sizes import check_sizes


def load_llm(
    path: str,
    *,
    precision: Precision,
    device: torch.device | str = "cpu",
    lora: LoraOptions | None = None,
    biases: str | Sequence[str] | None = None,
    revision: str | None = None,
) -> LLM:
    """Load a language model and its tokeniser.

    Args:
        path: Hub id or folder in Hugging Face's format.
        precision: How its weights are held.
        device: Where it goes.
        lora: Adapters to attach; they start switched off.
        biases: Linear layers that get a bias; see `anymal.llm.biases`.
        revision: Hub revision.

    Returns:
        The frozen model, in eval mode.

    Raises:
        RecipeError: There is no such model, it cannot be held at that precision, or `LLM` would
            not compute what it does by itself; the message names its class.
    """
    if lora is not None and lora.use_dora and precision == "int8":
        raise RecipeError(
            "use_dora reads the weights at every step, and those in int8 can be read only once on "
            "a CPU; take nf4, bf16 or fp32, or use_dora: false"
        )
    device = torch.device(device)
    dtype = compute_dtype(precision, device)
    # Otherwise transformers asks on the terminal whether a model's own code may run.
    source: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        with without_progress():
            config = AutoConfig.from_pretrained(path, **source)
            check_sizes(path, config)
            tokenizer = AutoTokenizer.from_pretrained(path, **source)
            model: Any = auto_causal_lm().from_pretrained(
                path,
                **source,
                dtype=dtype,
                device_map={"": device},
                quantization_config=quantisation(precision, dtype),
            )
    except RecipeError:
        raise
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        why = str(error).strip().partition("\n")[0]  # below it may stand every class there is
        raise RecipeError(
            f"cannot load the language model {path!r} as {precision}: {why}; "
            "give the Hub id or folder of a causal language model in Hugging Face's format"
        ) from error
    keep_packing(model)
    check_arguments(model, path)
    assert type(model.get_output_embeddings()) is nn.Linear, "the output head must stay as it is"
    if biases is not None:
        add_biases(model, biases, dtype=dtype)
    tuner = None if lora is None else attach_lora(model, lora)
    llm = LLM(model, tokenizer, precision=precision, tuner=tuner)
    check_decoding(llm, path)
    return llm


def empty_llm(path: str, *, dtype: torch.dtype, revision: str | None = None) -> LLM:
    """Build a language model without weights, from a configuration and a vocabulary alone.

    Args:
        path: Hub id or folder in Hugging Face's format.
        dtype: Of what would not be quantised.
        revision: Hub revision.

    Returns:
        The model of the checkpoint's class, not quantised, on the meta device.

    Raises:
        OSError: A file is missing.
        ValueError: A file cannot be read.
    """
    source: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    with without_progress():
        config = AutoConfig.from_pretrained(path, **source)
        tokenizer: Any = AutoTokenizer.from_pretrained(path, **source)
        with torch.device("meta"):
            model: Any = auto_causal_lm().from_config(config, dtype=dtype, trust_remote_code=False)
        if (Path(path) / GENERATION_CONFIG_NAME).is_file():  # else it follows from the other
            model.generation_config = GenerationConfig.from_pretrained(path)
    return LLM(model, tokenizer, precision=str(dtype).removeprefix("torch."), tuner=None)


@contextmanager
def without_progress() -> Iterator[None]:
    """Keep transformers from drawing its own progress bars."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
