"""The service's metrics, for Prometheus.

Does not decide when to measure: the request log, the worker and the engine report here. A label
never holds anything that a caller wrote.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from anymal.decoding.pool import REASONS, DecoderStats
from anymal.engine.stats import EngineStats, Step
from server.edge.request_facts import CURRENT_REQUEST, note_error

# Seconds. A token takes a millisecond on the built-in model, and a long video a minute.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128)
_POSITIONS = (1, 4, 16, 64, 256, 1024, 4096)


class CacheStats(Protocol):
    """How a cache is doing."""

    @property
    def hits(self) -> int:
        """How often something was there."""
        ...

    @property
    def misses(self) -> int:
        """How often it was not."""
        ...

    @property
    def bytes_used(self) -> int:
        """Bytes held."""
        ...

    @property
    def bytes_total(self) -> int:
        """Most bytes held."""
        ...


class Metrics:
    """The counters of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "anymal_requests",
            "Answers by route and status.",
            ["path", "status"],
            registry=self.registry,
        )
        self._request_seconds = self._histogram(
            "anymal_request_seconds", "From a request's head to its answer's end.", _SECONDS, "path"
        )
        self._first_token = self._histogram(
            "anymal_first_token_seconds", "From a request's body to its first token.", _SECONDS
        )
        self._next_token = self._histogram(
            "anymal_next_token_seconds", "Between two pieces of an answer.", _SECONDS
        )
        self._tokens = Counter(
            "anymal_tokens",
            "Tokens of prompts by text and modality, cached ones, and tokens generated.",
            ["kind"],
            registry=self.registry,
        )
        self._errors = Counter(
            "anymal_errors", "Requests that failed, by error.", ["type"], registry=self.registry
        )
        self._failed_keys = Counter(
            "anymal_failed_keys", "Wrong keys that were tried.", registry=self.registry
        )
        self._step_seconds = self._histogram(
            "anymal_step_seconds", "One forward pass of the engine.", _SECONDS
        )
        self._step_sequences = self._histogram(
            "anymal_step_sequences", "Requests that share a forward pass.", _SEQUENCES
        )
        self._step_tokens = self._histogram(
            "anymal_step_tokens", "Positions computed in a forward pass.", _POSITIONS
        )

    def request(self, path: str, status: int, seconds: float, *, error: str | None = None) -> None:
        """Count an answer.

        Args:
            path: The route's pattern, such as `/v1/models/{model}`; never what a caller wrote.
            status: Of the answer; 499 where the client went first.
            seconds: What it took, streaming included.
            error: Code of the error that the caller received.
        """
        self._requests.labels(path, str(status)).inc()
        self._request_seconds.labels(path).observe(seconds)
        if error is not None:
            self._errors.labels(error).inc()

    def failed_key(self) -> None:
        """Count a wrong key."""
        self._failed_keys.inc()

    def first_token(self, seconds: float) -> None:
        """Note how long a request waited for its first token."""
        self._first_token.observe(seconds)

    def next_token(self, seconds: float) -> None:
        """Note how long a running answer waited for its next piece."""
        self._next_token.observe(seconds)

    def tokens(self, kind: str, number: int) -> None:
        """Count tokens, here and for the line that the log keeps of the request.

        Args:
            kind: `text` or a modality for what a prompt holds, `cached` for how much of it was
                found in a cache, `completion` for what was generated.
            number: How many.
        """
        self._tokens.labels(kind).inc(number)
        if (record := CURRENT_REQUEST.get()) is not None:
            record.tokens[kind] += number

    def error(self, type: str) -> None:
        """Count a failure by its code.

        Within a request it is kept until the request ends, so that one that is noted here and
        sent to the caller counts once.
        """
        if not note_error(type):
            self._errors.labels(type).inc()

    def step(self, step: Step) -> None:
        """Note a forward pass; called on the engine's thread."""
        self._step_seconds.observe(step.seconds)
        self._step_sequences.observe(step.num_sequences)
        self._step_tokens.observe(step.num_tokens)

    def watch(
        self,
        engine: Callable[[], EngineStats | None],
        soft_tokens: Callable[[], Sequence[CacheStats]] = lambda: (),
    ) -> None:
        """Show the engine's and the caches' own numbers, read when they are asked for.

        Args:
            engine: Numbers of the engine; None while there is none.
            soft_tokens: Numbers of each cache of soft tokens.
        """
        self.registry.register(_StatsCollector(engine, soft_tokens))

    def watch_decoders(self, stats: Callable[[], DecoderStats]) -> None:
        """Show the numbers of the processes that decode media, read when they are asked for."""
        self.registry.register(_DecoderCollector(stats))

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _histogram(
        self, name: str, help: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(name, help, labels, buckets=buckets, registry=self.registry)


class _StatsCollector:
    """Reads the engine and the caches at each scrape."""

    def __init__(
        self,
        engine: Callable[[], EngineStats | None],
        soft_tokens: Callable[[], Sequence[CacheStats]],
    ) -> None:
        self._engine = engine
        self._soft_tokens = soft_tokens

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry would read the engine to learn the names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client`."""
        stats, caches = self._engine() or EngineStats(), self._soft_tokens()
        for name, help, value in (
            ("anymal_queue_waiting", "Requests that wait.", stats.waiting),
            ("anymal_queue_running", "Requests being answered.", stats.running),
            ("anymal_cache_bytes_used", "Keys and values held.", stats.cache_bytes_used),
            ("anymal_cache_bytes_total", "Room for keys and values.", stats.cache_bytes_total),
            ("anymal_soft_token_bytes_used", "Held.", sum(cache.bytes_used for cache in caches)),
            ("anymal_soft_token_bytes_total", "Room.", sum(cache.bytes_total for cache in caches)),
        ):
            yield GaugeMetricFamily(name, help, value=value)
        for name, help, value in (
            ("anymal_prefix_tokens_queried", "Positions looked up.", stats.prefix_tokens_queried),
            ("anymal_prefix_tokens_hit", "Positions found cached.", stats.prefix_tokens_hit),
            ("anymal_soft_token_hits", "Media found cached.", sum(each.hits for each in caches)),
            ("anymal_soft_token_misses", "Media encoded.", sum(each.misses for each in caches)),
            (
                "anymal_preemptions",
                "Answers preempted by a full cache.",
                stats.preemptions,
            ),
            ("anymal_steps", "Forward passes.", stats.steps),
            ("anymal_batch_tokens", "Positions computed.", stats.batch_tokens),
        ):
            yield CounterMetricFamily(name, help, value=value)


class _DecoderCollector:
    """Reads the decoding processes at each scrape."""

    def __init__(self, stats: Callable[[], DecoderStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client`."""
        stats = self._stats()
        yield GaugeMetricFamily("anymal_decoders_busy", "Processes at work.", value=stats.busy)
        yield CounterMetricFamily("anymal_decodes", "Media to decode.", value=stats.decodes)
        yield CounterMetricFamily(
            "anymal_decoder_restarts", "Processes replaced.", value=stats.restarts
        )
        kills = CounterMetricFamily(
            "anymal_decoder_kills", "Processes that ended in mid-work.", labels=["reason"]
        )
        for reason in REASONS:
            kills.add_metric([reason], stats.kills.get(reason, 0))
        yield kills
