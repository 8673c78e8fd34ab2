"""What goes to a decoding process and what comes back; knows neither end."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anymal.decoding.shared import Packed
from anymal.media.limits import Limits
from anymal.modality import Medium


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a decoding process may use.

    Attributes:
        memory_bytes: Memory beyond what it holds when it is ready; enforced on Linux.
        cpu_seconds: Processor time of one medium, all its threads together.
    """

    memory_bytes: int = 2 * 2**30
    cpu_seconds: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A medium to decode; see `anymal.decoding.medium.decode_hinted`."""

    medium: Medium
    limits: Limits
    modality: str
    hints: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A warning: what `warnings.warn_explicit` takes."""

    message: str
    category: type[Warning]
    filename: str
    lineno: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a job.

    Attributes:
        signal: What was decoded; its arrays follow in memory of their own. None if it failed.
        error: Why it failed.
        ran_out_of_memory: Whether that was the limit of memory.
        places: Where an unexpected error was raised: modules, lines and functions.
        records: Lines of the log.
        warned: Warnings.
    """

    signal: Packed | None = None
    error: Exception | None = None
    ran_out_of_memory: bool = False
    places: tuple[str, ...] = ()
    records: tuple[logging.LogRecord, ...] = ()
    warned: tuple[Warned, ...] = ()
