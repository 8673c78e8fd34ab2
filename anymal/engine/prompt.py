"""What an engine is asked to continue: words as ids, everything else as embeddings.

Does not tokenise, encode or align; `anymal.serving.soft_tokens` makes prompts from samples. Light:
torch only for its types.

Shapes: Q positions of one span, D_llm width of the language model's embeddings; beside the row, Q
soft tokens, D_side their width.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpan:
    """Words.

    Attributes:
        ids: Ids of the language model's tokeniser.
        kind: What they are counted as: `text`, or `facts` that were measured of media.
    """

    ids: tuple[int, ...]
    kind: str = "text"

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingSpan:
    """Positions that hold no word.

    Attributes:
        embeddings: `[Q, D_llm]` float.
        digest: SHA-256 of all that they were made from; equal digests mean equal embeddings.
        kind: The modality, or `embeds` for a caller's own.
    """

    embeddings: "Tensor"
    digest: str
    kind: str

    def __len__(self) -> int:
        return len(self.embeddings)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SideSpan:
    """A medium that stands in no position: what follows it reads it beside the row.

    Attributes:
        embeddings: `[Q, D_side]` float.
        digest: SHA-256 of all that they were made from; equal digests mean equal embeddings.
        kind: The modality.
    """

    embeddings: "Tensor"
    digest: str
    kind: str

    def __len__(self) -> int:
        return 0


Span = TokenSpan | EmbeddingSpan | SideSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who sent a prompt.

    Attributes:
        name: Owners of different names take turns, however much each one asks.
        scope: What was computed for a prompt is found again only by prompts of the same scope.
    """

    name: str = ""
    scope: str = ""


NOBODY = Owner()
"""The owner of all prompts where callers are not distinguished."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompt:
    """Spans, one after the other; its length is its number of positions.

    Attributes:
        spans: What it says.
        owner: Whose it is.
    """

    spans: tuple[Span, ...]
    owner: Owner = NOBODY

    def __len__(self) -> int:
        return sum(len(span) for span in self.spans)

    @property
    def beside(self) -> tuple[SideSpan, ...]:
        """Media that stand in no position, in order."""
        return tuple(span for span in self.spans if isinstance(span, SideSpan))

    @property
    def places(self) -> tuple[int, ...]:
        """Before which position each of them stands."""
        starts = accumulate(map(len, self.spans), initial=0)
        spans = zip(self.spans, starts, strict=False)
        return tuple(start for span, start in spans if isinstance(span, SideSpan))

    def counts(self) -> Mapping[str, int]:
        """Positions by kind: `text` always, and what else there is; none of what is beside."""
        counts = Counter({"text": 0})
        for span in self.spans:
            counts[span.kind] += len(span)
        return dict(counts)
