"""One stage of training, added up: what it holds throughout, and what a pass over samples adds.

Does not read recipes' files and does not show anything.

A pass is planned at its possible peaks: while media are encoded, where the loss is taken, while
the last decoder layer runs backward, with the activations of all others still kept, and at its end,
where its gradients are added to those of the passes before. No decoder layer runs for the
objective `words`, whose loss is taken of soft tokens.
Samples are planned with one media item each, of the modality that takes most, and a given length
of text, all of it labelled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from anymal.plan.activations import (
    RANDOM_STATE,
    layer_bytes,
    logits_bytes,
    rotary_bytes,
)
from anymal.plan.aligner import Aligner, facts_tokens
from anymal.plan.device import Device
from anymal.plan.encoder import Encoder, kept_bytes
from anymal.plan.language_model import LanguageModel, input_width
from anymal.plan.side import SideSize
from anymal.plan.trainable import Lora, adapted_linears
from anymal.plan.trained import weights_in, what_trains
from anymal.plan.weights import compute_bytes, llm_bytes, scratch_bytes
from anymal.recipe.schema import Precision, Recipe, StageRecipe

_FLOAT, _HALF = 4, 2
_MOST_SAMPLES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a model, at any precision.

    Attributes:
        llm: The language model.
        encoders: By modality.
        aligners: By modality.
        side: Layers that read media beside the row, where media do not stand in it.
    """

    llm: LanguageModel
    encoders: Mapping[str, Encoder]
    aligners: Mapping[str, Aligner]
    side: SideSize | None = None

    @property
    def num_aligned(self) -> int:
        """Parameters of aligners and side."""
        aligners = sum(aligner.num_parameters for aligner in self.aligners.values())
        return aligners + self.num_beside

    @property
    def num_beside(self) -> int:
        """Parameters of the side."""
        return 0 if self.side is None else self.side.num_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPass:
    """The samples of one forward and backward pass.

    Attributes:
        num_samples: Each with one media item.
        text_tokens: Of each sample.
        max_tokens: Most positions of a sample.
    """

    num_samples: int
    text_tokens: int
    max_tokens: int


class StageMemory:
    """The memory of one stage.

    Args:
        stage: Its recipe.
        recipe: That of the run.
        parts: Of the model.
        device: Where it runs.
    """

    def __init__(self, stage: StageRecipe, recipe: Recipe, parts: Parts, device: Device) -> None:
        self._stage, self._parts, self._device = stage, parts, device
        self._precision: Precision = recipe.model.llm.precision
        self._is_cached = recipe.features is not None
        self._names = stage.modalities or list(parts.aligners)  # of [], none trains; all may come
        self.facts_tokens = facts_tokens(recipe.model, self._names)
        self._number = compute_bytes(self._precision, device.type)
        self._encoder_number = self._number if device.type == "cuda" else _FLOAT
        self._runs_layers = stage.objective != "words"
        self._has_words = recipe.model.extra_tokens is not None
        self._trained = what_trains(stage, recipe.model, parts)
        # Adapters are on the device once they train or were loaded from a bundle.
        so_far = recipe.stages[: recipe.stages.index(stage) + 1]
        is_loaded = recipe.model.start_from is not None
        trained = (what_trains(one, recipe.model, parts) for one in so_far)
        self._uses_lora = is_loaded or any(each.lora for each in trained)
        self._lora = Lora.of(recipe.model.lora, parts.llm)
        self._trained_lora = self._lora if self._trained.lora else Lora.of(None, parts.llm)
        self._kept_encoder = {
            name: kept_bytes(parts.encoders[name], trained)
            for name, trained in self._trained.encoders.items()
        }
        words = weights_in(recipe.model, parts)
        self._own_bytes = self._number * sum(
            weight.size
            for name, weight in words.items()
            if name.startswith("llm.") and weight.kind == "bias" and name not in parts.llm.weights
        )
        extra = sum(w.size for name, w in words.items() if name.startswith("extra_tokens."))
        beside = {"side": parts.num_beside, "extra tokens": extra}
        self._held_beside = {name: _FLOAT * size for name, size in beside.items() if size}
        self._layer = layer_bytes(
            parts.llm,
            self._with_inputs(recipe),
            precision=self._precision,
            device=device.type,
            is_checkpointed=stage.checkpointing,
            num_norms=self._trained.num_norms,
        )

    def _with_inputs(self, recipe: Recipe) -> Lora:
        """LoRA that trains, with the inputs of linear layers that train themselves."""
        own, trained = self._trained.linears, self._trained_lora
        if not own:
            return trained
        adapted = adapted_linears(recipe.model.lora, self._parts.llm) if recipe.model.lora else []
        inputs = input_width({*own, *(adapted if self._trained.lora else [])})
        number = trained.num_parameters + self._trained.own
        return replace(trained, num_parameters=number, inputs=inputs)

    @property
    def soft_tokens(self) -> int:
        """Soft tokens in the row of a sample, of the longest medium."""
        if self._parts.side is not None:
            return 0
        return max(self._parts.aligners[name].num_tokens for name in self._names)

    @property
    def varies(self) -> bool:
        """Whether other media take fewer."""
        return self._parts.side is None and any(
            self._parts.aligners[name].varies for name in self._names
        )

    def tokens(self, samples: MemoryPass) -> int:
        """Positions of one sample."""
        return min(self.soft_tokens + self.facts_tokens + samples.text_tokens, samples.max_tokens)

    def held(self) -> dict[str, int]:
        """Bytes that are held throughout, by name."""
        parts, there = self._parts, self._device
        table = {} if self._runs_layers else {"word table": self._table_bytes()}
        return table | {
            "llm": llm_bytes(parts.llm, self._precision, there) + self._own_bytes,
            "lora": self._lora_bytes(),
            **self._held_beside,
            "aligners": _FLOAT * (parts.num_aligned - parts.num_beside),
            "encoders": self._encoder_bytes(),
            "gradients": self._trained.gradient_bytes(self._number),
            "optimiser": self._trained.optimiser_bytes(self._stage, self._number),
            "overhead": there.overhead,
        }

    def passing(self, samples: MemoryPass) -> dict[str, int]:
        """Bytes that a pass adds at its peak, by name."""
        kept = {"activations": self._kept(samples)}
        moments = [
            {"encoding": self._encoding(samples)},
            kept | {"logits": self._loss(samples)},
            {"gradients again": self._gradients_again()},
        ]
        if self._runs_layers:
            moments.append(kept | {"layer": self._running(samples)})
        return max(moments, key=lambda moment: sum(moment.values()))

    def total(self, samples: MemoryPass) -> int:
        """Bytes of the whole stage."""
        return sum(self.held().values()) + sum(self.passing(samples).values())

    def most_samples(self, *, text_tokens: int, max_tokens: int) -> int:
        """The largest pass that fits; 0 where not one sample does."""

        def fits(num_samples: int) -> bool:
            samples = MemoryPass(
                num_samples=num_samples, text_tokens=text_tokens, max_tokens=max_tokens
            )
            return self.total(samples) <= self._device.memory

        low, high = 0, 1
        while high <= _MOST_SAMPLES and fits(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low

    # --- peaks of a pass ------------------------------------------------------------------------

    def _encoding(self, samples: MemoryPass) -> int:
        """While media are encoded, before the rest of the pass."""
        if self._is_cached:
            return 0
        most = max(self._parts.encoders[name].encoding(samples.num_samples) for name in self._names)
        return self._encoder_number * most

    def _gradients_again(self) -> int:
        """At the end: the gradients of a pass beside those before it, or those of all ranks."""
        stage, gradients = self._stage, self._trained.gradient_bytes(self._number)
        is_one = stage.accumulate == self._device.ranks == 1 and stage.micro_batch is None
        return 0 if is_one else gradients

    def _kept(self, samples: MemoryPass) -> int:
        """What is kept from the forward to the backward pass."""
        aligners = samples.num_samples * max(
            self._parts.aligners[name].kept + self._kept_encoder.get(name, 0)
            for name in self._names
        )
        if not self._runs_layers:
            return aligners
        llm, tokens = self._parts.llm, samples.num_samples * self.tokens(samples)
        layers = self._num_kept * tokens * self._layer.kept
        states = self._num_kept * RANDOM_STATE if self._stage.checkpointing else 0
        rotary = tokens * rotary_bytes(llm, number=self._number)
        return layers + states + aligners + rotary + self._beside(samples)

    @property
    def _num_kept(self) -> int:
        """Decoder layers that a gradient passes: with a side, those it stands at and all after."""
        side = self._parts.side
        if side is None or self._trained.lora or self._trained.own or self._has_words:
            return self._parts.llm.num_layers
        return self._parts.llm.num_layers - side.first_layer

    def _beside(self, samples: MemoryPass) -> int:
        """What the side keeps, from the forward to the backward pass."""
        if (side := self._parts.side) is None:
            return 0
        position = side.stays if self._stage.checkpointing else side.position
        kept = samples.num_samples * (side.sample + self.tokens(samples) * position)
        return side.bytes_of(kept, number=self._number)

    def _loss(self, samples: MemoryPass) -> int:
        """At the loss: logits, and the last hidden states with their gradient."""
        llm = self._parts.llm
        if not self._runs_layers:
            rows = samples.num_samples * self.soft_tokens
            logits = logits_bytes(rows, vocab_size=llm.vocab_size, number=_FLOAT)
            return logits + 2 * rows * _FLOAT * llm.embedding_dim
        tokens = samples.num_samples * self.tokens(samples)
        logits = logits_bytes(
            samples.num_samples * min(samples.text_tokens, self.tokens(samples)),
            vocab_size=llm.vocab_size,
            number=self._number,
        )
        return logits + 2 * tokens * self._number * llm.hidden_dim

    def _running(self, samples: MemoryPass) -> int:
        """While one layer runs backward."""
        parts, tokens = self._parts, samples.num_samples * self.tokens(samples)
        scratch = scratch_bytes(parts.llm, self._precision, self._device.type)
        busy = tokens * self._layer.running
        if scratch:
            busy = max(busy, scratch + tokens * self._layer.unpacking)
        if (side := parts.side) is None or not self._stage.checkpointing:
            return busy
        again = side.bytes_of(tokens * side.running, number=self._number)
        # A block is computed again by itself; prompts are, within their decoder layer.
        return max(busy, again) if side.is_float32 else busy + again

    # --- what is held ---------------------------------------------------------------------------

    def _encoder_bytes(self) -> int:
        """Of the encoders; with cached features they stay in main memory."""
        if self._is_cached and self._device.type == "cuda":
            return 0
        return sum(
            (_FLOAT if name in self._trained.encoders else self._encoder_number)
            * encoder.num_parameters
            for name, encoder in self._parts.encoders.items()
        )

    def _table_bytes(self) -> int:
        """Of the copied embedding table, and the squared length of each row."""
        return _FLOAT * self._parts.llm.vocab_size * (self._parts.llm.embedding_dim + 1)

    def _lora_bytes(self) -> int:
        """Of LoRA, and of its bfloat16 copies, which autocast keeps unless all is float32."""
        if self._device.type == "cpu":
            return _FLOAT * self._lora.num_parameters
        copies = 0 if self._precision == "fp32" else _HALF * self._trained_lora.num_parameters
        return _FLOAT * self._lora.num_parameters + copies if self._uses_lora else 0
