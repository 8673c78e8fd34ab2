"""Any Hugging Face causal language model, frozen, at four precisions, with LoRA on top.

Does not know media, chat or training; it is the one importer of bitsandbytes and peft.

Precision policy. Frozen weights are held as `nf4` (bitsandbytes NF4, blocks of 64, double
quantisation), `int8` (bitsandbytes LLM.int8), `bf16` or `fp32`; the embedding table and the output
head are never quantised. Everything not quantised, and all computing, is float32 on a CPU and
bfloat16 on CUDA, except that `fp32` is float32 and `bf16` is bfloat16 everywhere. Aligners and LoRA
are float32. Soft tokens become the embeddings' dtype in `anymal.fusion` and nowhere else; the loss
is float32.

NOTE: on a CPU with AVX512-BF16, bitsandbytes 0.49 and later (a) looks for a kernel from the Hub
when it is imported, and logs a warning where there is none, and (b) repacks 4-bit weights in place
at the first call in eval mode, rounds to bfloat16 from then on, and lets no gradient through. Here
(a) is kept from happening and (b) is switched off layer by layer, so that training and answering
compute the same function and frozen weights stay bit for bit what they were. LLM.int8 works on a
CPU too, forward and backward; its activations pass through float16, which it logs at every call and
which is silenced here.

Shapes: B samples, S positions, T text tokens, N chosen positions, D_llm embedding width,
V vocabulary.
"""

import hashlib
import inspect
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, DynamicCache
from transformers.utils import logging as transformers_logging

from anymal.errors import RecipeError

Precision = Literal["nf4", "int8", "bf16", "fp32"]
ADAPTER = "default"
_DIGEST_ROWS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOptions:
    """Low-rank adapters.

    Attributes:
        r: Rank.
        alpha: Their scale is alpha / r.
        dropout: Probability on their input.
        targets: Module names, or `all-linear` for all but the output head.
    """

    r: int = 64
    alpha: int = 16
    dropout: float = 0.0
    targets: str | Sequence[str] = "all-linear"


class LLM(nn.Module):
    """A causal language model that reads embeddings, its head kept apart from its layers.

    Args:
        model: A transformers causal model.
        tokenizer: Its tokeniser.
        precision: How its weights are held.
        lora: Adapters to attach, or None.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, precision: Precision, lora: LoraOptions | None
    ) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.tokenizer = tokenizer
        self.precision = precision
        self.lora = lora
        # In a tuple, so that peft's view of the same modules is not registered a second time.
        self._tuner: tuple[Any, ...] = () if lora is None else (_attach(model, lora),)
        self._accepted = set(inspect.signature(model.base_model.forward).parameters)
        self.use_lora(False)
        self.eval()

    @property
    def hidden_size(self) -> int:
        """D_llm: the width of the embedding table, which need not be that of the layers."""
        return int(self._table.weight.shape[1])

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the embeddings."""
        return self._table.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._table.weight.device

    @property
    def embedding_rms(self) -> float:
        """Root mean square of the embedding table."""
        return float(self._table.weight.detach().float().square().mean().sqrt())

    @property
    def embeddings_digest(self) -> str:
        """SHA-256 of the first rows of the embedding table, in bfloat16 at every precision."""
        rows = self._table.weight.detach()[:_DIGEST_ROWS].to("cpu", torch.bfloat16)
        return hashlib.sha256(rows.contiguous().view(torch.int16).numpy().tobytes()).hexdigest()

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Ids that the model's own configuration ends a text with."""
        configured = self.model.generation_config.eos_token_id
        ids = configured if isinstance(configured, list) else [configured]
        return tuple(sorted({i for i in [*ids, self.tokenizer.eos_token_id] if i is not None}))

    @property
    def _table(self) -> nn.Embedding:
        """The embedding table."""
        table: nn.Embedding = self.model.get_input_embeddings()
        return table

    # --- forward --------------------------------------------------------------------------------

    def embed(self, ids: Tensor) -> Tensor:
        """Look words up.

        Args:
            ids: `[T]` int64.

        Returns:
            `[T, D_llm]` in `dtype`.
        """
        return self._table(ids)  # type: ignore[no-any-return]

    def decode(
        self,
        embeddings: Tensor,
        *,
        mask: Tensor | None,
        positions: Tensor,
        cache: Any | None = None,
    ) -> Tensor:
        """Run the layers, without the output head.

        Args:
            embeddings: `[B, S, D_llm]`.
            mask: `[B, cached + S]` bool, True at real positions; None if all are.
            positions: `[B, S]` int64.
            cache: From `new_cache`, extended in place; None keeps none.

        Returns:
            Hidden states `[B, S, D]`.
        """
        arguments = {
            "inputs_embeds": embeddings,
            "attention_mask": None if mask is None else mask.long(),
            "position_ids": positions,
            "past_key_values": cache,
            "use_cache": cache is not None,
        }
        # Models with ALiBi, for one, take no positions.
        known = {name: value for name, value in arguments.items() if name in self._accepted}
        return self.model.base_model(**known).last_hidden_state  # type: ignore[no-any-return]

    def head(self, hidden: Tensor) -> Tensor:
        """Score the next token.

        Args:
            hidden: `[N, D]`, chosen hidden states.

        Returns:
            Logits `[N, V]` float32.
        """
        logits = self.model.get_output_embeddings()(hidden).float()
        config = self.model.config
        if (scale := getattr(config, "logit_scale", None)) is not None:  # Cohere
            logits = logits * scale
        if (scaling := getattr(config, "logits_scaling", None)) is not None:  # Granite
            logits = logits / scaling
        if (cap := getattr(config, "final_logit_softcapping", None)) is not None:  # Gemma 2
            logits = torch.tanh(logits / cap) * cap
        return logits  # type: ignore[no-any-return]

    def new_cache(self) -> Any:
        """An empty key-value cache for `decode`."""
        return DynamicCache(config=self.model.config)

    # --- state ----------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: the frozen model has no dropout of its own.

        Only what training needs takes part: LoRA's dropout, and the flag by which layers know that
        they may drop their activations.
        """
        super().train(False)
        self._trains = mode
        for name, module in self.named_modules():
            if getattr(module, "gradient_checkpointing", False) or ".lora_dropout." in name:
                module.training = mode
        return self

    def use_checkpointing(self, on: bool) -> None:
        """Recompute activations in the backward pass instead of keeping them, or keep them."""
        if on:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            self.model.gradient_checkpointing_disable()
        self.train(self._trains)

    def use_lora(self, on: bool) -> None:
        """Let the adapters take part, or leave them out of the computation."""
        for tuner in self._tuner:
            if on:
                tuner.enable_adapter_layers()
            else:
                tuner.disable_adapter_layers()

    def lora_parameters(self) -> dict[str, nn.Parameter]:
        """The adapters' parameters by name; empty without LoRA."""
        return {name: p for name, p in self.named_parameters() if ".lora_" in name}

    def lora_names(self) -> dict[str, str]:
        """From the names of PEFT's file format to those of `lora_parameters`."""
        return {
            _peft_name(name): f"model.{name}"
            for name, _ in self.model.named_parameters()
            if ".lora_" in name
        }

    def save_lora(self, folder: Path) -> None:
        """Write the adapters in PEFT's format.

        Args:
            folder: Made if it is not there.
        """
        (tuner,) = self._tuner
        folder.mkdir(parents=True, exist_ok=True)
        own = self.lora_parameters()
        tensors = {
            name: own[own_name].detach().cpu().contiguous()
            for name, own_name in self.lora_names().items()
        }
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        tuner.peft_config[ADAPTER].save_pretrained(str(folder))


def load_llm(
    path: str,
    *,
    precision: Precision,
    device: torch.device | str = "cpu",
    lora: LoraOptions | None = None,
    revision: str | None = None,
) -> LLM:
    """Load a language model and its tokeniser.

    Args:
        path: Hub id or folder in Hugging Face's format.
        precision: How its weights are held.
        device: Where it goes.
        lora: Adapters to attach; they start switched off.
        revision: Hub revision.

    Returns:
        The frozen model, in eval mode.

    Raises:
        RecipeError: There is no such model, or it cannot be held at that precision.
    """
    device = torch.device(device)
    dtype = _compute_dtype(precision, device)
    arguments: dict[str, Any] = {"revision": revision, "dtype": dtype}
    if precision in ("nf4", "int8"):
        _import_bitsandbytes()
        arguments["quantization_config"] = _quantisation(precision, dtype)
    try:
        with without_progress():
            tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
            model: Any = AutoModelForCausalLM.from_pretrained(
                path, device_map={"": device}, **arguments
            )
    except (OSError, ValueError, KeyError) as error:
        raise RecipeError(
            f"cannot load the language model {path!r} as {precision}: {error}; "
            "give the Hub id or folder of a causal language model in Hugging Face's format"
        ) from error
    _keep_packing(model)
    assert type(model.get_output_embeddings()) is nn.Linear, "the output head must stay as it is"
    return LLM(model, tokenizer, precision=precision, lora=lora)


def paged_adamw_8bit(
    groups: Sequence[dict[str, Any]], *, betas: tuple[float, float]
) -> torch.optim.Optimizer:
    """AdamW whose state is 8-bit and may be paged out of GPU memory.

    Args:
        groups: Parameter groups.
        betas: Decay of the two moments.

    Returns:
        The optimiser.
    """
    optimiser: torch.optim.Optimizer = _import_bitsandbytes().optim.PagedAdamW8bit(
        groups, betas=betas
    )
    return optimiser


def _keep_packing(model: nn.Module) -> None:
    """Switch off what NOTE (b) above describes, in every 4-bit layer."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]  # a plain bool


def _compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of everything that is not quantised, by the policy above."""
    if precision in ("fp32", "bf16"):
        return torch.float32 if precision == "fp32" else torch.bfloat16
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _quantisation(precision: Precision, dtype: torch.dtype) -> BitsAndBytesConfig:
    """What transformers is told about quantisation; it leaves the output head alone by default."""
    if precision == "int8":
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]  # transformers ships it untyped
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _import_bitsandbytes() -> Any:
    """Import bitsandbytes without letting it look for kernels on the Hub; see NOTE (a) above."""
    with _without_kernels():
        import bitsandbytes

    return bitsandbytes


def _attach(model: Any, lora: LoraOptions) -> Any:
    """Put adapters beside the model's linear layers, in place; returns peft's view of them."""
    _import_bitsandbytes()  # peft imports it, and would do so without care
    import peft

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
    )
    try:
        tuner = peft.LoraModel(model, config, ADAPTER)
    except ValueError as error:
        raise RecipeError(f"cannot attach LoRA to {targets!r}: {error}") from error
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()
    return tuner


def _peft_name(name: str) -> str:
    """The name of an adapter's weight in PEFT's files."""
    return f"base_model.model.{name.replace(f'.{ADAPTER}.', '.')}"


@contextmanager
def _without_kernels() -> Iterator[None]:
    """Make `import kernels` fail, and keep the import that tries it from complaining."""
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level, kernels = logger.level, sys.modules.get("kernels")
    logger.setLevel(logging.ERROR)
    sys.modules["kernels"] = None  # type: ignore[assignment]  # the documented way to block one
    try:
        yield
    finally:
        logger.setLevel(level)
        del sys.modules["kernels"]
        if kernels is not None:
            sys.modules["kernels"] = kernels


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
