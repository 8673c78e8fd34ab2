"""The model behind an engine that does not batch: one prompt at a time through the layers.

Does not queue and does not watch for stop strings.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from anymal.engine.prompt import EmbeddingSegment, Prompt
from anymal.engine.sampling import Sampling
from anymal.generation import DecodeState, continue_from
from anymal.model import AnyMAL
from anymal.processor import Processor


class ModelDecoder:
    """An `AnyMAL` as the engine sees it; see `anymal.engine.base.Decoder`."""

    def __init__(self, model: AnyMAL, processor: Processor) -> None:
        """Keeps both.

        Args:
            model: In eval mode.
            processor: The one that makes the model's samples.
        """
        self._model = model
        self._tokenizer = processor.tokenizer
        config = model.llm.model.config
        # Models with relative positions state no end of their context.
        self._context = int(getattr(config, "max_position_embeddings", 0) or processor.max_tokens)

    def decode(self, prompt: Prompt, sampling: Sampling) -> Iterator[int]:
        """See `Decoder.decode`."""
        for (token,) in continue_from(self._model, self._prefill(prompt), sampling=sampling):
            assert token is not None, "the only answer of a batch ended, and the batch went on"
            yield token

    def text(self, ids: Sequence[int]) -> str:
        """See `Decoder.text`."""
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def room(self, prompt: Prompt) -> int:
        """See `Decoder.room`."""
        return self._context - len(prompt)

    @torch.no_grad()
    def _prefill(self, prompt: Prompt) -> DecodeState:
        llm, cache, device = self._model.llm, self._model.llm.new_cache(), self._model.device
        embeddings = torch.cat([self._embed(segment) for segment in prompt.segments])[None]
        positions = torch.arange(len(prompt), device=device)[None]
        hidden = llm.decode(embeddings, mask=None, positions=positions, cache=cache)
        return DecodeState(
            logits=llm.head(hidden[:, -1]),
            cache=cache,
            mask=torch.ones_like(positions, dtype=torch.bool),
            positions=positions[:, -1:] + 1,
            is_padded=False,
        )

    def _embed(self, segment: object) -> Tensor:
        llm = self._model.llm
        if isinstance(segment, EmbeddingSegment):
            return segment.embeddings.to(llm.device, llm.dtype)
        return llm.embed(torch.tensor(segment.ids, device=llm.device))  # type: ignore[attr-defined]
