"""How an answer is drawn: limits, randomness, penalties, and where it ends.

Does not draw anything; `anymal.engine.draw` does.
"""

from dataclasses import dataclass

from anymal.errors import EngineError

MAX_LOGPROBS = 20
# Below these, float32 scores overflow, and no answer changes any more.
MIN_TEMPERATURE = 1e-9
MIN_REPETITION_PENALTY = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Options of one answer.

    Attributes:
        max_tokens: Most tokens to generate.
        temperature: 0 takes the likeliest token.
        top_p: Sample among the likeliest tokens that hold this much probability; 0 takes the
            likeliest token.
        min_p: Sample among tokens at least this likely, as a share of the likeliest one's
            probability; 0 among all.
        top_k: Sample among this many of the likeliest tokens; 0 among all.
        repetition_penalty: Above 1, makes tokens of the prompt and the answer less likely, as in
            transformers.
        presence_penalty: Taken from the score of every token that the answer holds already.
        frequency_penalty: Taken from it as often as the answer holds it.
        stop: Strings that end the answer; they are not part of it.
        ignore_eos: Go on to the limit, whatever the model says.
        stop_repetition: End the answer once it repeats itself, see `anymal.engine.repetition`.
        logprobs: How many of the likeliest tokens to return with each token of the answer, beside
            its own log-probability; None returns neither.
        seed: Makes sampling repeatable; None draws a fresh one.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    min_p: float = 0.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    stop_repetition: bool = False
    logprobs: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        allowed = {
            "max_tokens": (self.max_tokens >= 1, "1 or more"),
            "temperature": (
                self.temperature == 0 or MIN_TEMPERATURE <= self.temperature <= 2,
                f"0, or {MIN_TEMPERATURE} to 2",
            ),
            "top_p": (0 <= self.top_p <= 1, "0 to 1"),
            "min_p": (0 <= self.min_p <= 1, "0 (all) to 1"),
            "top_k": (self.top_k >= 0, "0 (all) or more"),
            "repetition_penalty": (
                MIN_REPETITION_PENALTY <= self.repetition_penalty <= 10,
                f"{MIN_REPETITION_PENALTY} to 10",
            ),
            "presence_penalty": (-2 <= self.presence_penalty <= 2, "-2 to 2"),
            "frequency_penalty": (-2 <= self.frequency_penalty <= 2, "-2 to 2"),
            "logprobs": (0 <= (self.logprobs or 0) <= MAX_LOGPROBS, f"0 to {MAX_LOGPROBS}"),
        }
        for name, (is_allowed, range_) in allowed.items():
            if not is_allowed:
                raise EngineError(f"{name} is {getattr(self, name)}; allowed: {range_}")
        if "" in self.stop:
            raise EngineError("stop holds an empty string; remove it")

    @property
    def is_greedy(self) -> bool:
        """Whether chance has no part in it."""
        return self.temperature == 0

    @property
    def has_penalties(self) -> bool:
        """Whether scores depend on what was said before."""
        return (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) != (1, 0, 0)
