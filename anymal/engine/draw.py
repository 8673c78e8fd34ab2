"""Draws the next tokens of answers from their scores; the only place where tokens are drawn.

Does not compute scores and does not know text. In the order of transformers: penalties,
temperature, top-k, top-p, min-p.

Shapes: N answers, V vocabulary.
"""

from collections import Counter
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from anymal.engine.prompt import TokenSpan
from anymal.engine.reply import Drawn, Scored
from anymal.engine.request import Request
from anymal.engine.sampling import Sampling
from anymal.errors import EngineError

_LARGEST = torch.finfo(torch.float32).max


def draw_all(
    requests: Sequence[Request], logits: Tensor, *, stop_ids: Collection[int]
) -> list[Drawn | Exception]:
    """Draw the next token of each of some answers.

    Args:
        requests: Whose.
        logits: `[N, V]` float32, a row for each.
        stop_ids: Ids that end an answer.

    Returns:
        A token for each, or what went wrong with it.
    """
    best, likeliest = logits.max(dim=-1)
    drawn: list[Drawn | Exception] = []
    for row, (request, is_finite, id_) in enumerate(
        zip(requests, best.isfinite().tolist(), likeliest.tolist(), strict=True)
    ):
        if not is_finite:
            drawn.append(EngineError("the model's scores are not finite; check what it was given"))
            continue
        try:
            drawn.append(_draw(request, logits[row], id_, stop_ids))
        except Exception as error:  # one answer's failure must not end the others
            drawn.append(error)
    return drawn


def _draw(request: Request, logits: Tensor, likeliest: int, stop_ids: Collection[int]) -> Drawn:
    sampling = request.sampling
    token = likeliest
    if sampling.has_penalties or not sampling.is_greedy:
        if request.drawer is None:
            request.drawer = TokenDrawer(sampling, prompt_ids=_words(request))
        token = request.drawer(logits)
    ends = token in stop_ids and not sampling.ignore_eos
    if sampling.logprobs is None:
        return Drawn(id=token, ends=ends)
    logprob, top = score(logits, token, num_top=sampling.logprobs)
    return Drawn(id=token, logprob=logprob, top=top, ends=ends)


def _words(request: Request) -> list[int]:
    spans = request.prompt.spans
    return [i for span in spans if isinstance(span, TokenSpan) for i in span.ids]


class TokenDrawer:
    """Draws the tokens of one answer; its random numbers are its own.

    So a seed means the same answer alone and beside others, and on every device.
    """

    def __init__(self, sampling: Sampling, *, prompt_ids: Sequence[int] = ()) -> None:
        """Starts an answer.

        Args:
            sampling: How to draw.
            prompt_ids: The prompt's words, which the repetition penalty counts.
        """
        self._sampling = sampling
        self._said: Counter[int] = Counter()
        self._seen: set[int] = set(prompt_ids) if sampling.has_penalties else set()
        self._generator: torch.Generator | None = None  # made by the first draw by chance

    def __call__(self, logits: Tensor) -> int:
        """Draw the next token, and remember it.

        Args:
            logits: `[V]` float32.

        Returns:
            Its id.
        """
        sampling = self._sampling
        if sampling.is_greedy:
            token = int(self._penalised(logits).argmax())
        else:
            token = int(torch.multinomial(self.chances(logits), 1, generator=self._random()))
        if sampling.has_penalties:
            self._said[token] += 1
            self._seen.add(token)
        return token

    def chances(self, logits: Tensor) -> Tensor:
        """How likely each token is to be drawn, at a temperature above 0.

        Args:
            logits: `[V]` float32.

        Returns:
            `[V]` float32 on the CPU; zero where top-k, top-p or min-p leave a token out.
        """
        sampling = self._sampling
        logits = self._penalised(logits).cpu()
        # The greatest becomes 0, so that no temperature makes it infinite.
        logits = (logits - logits.max()) / sampling.temperature
        size, ids = len(logits), None
        if 0 < sampling.top_k < size:
            logits, ids = logits.topk(sampling.top_k)
        chances = logits.softmax(dim=-1)
        if sampling.top_p < 1:
            chances, order = chances.sort(dim=-1, descending=True)
            ids = order if ids is None else ids[order]
            before = chances.cumsum(dim=-1) - chances
            is_left_out = before >= sampling.top_p
            is_left_out[0] = False  # the likeliest stays
            chances = chances.masked_fill(is_left_out, 0.0)
            chances /= chances.sum()
        if sampling.min_p > 0:
            chances = chances.masked_fill(chances < sampling.min_p * chances.max(), 0.0)
            chances /= chances.sum()
        if ids is None:
            return chances
        return chances.new_zeros(size).scatter_(0, ids, chances)

    def _penalised(self, logits: Tensor) -> Tensor:
        sampling = self._sampling
        if not sampling.has_penalties:
            return logits
        logits = logits.clone()
        if sampling.repetition_penalty != 1 and self._seen:
            seen = torch.tensor(sorted(self._seen), device=logits.device)
            scores, penalty = logits[seen], sampling.repetition_penalty
            logits[seen] = torch.where(scores < 0, scores * penalty, scores / penalty)
        if self._said:
            said = torch.tensor(list(self._said), device=logits.device)
            times = torch.tensor(list(self._said.values()), device=logits.device)
            logits[said] -= sampling.presence_penalty + sampling.frequency_penalty * times
        return logits.clamp_(-_LARGEST, _LARGEST)  # a penalty may have made one infinite

    def _random(self) -> torch.Generator:
        if self._generator is None:
            self._generator = torch.Generator()
            if self._sampling.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(self._sampling.seed)
        return self._generator


def score(logits: Tensor, token: int, *, num_top: int) -> tuple[float, tuple[Scored, ...]]:
    """How likely a token was, before penalties, temperature and choice.

    Args:
        logits: `[V]` float32.
        token: Which.
        num_top: How many of the likeliest tokens to return.

    Returns:
        The logarithm of its probability, and the likeliest tokens with theirs.
    """
    logprobs = logits.log_softmax(dim=-1)
    values, ids = logprobs.topk(min(num_top, len(logprobs)))
    pairs = zip(ids.tolist(), values.tolist(), strict=True)
    return float(logprobs[token]), tuple(Scored(id=id_, logprob=value) for id_, value in pairs)
