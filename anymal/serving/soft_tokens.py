"""Samples to prompts: media through encoders and aligners, on a thread of their own.

Does not decode media and does not answer. Small batches, and a bounded cache, so that a medium
that was seen before costs nothing and a long video does not hold up others' words.

Shapes: M media items of one modality, Q soft tokens per item, D_llm embedding width.
"""

import hashlib
import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice
from time import monotonic
from typing import cast

import torch
from torch import Tensor

from aligners.base import reads_text_of
from anymal.engine.base import EngineClosed
from anymal.engine.prompt import NOBODY, Owner, Prompt
from anymal.media.soft_token_file import EMBEDS
from anymal.model import AnyMAL
from anymal.sample import (
    Item,
    Sample,
    check_counts,
    layouts_of,
    num_windows,
    ticks_of,
    words_of,
)
from anymal.serving.kept import Kept
from anymal.serving.spans import Made, spans_of
from encoders.base import Encoder, Features, stack_features, stack_inputs
from encoders.fingerprint import module_digest

logger = logging.getLogger(__name__)

DEFAULT_CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftTokenStats:
    """How the cache is doing.

    Attributes:
        hits: Items that were in the cache, or on their way into it.
        misses: Items that were encoded.
        bytes_used: Bytes in the cache.
        bytes_total: Most bytes in the cache.
    """

    hits: int
    misses: int
    bytes_used: int
    bytes_total: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    """One medium to encode; `digest` covers what it is encoded with."""

    modality: str
    digest: str
    item: Item
    seen: str | None = None  # where its features are kept, which others may read with other words
    result: "Future[Tensor]" = field(default_factory=Future)


class SoftTokens:
    """Makes prompts of samples, from any thread."""

    def __init__(
        self,
        model: AnyMAL,
        *,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        max_batch: int = 8,
        window_s: float = 0.003,
    ) -> None:
        """Starts the thread.

        Args:
            model: Its encoders and aligners run on the thread only, and must not change any more:
                what they made is kept under digests of their weights.
            cache_bytes: Most bytes to keep of soft tokens and, of media whose soft tokens depend
                on words, of features; 0 keeps none.
            max_batch: Most media encoded at once.
            window_s: How long the first medium of a batch waits for others, in seconds.
        """
        self._model = model
        self._salts = {name: _salt(model, name) for name in model.aligners}
        self._reads_text = {n for n, a in model.aligners.items() if reads_text_of(a) is not None}
        self._max_batch = max_batch
        self._window_s = window_s
        self._lock = threading.Lock()
        self._kept: Kept[Tensor | Features] = Kept(cache_bytes)
        self._on_the_way: dict[str, _Job] = {}
        self._hits = self._misses = 0
        self._is_closed = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="anymal-encoders", daemon=True)
        self._thread.start()

    def prompt(self, sample: Sample, owner: Owner = NOBODY) -> Prompt:
        """Make a prompt; blocks until the sample's media are encoded.

        Args:
            sample: Made to generate.
            owner: Whose it is; soft tokens are found again only within its scope.

        Returns:
            The prompt, its soft tokens `[Q, D_llm]` float32 on the CPU; `[Q, D_side]` where the
            model reads them beside the row.

        Raises:
            DataError: Slots and media, or slots and soft tokens, differ in number.
            EngineClosed: After `close`.
        """
        check_counts(sample)
        jobs = {
            name: [self._request(owner, name, item) for item in items]
            for name, items in sample.media.items()
        }
        made = {
            name: [Made(digest=job.digest, tokens=job.result.result()) for job in own]
            for name, own in jobs.items()
        }
        spans = spans_of(sample, made, is_beside=self._model.side is not None)
        return Prompt(spans=spans, owner=owner)

    def stats(self) -> SoftTokenStats:
        """How the cache is doing."""
        with self._lock:
            return SoftTokenStats(
                hits=self._hits,
                misses=self._misses,
                bytes_used=self._kept.bytes_used,
                bytes_total=self._kept.most_bytes,
            )

    def close(self) -> None:
        """Encode what waits, then end the thread."""
        with self._lock:
            self._is_closed = True
        self._jobs.put(None)
        self._thread.join()

    # --- any thread -----------------------------------------------------------------------------

    def _request(self, owner: Owner, modality: str, item: Item) -> "_Job":
        """From the cache, from an encoding under way, or from a new one."""
        if modality == EMBEDS:  # soft tokens already, the caller's own
            job = _Job(modality=modality, digest=item.digest, item=item)
            job.result.set_result(item.tensors[EMBEDS])
            return job
        made_from = f"{self._salts[modality]} {item.digest} {owner.scope}"
        seen = _digest(f"seen {made_from}") if modality in self._reads_text else None
        digest = _digest(made_from if item.words is None else f"{made_from} {item.words}")
        with self._lock:
            if self._is_closed:
                raise EngineClosed("the model was closed; load it again")
            if (under_way := self._on_the_way.get(digest)) is not None:
                self._hits += 1
                return under_way
            job = _Job(modality=modality, digest=digest, item=item, seen=seen)
            if (found := self._kept.get(digest)) is not None:
                assert isinstance(found, Tensor), "features are kept under other digests"
                self._hits += 1
                job.result.set_result(found)
                return job
            self._misses += 1
            self._on_the_way[digest] = job
            self._jobs.put(job)
            return job

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        is_open = True
        while is_open:
            jobs, is_open = self._next_jobs()
            for modality in dict.fromkeys(job.modality for job in jobs):
                self._encode([job for job in jobs if job.modality == modality])

    def _next_jobs(self) -> tuple[list[_Job], bool]:
        """What came within the window, and whether more may come."""
        jobs: list[_Job] = []
        deadline = None
        while len(jobs) < self._max_batch:
            try:
                left = None if deadline is None else max(0.0, deadline - monotonic())
                job = self._jobs.get(timeout=left)
            except queue.Empty:
                break
            if job is None:
                return jobs, False
            jobs.append(job)
            deadline = deadline or monotonic() + self._window_s
        return jobs, True

    def _encode(self, jobs: Sequence[_Job]) -> None:
        """Encode media of one modality; where one breaks the batch, each goes alone."""
        try:
            tokens = self._run_model(jobs)
        except Exception as error:  # the thread's edge: one bad medium must not end the others
            if len(jobs) > 1:
                for job in jobs:
                    self._encode([job])
                return
            logger.exception("a medium could not be encoded (%s)", jobs[0].modality)
            with self._lock:
                del self._on_the_way[jobs[0].digest]
            jobs[0].result.set_exception(error)
            return
        for job, own in zip(jobs, tokens, strict=True):
            with self._lock:
                del self._on_the_way[job.digest]
                self._kept.keep(job.digest, own, num_bytes=own.nbytes)
            job.result.set_result(own)

    @torch.no_grad()
    def _run_model(self, jobs: Sequence[_Job]) -> list[Tensor]:
        """Soft tokens `[Q, D_llm]` of each medium."""
        modality, model = jobs[0].modality, self._model
        items = [job.item for job in jobs]
        if modality in self._reads_text:
            features = replace(self._seen(jobs), words=words_of(items), ticks=ticks_of(items))
        else:
            features = self._encoded(modality, items)
        made = model.align({modality: features})[modality]
        counts = iter(made.counts())
        lengths = [sum(islice(counts, num_windows(item))) for item in items]
        tokens = torch.split(made.flat().cpu(), lengths)
        return [own.clone() for own in tokens]  # not views: each must be freed by itself

    def _encoded(self, modality: str, items: Sequence[Item]) -> Features:
        """Features of media, each encoded."""
        inputs = stack_inputs([item.tensors for item in items]).to(self._model.device)
        inputs = replace(inputs, layouts=layouts_of(items), ticks=ticks_of(items))
        return self._model.encode({modality: inputs})[modality]

    def _seen(self, jobs: Sequence[_Job]) -> Features:
        """Features of media, each encoded unless that was done before, beside whatever words."""
        found: dict[str, Features] = {}
        missing: dict[str, Item] = {}
        for job in jobs:
            assert job.seen is not None, "its aligner reads words"
            with self._lock:
                kept = self._kept.get(job.seen)
            if isinstance(kept, Features):
                found[job.seen] = kept
            else:
                missing[job.seen] = job.item
        if missing:
            made = self._encoded(jobs[0].modality, list(missing.values())).to("cpu")
            for own, digest in zip(made.each(), missing, strict=True):
                found[digest] = own
                with self._lock:
                    self._kept.keep(digest, own, num_bytes=own.nbytes)
        features = stack_features([found[job.seen] for job in jobs if job.seen is not None])
        return features.to(self._model.device)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _salt(model: AnyMAL, modality: str) -> str:
    """What soft tokens depend on besides the medium: encoder, aligner, and its weights."""
    aligner = model.aligners[modality]
    encoder = cast(Encoder, model.encoders[modality])
    return f"{modality} {encoder.fingerprint} {module_digest(aligner)}"
