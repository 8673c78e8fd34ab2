"""The one GPU path in four verbs: encode, align, fuse (or set beside), decode.

Does not read media, tokenise text, or step an optimiser.

Shapes: B samples, S fused length, M media items of one modality in the batch, F features per
item, Q soft tokens per item, N target tokens, D_enc encoder width, D_llm embedding width,
V vocabulary.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from aligners.base import SoftTokens
from aligners.clock import align
from anymal.collate import Batch
from anymal.errors import BundleError
from anymal.fusion import fuse
from anymal.llm.attention import Attention, attention_is
from anymal.llm.beside import decoder_layers
from anymal.llm.causal_lm import LLM
from anymal.llm.cross_entropy import Loss, chunk_rows, cross_entropy
from anymal.llm.extra_tokens import ExtraTokens
from anymal.llm.packing import Packing, SampleAttention
from anymal.llm.shared_prefix import SharedPrefixes
from anymal.side.base import Side, SideLayers, side_is
from anymal.side.media import media_of
from anymal.trainable.rules import match
from anymal.trainable.weights import PartCount, check_can_train, count_parts, weights_of
from encoders.base import EncoderInputs, Features


class AnyMAL(nn.Module):
    """Encoders, aligners and a language model; rules say what of them trains, the rest is frozen.

    Args:
        encoders: `encoders.base.Encoder` modules by modality.
        aligners: `aligners.base.Aligner` modules by modality.
        llm: The language model.
        side: Layers that read media beside the row, where media do not stand in it; their decoder
            layers ask for them (`anymal.llm.beside.let_read_beside`).
        stop_ids: Ids that end an answer.
        extra_tokens: Words beside the language model's table, which it reads.
        readouts: Numbers that are read out of hidden states, by name.
    """

    def __init__(
        self,
        *,
        encoders: Mapping[str, nn.Module],
        aligners: Mapping[str, nn.Module],
        llm: LLM,
        side: SideLayers | None = None,
        stop_ids: Collection[int] = (),
        extra_tokens: ExtraTokens | None = None,
        readouts: nn.ModuleDict | None = None,
    ) -> None:
        super().__init__()
        assert set(encoders) == set(aligners), (sorted(encoders), sorted(aligners))
        self.encoders = nn.ModuleDict(encoders)
        self.aligners = nn.ModuleDict(aligners)
        self.llm = llm
        self.side = side
        self.extra_tokens = extra_tokens
        self.readouts = readouts or nn.ModuleDict()
        self._tuned: set[str] = set()
        self.stop_ids = frozenset(stop_ids or llm.eos_ids)
        self._prefixes = SharedPrefixes(llm)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.llm.device

    # --- four verbs -----------------------------------------------------------------------------

    def encode(self, media: Mapping[str, EncoderInputs | Features]) -> dict[str, Features]:
        """Media to features `[M, F, D_enc]`, by modality; cached ones pass.

        Gradients are recorded where weights of an encoder train.
        """
        return {
            name: given
            if isinstance(given, Features)
            else given.told_of(self.encoders[name](given))
            for name, given in media.items()
        }

    def align(self, features: Mapping[str, Features]) -> dict[str, SoftTokens]:
        """Features to soft tokens `[M, Q, D_llm]` float32, by modality."""
        return {
            name: align(self.aligners[name], seen, rms=lambda: self.llm.embedding_rms)
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
            assert self.side is None, "what reads beside the row changes every position"
            assert not self.words_train, "what changes with every step is no shared prefix"
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
        each = self.target_losses(batch)  # [N]
        per_sample = each.new_zeros(len(batch.names))
        per_sample.index_add_(0, batch.target_samples, each.detach())
        return Loss(total=each.sum(), count=len(batch.target_ids), per_sample=per_sample)

    def target_losses(self, batch: Batch) -> Tensor:
        """Cross-entropy of each target token, `[N]` float32; for a batch as `loss` takes it."""
        return self.losses_of(self.read(batch), batch)

    def read(self, batch: Batch) -> Tensor:
        """The four verbs: hidden states of all positions of a batch, `[B * S, D]`."""
        soft_tokens = self.align(self.encode(batch.media))
        side = self.beside(batch, soft_tokens)
        return self.decode(self.fuse(batch, soft_tokens), batch, side).flatten(0, 1)

    def losses_of(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of each target token, `[N]` float32, by what `read` gave."""
        return cross_entropy(
            hidden.index_select(0, batch.target_rows),
            batch.target_ids,
            head=self.llm.head,
            rows=chunk_rows(self.llm.vocab_size),
        )

    # --- what trains ----------------------------------------------------------------------------

    def set_trainable(self, patterns: Sequence[str]) -> list[PartCount]:
        """Freeze everything, then let what patterns name train.

        LoRA takes part in the computation once it trains or was loaded; until then it is left out,
        which is the same function and cheaper.

        Args:
            patterns: See `anymal.trainable.rules`.

        Returns:
            A row for every part.

        Raises:
            RecipeError: A pattern matches nothing, or a weight that cannot train.
        """
        weights, parameters = weights_of(self), dict(self.named_parameters())
        chosen = match(weights, patterns)
        for name, number in chosen.items():
            pattern, precision = patterns[number], self.llm.precision
            check_can_train(name, parameters[name], pattern=pattern, precision=precision)
        if any(weights[name].kind == "lora" for name in chosen):
            self.llm.use_lora(True)
        self._prefixes.forget()
        self.requires_grad_(False)
        training = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        assert not training, f"still trains after freezing: {training}"
        for name in chosen:
            parameters[name].requires_grad_(True)
        self.keep_tuned(chosen)
        return self.part_counts()

    @property
    def words_train(self) -> bool:
        """Whether anything trains that changes how words are read, media or not."""
        parts = (self.llm, *self._beside().values())
        return any(p.requires_grad for part in parts for p in part.parameters())

    def _beside(self) -> dict[str, nn.Module]:
        """What stands beside the language model, by the name of the attribute."""
        beside = {"side": self.side, "extra_tokens": self.extra_tokens, "readouts": self.readouts}
        return {name: part for name, part in beside.items() if part is not None}

    def use_checkpointing(self, on: bool) -> None:
        """Recompute activations of all layers in the backward pass, or keep them."""
        self.llm.use_checkpointing(on)
        if self.side is not None:
            self.side.checkpoints = on

    def keep_tuned(self, names: Iterable[str]) -> None:
        """Count weights of pretrained parts among those that training changed.

        Args:
            names: Of parameters; those of other parts, and of LoRA, always are.
        """
        self._tuned |= {
            name
            for name in names
            if name.startswith("encoders.") or (name.startswith("llm.") and ".lora_" not in name)
        }

    def tuned_state(self) -> dict[str, Tensor]:
        """The weights of encoders and the language model that training changed, by name."""
        return {
            name: parameter.detach()
            for name, parameter in self.named_parameters()
            if name in self._tuned
        }

    def part_counts(self) -> list[PartCount]:
        """Count the parameters of every part, and those that train."""
        return count_parts(self)

    def trainable_state(self) -> dict[str, Tensor]:
        """All that training can change or has changed, by name.

        Aligners, LoRA, and what stands beside the language model, whether or not they train; of
        encoders and of the language model, the weights that trained.
        """
        parts = {"aligners": self.aligners, **self._beside()}
        state = {
            f"{part}.{n}": t for part, own in parts.items() for n, t in own.state_dict().items()
        }
        lora = {f"llm.{name}": p.detach() for name, p in self.llm.lora_parameters().items()}
        return state | lora | self.tuned_state()

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
