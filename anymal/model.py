"""The one GPU path in four verbs: encode, align, fuse (or set beside), decode.

Does not read media, tokenise text, or step an optimiser.

Shapes: B samples, S fused length, M media items of one modality in the batch, F features per
item, Q soft tokens per item, N target tokens, D_enc encoder width, D_llm embedding width,
V vocabulary.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from aligners.base import SoftTokens
from aligners.clock import align
from anymal.collate import Batch
from anymal.errors import BundleError, RecipeError
from anymal.fusion import fuse
from anymal.llm.attention import Attention, attention_is
from anymal.llm.beside import decoder_layers
from anymal.llm.causal_lm import LLM
from anymal.llm.cross_entropy import chunk_rows, cross_entropy
from anymal.llm.packing import Packing, SampleAttention
from anymal.llm.shared_prefix import SharedPrefixes
from anymal.side.base import Side, SideLayers, side_is
from anymal.side.media import media_of
from encoders.base import EncoderInputs, Features


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loss:
    """Cross-entropy of a batch.

    Attributes:
        total: Scalar float32, summed over target tokens.
        num_tokens: How many target tokens that is.
        per_sample: `[B]` float32 sums without gradient.
    """

    total: Tensor
    num_tokens: int
    per_sample: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCount:
    """Parameters of one part of the model.

    Attributes:
        part: Its name.
        trainable: Parameters that train.
        total: All of them; packed 4-bit weights count as stored.
    """

    part: str
    trainable: int
    total: int


class AnyMAL(nn.Module):
    """Frozen encoders, trainable aligners, and a frozen language model with LoRA.

    Args:
        encoders: `encoders.base.Encoder` modules by modality.
        aligners: `aligners.base.Aligner` modules by modality.
        llm: The language model.
        side: Layers that read media beside the row, where media do not stand in it; their decoder
            layers ask for them (`anymal.llm.beside.let_read_beside`).
        stop_ids: Ids that end an answer.
    """

    def __init__(
        self,
        *,
        encoders: Mapping[str, nn.Module],
        aligners: Mapping[str, nn.Module],
        llm: LLM,
        side: SideLayers | None = None,
        stop_ids: Collection[int] = (),
    ) -> None:
        super().__init__()
        assert set(encoders) == set(aligners), (sorted(encoders), sorted(aligners))
        self.encoders = nn.ModuleDict(encoders)
        self.aligners = nn.ModuleDict(aligners)
        self.llm = llm
        self.side = side
        self.stop_ids = frozenset(stop_ids or llm.eos_ids)
        self._prefixes = SharedPrefixes(llm)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.llm.device

    @cached_property
    def _word_size(self) -> float:
        """How large words are, and so the times of media on a clock."""
        return self.llm.embedding_rms

    # --- four verbs -----------------------------------------------------------------------------

    def encode(self, media: Mapping[str, EncoderInputs | Features]) -> dict[str, Features]:
        """Media to features `[M, F, D_enc]`, by modality, without gradient; cached ones pass."""
        return {
            name: given
            if isinstance(given, Features)
            else replace(self.encoders[name](given), layouts=given.layouts, ticks=given.ticks)
            for name, given in media.items()
        }

    def align(self, features: Mapping[str, Features]) -> dict[str, SoftTokens]:
        """Features to soft tokens `[M, Q, D_llm]` float32, by modality."""
        return {
            name: align(self.aligners[name], seen, rms=lambda: self._word_size)
            for name, seen in features.items()
        }

    def fuse(self, batch: Batch, soft_tokens: Mapping[str, SoftTokens]) -> Tensor:
        """Words and soft tokens to what the language model reads, `[B, S, D_llm]`."""
        num_samples, length = batch.ids.shape
        in_rows = soft_tokens if self.side is None else {}
        return fuse(
            self.llm.embed(batch.ids.flatten()[batch.text_rows]),
            in_rows,
            text_rows=batch.text_rows,
            slots=batch.slots,
            shape=(num_samples, length),
        )

    def beside(self, batch: Batch, soft_tokens: Mapping[str, SoftTokens]) -> Side | None:
        """What stands beside the rows of a batch; None where the model has no side."""
        if self.side is None:
            return None
        media = media_of(
            [soft_tokens[name] for name in batch.media],
            order=batch.beside,
            counts=[len(reader.places) for reader in batch.readers],
            media_dim=self.side.media_dim,
        )
        return self.side.side(
            media,
            batch.readers,
            layers=decoder_layers(self.llm),
            dtype=self.llm.dtype,
            num_positions=batch.ids.numel(),
        )

    def decode(self, embeddings: Tensor, batch: Batch, side: Side | None = None) -> Tensor:
        """What the language model makes of it: hidden states `[B, S, D]`.

        Args:
            embeddings: From `fuse`.
            batch: What they are of.
            side: From `beside`.
        """
        assert (side is None) == (self.side is None), "beside comes before decode"
        with attention_is(self._attention(batch)), side_is(side):
            return self.llm.decode(embeddings, positions=batch.positions)

    def _attention(self, batch: Batch) -> Attention | None:
        """How a batch is attended to; None is the language model's own way."""
        if not batch.is_packed and not batch.prefix:
            return None
        assert self.llm.attends_our_way, "allow_packing comes first"
        packing = Packing(batch.lengths, device=self.device) if batch.is_packed else None
        prefix = None
        if batch.prefix:
            assert not self.llm.trains, "what changes with every step is no shared prefix"
            assert self.side is None, "what reads beside the row changes every position"
            prefix = self._prefixes.read(batch.prefix)
        return SampleAttention(packing, prefix=prefix)

    # --- what they are for ----------------------------------------------------------------------

    def loss(self, batch: Batch) -> Loss:
        """Cross-entropy of the target tokens, summed; the head runs on their rows only.

        Args:
            batch: On the model's device, with labels. For one that is packed or has a prefix,
                `anymal.llm.packing.allow_packing` came first.

        Returns:
            The sum, and what it is a sum over.
        """
        soft_tokens = self.align(self.encode(batch.media))
        side = self.beside(batch, soft_tokens)
        hidden = self.decode(self.fuse(batch, soft_tokens), batch, side)  # [B, S, D]
        each = cross_entropy(
            hidden.flatten(0, 1).index_select(0, batch.target_rows),
            batch.target_ids,
            head=self.llm.head,
            rows=chunk_rows(self.llm.vocab_size),
        )  # [N]
        per_sample = each.new_zeros(len(batch.names))
        per_sample.index_add_(0, batch.target_samples, each.detach())
        return Loss(total=each.sum(), num_tokens=len(batch.target_ids), per_sample=per_sample)

    # --- what trains ----------------------------------------------------------------------------

    def set_trainable(
        self, aligners: Collection[str], *, lora: bool, side: bool = False
    ) -> list[PartCount]:
        """Freeze everything, then let the named parts train.

        LoRA takes part in the computation once it trains or was loaded; until then it is left out,
        which is the same function and cheaper.

        Args:
            aligners: Modalities whose aligners train.
            lora: Whether LoRA trains.
            side: Whether the layers beside the row train, where the model has any.

        Returns:
            A row for every part.

        Raises:
            RecipeError: There is no such aligner, or no LoRA.
        """
        if unknown := sorted(set(aligners) - set(self.aligners)):
            raise RecipeError(
                f"no aligner for {', '.join(unknown)}; the model has {', '.join(self.aligners)}"
            )
        if lora and not self.llm.lora_parameters():
            raise RecipeError("LoRA cannot train: the model has none; set model.lora")
        if lora:
            self.llm.use_lora(True)
        self._prefixes.forget()
        self.requires_grad_(False)
        training = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        assert not training, f"still trains after freezing: {training}"
        for name in aligners:
            self.aligners[name].requires_grad_(True)
        for parameter in self.llm.lora_parameters().values():
            parameter.requires_grad_(lora)
        if self.side is not None:
            self.side.requires_grad_(side)
        return self.part_counts()

    def use_checkpointing(self, on: bool) -> None:
        """Recompute activations of all layers in the backward pass, or keep them."""
        self.llm.use_checkpointing(on)
        if self.side is not None:
            self.side.checkpoints = on

    def part_counts(self) -> list[PartCount]:
        """Count the parameters of every part, and those that train."""
        lora = self.llm.lora_parameters()
        base = {name: p for name, p in self.llm.named_parameters() if name not in lora}
        parts = {f"encoders.{name}": list(m.parameters()) for name, m in self.encoders.items()}
        parts |= {f"aligners.{name}": list(m.parameters()) for name, m in self.aligners.items()}
        parts |= {} if self.side is None else {"side": list(self.side.parameters())}
        parts |= {"llm": list(base.values())} | ({"lora": list(lora.values())} if lora else {})
        return [
            PartCount(
                part=part,
                trainable=sum(p.numel() for p in parameters if p.requires_grad),
                total=sum(p.numel() for p in parameters),
            )
            for part, parameters in parts.items()
        ]

    def trainable_state(self) -> dict[str, Tensor]:
        """All that training can change, by name: aligners, side and LoRA, training or not."""
        state = {f"aligners.{name}": t for name, t in self.aligners.state_dict().items()}
        if self.side is not None:
            state |= {f"side.{name}": t for name, t in self.side.state_dict().items()}
        lora = {f"llm.{name}": p.detach() for name, p in self.llm.lora_parameters().items()}
        return state | lora

    @torch.no_grad()
    def load_trainable_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `trainable_state` gave.

        Args:
            state: Exactly the names and shapes of this model.

        Raises:
            BundleError: A name or shape differs; nothing was changed.
        """
        own = self.trainable_state()
        for name in sorted(set(own) | set(state)):
            shapes = [tuple(s[name].shape) if name in s else None for s in (own, state)]
            if shapes[0] != shapes[1]:
                raise BundleError(
                    f"{name} is {shapes[1] or 'absent'} in the saved state, "
                    f"{shapes[0] or 'absent'} in this model"
                )
        self._prefixes.forget()
        for name, tensor in own.items():
            tensor.copy_(state[name])
        if any(bool(tensor.any()) for name, tensor in own.items() if ".lora_B." in name):
            self.llm.use_lora(True)
