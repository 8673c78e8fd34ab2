"""How long steps of some sizes take, as far as they were seen.

Does not measure time: the engine reports it. It tells the scheduler how many positions of others a
step may hold before it delays somebody too much, which depends on the model and the machine: on a
GPU 32 answers take hardly longer than one, with some kernels of a CPU nearly 32 times as long.
"""

_WEIGHT = 0.2  # of the newest step in the average
_LASTS = 256  # steps, after which a size is measured again
_LARGEST = 2**20


class StepCost:
    """Mean seconds of a step by its size, in classes of powers of two."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._noted_at: dict[int, int] = {}
        self._num_steps = 0

    def note(self, positions: int, seconds: float) -> None:
        """Take note of a step."""
        self._num_steps += 1
        size = positions.bit_length()
        before = self._seconds.get(size, seconds)
        self._seconds[size] = before + _WEIGHT * (seconds - before)
        self._noted_at[size] = self._num_steps

    def most(self, positions: int, times: int) -> int:
        """How many positions a step may have to take so many times as long as a smaller one.

        Args:
            positions: Size of the smaller step.
            times: How many times as long the larger one may take; 1 or more.

        Returns:
            The size: at least `times * positions`, since no model takes longer than in proportion.
            While nothing is known of the smaller step, `positions`, so that it is measured.
        """
        size = positions.bit_length()
        if self._num_steps - self._noted_at.get(size, -_LASTS) >= _LASTS:
            return positions
        allowed = times * self._seconds[size]
        while 1 << size < _LARGEST and self._seconds.get(size + 1, 0.0) <= allowed:
            size += 1
        return max(times * positions, (1 << size) - 1)
