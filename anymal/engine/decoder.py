"""The model behind an engine: one sample at a time through collate and generate.

Does not queue and does not watch for stop strings.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from anymal.collate import collate
from anymal.engine.sampling import Sampling
from anymal.model import AnyMAL
from anymal.processor import Processor, Sample


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
        self._pad_id = processor.pad_id
        config = model.llm.model.config
        # Models with relative positions state no end of their context.
        self._context = int(getattr(config, "max_position_embeddings", 0) or processor.max_tokens)

    def decode(self, sample: Sample, sampling: Sampling) -> Iterator[int]:
        """See `Decoder.decode`."""
        batch = collate([sample], pad_id=self._pad_id, side="left").to(self._model.device)
        for (token,) in self._model.generate(batch, sampling=sampling):
            assert token is not None, "the only answer of a batch ended, and the batch went on"
            yield token

    def text(self, ids: Sequence[int]) -> str:
        """See `Decoder.text`."""
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def room(self, sample: Sample) -> int:
        """See `Decoder.room`."""
        return self._context - len(sample.ids)

    def prompt_counts(self, sample: Sample) -> Mapping[str, int]:
        """See `Decoder.prompt_counts`."""
        soft = Counter[str]()
        for slot in sample.slots:
            soft[slot.modality] += slot.length
        return {"text": len(sample.ids) - soft.total(), **soft}
