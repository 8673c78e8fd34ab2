"""Words with rows of their own beside a language model's table, which stays as it is.

`LLM.embed` and `LLM.head` are the only two doors to the tables, so nothing is resized: a row is put
in the place of the table's as a word is looked up, and its score in the place of the head's, tied
or not, quantised or not. Does not decide what trains.

Shapes: A extra words, T words, N positions, V words of the table, D_llm width of the table, D width
of the head's input.
"""

import copy
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anymal.errors import RecipeError
from anymal.llm.digests import bytes_of
from anymal.llm.weight_only_words import WeightOnlyEmbedding


class ExtraTokens(nn.Module):
    """Rows of extra words, in float32.

    Args:
        ids: `[A]`, of the extra words.
        rows: `[A, D_llm]`, what the table would hold.
        head_rows: `[A, D]`, what the output head would hold; None where it is the table.
        factor: What the table multiplies its rows by.
        table_size: V.
    """

    ids: Tensor
    _places: Tensor

    def __init__(
        self,
        ids: Sequence[int],
        *,
        rows: Tensor,
        head_rows: Tensor | None,
        factor: float,
        table_size: int,
    ) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)
        self.head_rows = None if head_rows is None else nn.Parameter(head_rows)
        self.vocab_size = max(table_size, max(ids) + 1)
        self._factor, self._num_new = factor, self.vocab_size - table_size
        places = torch.full((self.vocab_size,), -1, dtype=torch.int64)
        places[torch.tensor(ids)] = torch.arange(len(ids))
        self.register_buffer("_places", places.to(rows.device), persistent=False)
        self.register_buffer("ids", torch.tensor(ids).to(rows.device), persistent=False)

    def embed(self, ids: Tensor, look_up: Callable[[Tensor], Tensor]) -> Tensor:
        """Look words up, extra ones among them.

        Args:
            ids: `[T]` int64, below `vocab_size`.
            look_up: The table.

        Returns:
            `[T, D_llm]` in the table's dtype.
        """
        places = self._places[ids]
        is_own = places >= 0
        words = look_up(ids.masked_fill(is_own, 0))
        own = (self.rows * self._factor).to(words.dtype)[places.clamp(min=0)]
        return torch.where(is_own[..., None], own, words)

    def score(self, hidden: Tensor, logits: Tensor) -> Tensor:
        """Put the scores of extra words beside those of the table's.

        Args:
            hidden: `[N, D]`, what the head reads.
            logits: `[N, V]` float32, what it gives.

        Returns:
            `[N, vocab_size]` float32.
        """
        rows = self.rows if self.head_rows is None else self.head_rows
        own = F.linear(hidden, rows.to(hidden.dtype)).float()  # [N, A]
        return F.pad(logits, (0, self._num_new)).index_copy(-1, self.ids, own)

    @property
    def digest(self) -> str:
        """SHA-256 over ids and rows."""
        digest = hashlib.sha256()
        for tensor in (self.ids, *self.parameters()):
            digest.update(bytes_of(tensor))
        return digest.hexdigest()


def with_words(tokenizer: Any, words: Sequence[str]) -> Any:
    """A copy of a tokeniser that knows extra words, which only templates and affixes can write.

    Args:
        tokenizer: Of transformers; stays as it is.
        words: Each once. One that it knows already keeps its id.

    Raises:
        RecipeError: A word is empty, stands twice, or cannot be one token.
    """
    if len(set(words)) < len(words) or not all(word.strip() for word in words):
        raise RecipeError(f"model.extra_tokens is {list(words)}; give words, each once")
    known = copy.deepcopy(tokenizer)
    known.add_tokens(list(words), special_tokens=True)
    for word in words:
        if known.convert_ids_to_tokens(known.convert_tokens_to_ids(word)) != word:
            raise RecipeError(f"model.extra_tokens: the tokeniser cannot make {word!r} one token")
    return known


@torch.no_grad()
def new_extra_tokens(
    model: Any, tokenizer: Any, words: Sequence[str], *, num_known: int
) -> ExtraTokens:
    """Rows of extra words that have learnt nothing.

    A word that the tokeniser did not know starts as the mean of the table's rows, so that it is
    never the likeliest word, and by chance it is drawn less often than one in V. Any other starts
    as its own row.

    Args:
        model: A transformers causal model.
        tokenizer: From `with_words`.
        words: The extra words.
        num_known: How many words there were before.

    Returns:
        The rows, on the model's device.

    Raises:
        RecipeError: The table does not fit the tokeniser, or looks words up in a way of its own.
    """
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    factor = table_factor(getattr(table, "base_layer", table))
    size = _shape(table)[0]
    ids = [int(tokenizer.convert_tokens_to_ids(word)) for word in words]
    if factor is None or num_known > size:
        what = f"has {size} rows" if factor is not None else "looks words up in a way of its own"
        raise RecipeError(
            f"model.extra_tokens: the embedding table of {type(model).__name__} {what}, so that "
            f"{words[0]!r} can have no row beside it; use another llm.path, or leave them out"
        )
    are_tied = _held(head) is _held(table)
    return ExtraTokens(
        ids,
        rows=_start(table, ids, num_known),
        head_rows=None if are_tied else _start(head, ids, num_known),
        factor=float(factor),
        table_size=size,
    )


def table_factor(table: nn.Module) -> Tensor | None:
    """What an embedding table multiplies its rows by; None if that is not all it does with them."""
    if isinstance(table, WeightOnlyEmbedding):
        return table.factor
    if type(table) is nn.Embedding:
        return torch.ones((), device=table.weight.device)
    factor = getattr(table, "embed_scale", None)  # Gemma and others
    return None if factor is None else torch.as_tensor(factor, dtype=torch.float32)


def _shape(table: Any) -> tuple[int, int]:
    """Rows and width of a table of words or an output head."""
    table = getattr(table, "base_layer", table)  # around a table, peft calls its rows in_features
    if isinstance(table, WeightOnlyEmbedding):
        return table.num_embeddings, table.embedding_dim
    if hasattr(table, "in_features"):
        return table.out_features, table.in_features
    return table.weight.shape[0], table.weight.shape[1]


def _held(layer: Any) -> Tensor:
    """What a table or head holds its rows in."""
    held: Tensor = layer.codes if hasattr(layer, "codes") else layer.weight
    return held


def _start(table: Any, ids: Sequence[int], num_known: int) -> Tensor:
    """Rows to begin with, `[A, D]` float32: known words as they are, new ones the mean."""
    held = _held(table)
    if not held.is_floating_point():  # in few bits, for answering: a bundle's rows follow
        return torch.zeros(len(ids), _shape(table)[1], device=held.device)
    mean = held[:num_known].mean(0, dtype=torch.float32)
    return torch.stack([held[i].float() if i < num_known else mean for i in ids])
