"""The Q-Former of BLIP-2 and InstructBLIP: transformers' own module, from features to soft tokens.

Does not tokenise; what it reads beside features comes as ids, in `Features.words`.

Shapes: M media items, F features per item, Q soft tokens (queries) per item, T words of an item,
D_enc encoder width, D width of the Q-Former, D_llm width of the language model's embeddings.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

from aligners.base import ReadsText, real_values, start_at_rms
from aligners.layers import Start, check_at_least, check_known
from aligners.limits import AlignerError
from encoders.base import Features

_QUERY_STD = 0.02  # BERT's


class QFormer(nn.Module):
    """Queries that read features, each other and perhaps words (arXiv 2301.12597, 2305.06500).

    Without words it computes what `Blip2QFormerModel` computes.

    Args:
        encoder_dim: D_enc.
        llm_dim: D_llm.
        embedding_rms: How large soft tokens are at first, with `start: rms`.
        num_tokens: Q.
        layers: Layers of the Q-Former.
        cross_every: Layers from one that reads features to the next; the first does.
        width: D.
        num_heads: Heads of a layer.
        mult: Width of a feed-forward layer over D.
        norm: Of the features, with weights (`layer`) or `none`. BLIP-2 trains the one that its
            encoder ends with.
        dropout: Of hidden states and of attention, in training.
        vocab_size: Words that it knows; None reads none.
        max_words: Most words beside one medium.
        start: Scale the output so that soft tokens start as large as words, or leave it `plain`.

    Raises:
        AlignerError: A size does not fit, or a name is unknown.
    """

    scale: Tensor

    def __init__(
        self,
        *,
        encoder_dim: int,
        llm_dim: int,
        embedding_rms: float,
        num_tokens: int = 32,
        layers: int = 12,
        cross_every: int = 2,
        width: int = 768,
        num_heads: int = 12,
        mult: int = 4,
        norm: Literal["none", "layer"] = "none",
        dropout: float = 0.0,
        vocab_size: int | None = None,
        max_words: int = 512,
        start: Start = "rms",
    ) -> None:
        super().__init__()
        check_at_least(1, layers=layers, cross_every=cross_every, width=width, mult=mult)
        check_at_least(1, num_heads=num_heads, max_words=max_words)
        check_at_least(1, vocab_size=1 if vocab_size is None else vocab_size)
        check_known("norm", norm, ["none", "layer"])
        check_known("start", start, get_args(Start))
        if width % num_heads:
            raise AlignerError(f"num_heads is {num_heads}; it must divide the width, {width}")
        if not 0 <= dropout < 1:
            raise AlignerError(f"dropout is {dropout}; it must be at least 0 and less than 1")
        self.num_tokens = num_tokens
        self.reads_text = (
            None if vocab_size is None else ReadsText(vocab_size=vocab_size, most=max_words)
        )
        self.norm = nn.LayerNorm(encoder_dim) if norm == "layer" else nn.Identity()
        self.queries = nn.Parameter(torch.randn(num_tokens, width) * _QUERY_STD)
        self.qformer: Any = _bare_qformer(
            InstructBlipQFormerConfig(
                vocab_size=vocab_size or 1,
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=num_heads,
                intermediate_size=mult * width,
                hidden_dropout_prob=dropout,
                attention_probs_dropout_prob=dropout,
                max_position_embeddings=max_words,
                cross_attention_frequency=cross_every,
                encoder_hidden_size=encoder_dim,
            ),
            reads=vocab_size is not None,
        )
        self.project = nn.Linear(width, llm_dim)
        self.register_buffer("scale", torch.ones(()))
        if start == "rms":
            self.eval()  # dropout would move the global random state
            start_at_rms(
                self._with_a_word,
                self.scale,
                num_features=num_tokens,
                encoder_dim=encoder_dim,
                rms=embedding_rms,
            )
            self.train()

    def forward(self, features: Features) -> Tensor:
        """Ask features.

        Args:
            features: `[M, F, D_enc]`, with words where it reads some; outside the mask they change
                nothing.

        Returns:
            Soft tokens `[M, Q, D_llm]` float32.

        Raises:
            AlignerError: It reads words and there are none, not even of an empty text.
        """
        queries = self.queries.expand(len(features.values), -1, -1)
        # On the meta device nobody may look into a mask.
        mask = None if features.mask.is_meta else features.mask.long()
        made = self.qformer(
            **self._read(features, queries),
            query_embeds=queries,
            encoder_hidden_states=self.norm(real_values(features)),
            encoder_attention_mask=mask,
        )
        asked = made.last_hidden_state[:, : self.num_tokens]
        soft_tokens: Tensor = self.project(asked) * self.scale
        return soft_tokens.float()

    def _read(self, features: Features, queries: Tensor) -> dict[str, Tensor | None]:
        """Words beside features, `[M, T]` ids, and which of queries and words are real."""
        if self.reads_text is None:
            return {"input_ids": None}
        if features.words is None:
            raise AlignerError("the Q-Former reads words, and none came with the features")
        ids, is_word = _padded(features.words, device=queries.device)
        own = is_word.new_ones(queries.shape[:2])
        mask = None if ids.is_meta else torch.cat([own, is_word], dim=1)
        return {"input_ids": ids, "attention_mask": mask}

    def _with_a_word(self, features: Features) -> Tensor:
        """What it makes of noise: beside a word, if it reads any."""
        made: Tensor = self(replace(features, words=((0,),) * len(features.values)))
        return made


def _bare_qformer(config: InstructBlipQFormerConfig, *, reads: bool) -> InstructBlipQFormerModel:
    """The module with random weights; without words, also without what would read them."""
    module: Any = InstructBlipQFormerModel(config)
    if not reads:
        module.embeddings.word_embeddings = module.embeddings.position_embeddings = None
        for layer in module.encoder.layer:
            layer.intermediate = layer.output = None
    qformer: InstructBlipQFormerModel = module
    return qformer


def _padded(words: Sequence[Sequence[int]], *, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids `[M, T]` int64 and where they are real, `[M, T]` int64."""
    rows = [torch.tensor(own, dtype=torch.int64, device=device) for own in words]
    ids = pad_sequence(rows, batch_first=True)
    return ids, pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
