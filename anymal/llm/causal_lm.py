"""A causal language model that reads embeddings instead of ids, its output head kept apart.

Does not load, quantise or adapt a model (see `load.py`, which also states the precision policy).

Shapes: B samples, S positions, T text tokens, N chosen positions, D_llm embedding width, D layer
width, V vocabulary.
"""

import inspect
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import save
from torch import Tensor, nn
from transformers import DynamicCache

from anymal.llm.attention import NAME, same_attention_again
from anymal.llm.digests import digest_of_table, digest_of_weights, rms_of_words
from anymal.llm.extra_tokens import ExtraTokens
from anymal.llm.weight_only_words import WeightOnlyEmbedding

ADAPTER = "default"
MAGNITUDE = "lora_magnitude_vector"  # of DoRA, by adapter
_MULTIPLIES = ("hyperclovax",)  # by what others divide by


class LLM(nn.Module):
    """A causal language model that reads embeddings, its head kept apart from its layers.

    Args:
        model: A transformers causal model.
        tokenizer: Its tokeniser.
        precision: How its weights are held.
        tuner: peft's view of the adapters inside the model, or None.
    """

    def __init__(self, model: Any, tokenizer: Any, *, precision: str, tuner: Any | None) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.own_tokenizer = tokenizer
        self.precision = precision
        # In a tuple, so that peft's view of the same modules is not registered a second time.
        self._tuner: tuple[Any, ...] = () if tuner is None else (tuner,)
        self.use_extra_tokens(None, tokenizer)
        self._accepted = set(inspect.signature(model.base_model.forward).parameters)
        self.use_lora(False)
        self.eval()

    @property
    def hidden_size(self) -> int:
        """D_llm: the width of the embedding table, which need not be that of the layers."""
        return self._table_shape[1]

    @property
    def vocab_size(self) -> int:
        """V: how many words the embedding table holds, and those beside it."""
        return self._table_shape[0] if self.extra is None else self.extra.vocab_size

    @property
    def extra(self) -> ExtraTokens | None:
        """The words beside the embedding table."""
        return self._extra[0]

    def use_extra_tokens(self, extra: ExtraTokens | None, tokenizer: Any) -> None:
        """Read and score words beside the embedding table, which a tokeniser knows."""
        # In a tuple, because they are a part of the whole model and no weights of this one.
        self._extra, self.tokenizer = (extra,), tokenizer

    @property
    def context(self) -> int | None:
        """Most positions that the model was made for; None where it states no end."""
        length = getattr(self.model.config, "max_position_embeddings", None)
        return int(length) if length else None

    @property
    def takes_positions(self) -> bool:
        """Whether each position can be told where it stands."""
        return "position_ids" in self._accepted

    @property
    def attends_our_way(self) -> bool:
        """Whether its layers ask `anymal.llm.attention`."""
        return bool(self.model.base_model.config._attn_implementation == NAME)

    @property
    def trains(self) -> bool:
        """Whether any of its weights, adapters included, train."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the embeddings."""
        table = self._table
        return table.dtype if isinstance(table, WeightOnlyEmbedding) else table.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        table = self._table
        return (table.codes if isinstance(table, WeightOnlyEmbedding) else table.weight).device

    @cached_property
    def embedding_rms(self) -> float:
        """Root mean square of all words as `embed` first gave them, without extra ones."""
        return rms_of_words(self._table, self._table_shape[0], self.device)

    @property
    def embeddings_digest(self) -> str:
        """SHA-256 of the first rows of the embedding table, in bfloat16 at every precision."""
        return digest_of_table(self._table, self._table_shape[0])

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Ids that the model's own configuration ends a text with."""
        configured = self.model.generation_config.eos_token_id
        ids = configured if isinstance(configured, list) else [configured]
        return tuple(sorted({i for i in [*ids, self.tokenizer.eos_token_id] if i is not None}))

    @property
    def _table(self) -> nn.Embedding | WeightOnlyEmbedding:
        """The embedding table."""
        table: nn.Embedding | WeightOnlyEmbedding = self.model.get_input_embeddings()
        return table

    @property
    def _table_shape(self) -> tuple[int, int]:
        """V and D_llm."""
        table = self._table
        if isinstance(table, WeightOnlyEmbedding):
            return table.num_embeddings, table.embedding_dim
        return table.weight.shape[0], table.weight.shape[1]

    # --- forward --------------------------------------------------------------------------------

    def embed(self, ids: Tensor) -> Tensor:
        """Look words up.

        Args:
            ids: `[T]` int64.

        Returns:
            `[T, D_llm]` in `dtype`.
        """
        return self._table(ids) if self.extra is None else self.extra.embed(ids, self._table)

    def decode(
        self,
        embeddings: Tensor,
        *,
        positions: Tensor,
        cache: Any | None = None,
    ) -> Tensor:
        """Run the layers, without the output head.

        Args:
            embeddings: `[B, S, D_llm]`.
            positions: `[B, S]` int64.
            cache: From `new_cache`, extended in place; None keeps none.

        Returns:
            Hidden states `[B, S, D]`.
        """
        arguments = {
            "inputs_embeds": embeddings,
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
        logits: Tensor = self.model.get_output_embeddings()(hidden).float()
        if self.extra is not None:
            logits = self.extra.score(hidden, logits)
        config = self.model.config
        for name in ("logit_scale", "lm_head_multiplier"):  # Cohere, Falcon H1
            if (scale := getattr(config, name, None)) is not None:
                logits = logits * scale
        if (scaling := getattr(config, "logits_scaling", None)) is not None:  # Granite
            is_factor = config.model_type in _MULTIPLIES
            logits = logits * scaling if is_factor else logits / scaling
        if (cap := getattr(config, "final_logit_softcapping", None)) is not None:  # Gemma 2
            logits = torch.tanh(logits / cap) * cap
        return logits

    def new_cache(self) -> Any:
        """An empty key-value cache for `decode`."""
        return DynamicCache(config=self.model.config)

    # --- state ----------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: the frozen model has no dropout of its own.

        Only what training needs takes part: LoRA's dropout where LoRA trains (with DoRA, the layer
        around it decides whether it applies), and the flag by which layers know that they may drop
        their activations.
        """
        super().train(False)
        self._is_training = mode
        trains = any(p.requires_grad for p in self.lora_parameters().values())
        for name, module in self.named_modules():
            if getattr(module, "gradient_checkpointing", False) or (
                trains and (".lora_dropout." in name or hasattr(module, "lora_dropout"))
            ):
                module.training = mode
        return self

    def use_checkpointing(self, on: bool) -> None:
        """Recompute activations in the backward pass instead of keeping them, or keep them."""
        # transformers renamed it; the old name warns where the new one is known.
        is_renamed = hasattr(self.model, "activation_checkpointing_enable")
        name = "activation_checkpointing" if is_renamed else "gradient_checkpointing"
        if on:
            arguments = {"use_reentrant": False, "context_fn": same_attention_again}
            getattr(self.model, f"{name}_enable")(arguments)
        else:
            getattr(self.model, f"{name}_disable")()
        self.train(self._is_training)

    def use_lora(self, on: bool) -> None:
        """Let the adapters take part, or leave them out of the computation and on the CPU.

        Whether they train stays as it is.
        """
        self._uses_lora = on
        own = {p: p.requires_grad for p in self.lora_parameters().values()}
        for tuner in self._tuner:
            if on:
                tuner.enable_adapter_layers()
            else:
                tuner.disable_adapter_layers()
        for parameter, trains in own.items():
            parameter.requires_grad_(trains)  # peft lets them train as it enables them
            parameter.data = parameter.data.to(self.device if on else "cpu")

    def weights_digest(self) -> str:
        """SHA-256 of what keys and values depend on: words, precision, and what may be trained."""
        extra = "" if self.extra is None else f" {self.extra.digest}"
        return digest_of_weights(
            self.model,
            facts=f"{self.embeddings_digest} {self.precision}{extra}",
            adapters=self.lora_parameters().items() if self._uses_lora else (),
        )

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
        # Not save_file, whose files only their owner may read: bundles are shared.
        data = save(tensors, metadata={"format": "pt"})
        (folder / "adapter_model.safetensors").write_bytes(data)
        tuner.peft_config[ADAPTER].save_pretrained(str(folder))


def _peft_name(name: str) -> str:
    """The name of an adapter's weight in PEFT's files, which write DoRA's without `.weight`."""
    plain = name.replace(f".{ADAPTER}.", ".").replace(f"{MAGNITUDE}.weight", MAGNITUDE)
    return f"base_model.model.{plain}"
