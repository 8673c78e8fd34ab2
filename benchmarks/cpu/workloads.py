"""What contenders are asked on a CPU, and the figure that each kind of turn gives.

Does not ask. Prompts are random ids, never the same twice, so that no cache helps.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.cpu.worker import Answered


def decode_rate(prompts: Sequence[Sequence[int]], answered: Sequence[Answered]) -> float:
    """Tokens a second of one stream, after its first."""
    (one,) = answered
    return (len(one.moments) - 1) / (one.moments[-1] - one.moments[0])


def prefill_rate(prompts: Sequence[Sequence[int]], answered: Sequence[Answered]) -> float:
    """Tokens of one prompt a second, until the first token of its answer."""
    (prompt,), (one,) = prompts, answered
    return len(prompt) / one.moments[0]


def throughput(prompts: Sequence[Sequence[int]], answered: Sequence[Answered]) -> float:
    """New tokens a second of all streams, prompts included in the time."""
    return sum(len(each.ids) for each in answered) / max(each.moments[-1] for each in answered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A kind of turn.

    Attributes:
        num_streams: Prompts that come at once.
        num_prompt: Tokens of each.
        num_new: Tokens of each answer.
        rate: The figure, in tokens a second.
    """

    num_streams: int
    num_prompt: int
    num_new: int
    rate: Callable[[Sequence[Sequence[int]], Sequence[Answered]], float]

    def prompts(self, vocab_size: int, *, seed: str) -> list[list[int]]:
        """Draw the prompts of a turn.

        Args:
            vocab_size: Ids are below it.
            seed: No two seeds give the same prompts.
        """
        draw = random.Random(seed)
        return [
            [draw.randrange(vocab_size) for _ in range(self.num_prompt)]
            for _ in range(self.num_streams)
        ]


WORKLOADS = {
    "decode_1": Workload(num_streams=1, num_prompt=128, num_new=64, rate=decode_rate),
    "prefill": Workload(num_streams=1, num_prompt=512, num_new=2, rate=prefill_rate),
    "throughput_8": Workload(num_streams=8, num_prompt=128, num_new=64, rate=throughput),
}
