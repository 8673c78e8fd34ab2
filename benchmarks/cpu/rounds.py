"""Contenders take turns at every workload; medians over the rounds, and their ratios.

Does not start them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Protocol

from benchmarks.cpu.contenders import GENERATE, LLAMA, OURS
from benchmarks.cpu.worker import Answered
from benchmarks.cpu.workloads import WORKLOADS, Workload
from benchmarks.turns import probe_ms, rotated, unsteady

_WARM_UP = 2  # new tokens of a turn that is not counted


class CanAnswer(Protocol):
    """A contender."""

    def answer(self, prompts: Sequence[Sequence[int]], num_new: int) -> list[Answered]:
        """See `benchmarks.cpu.worker.Answer`."""
        ...


def side_by_side(
    contenders: Mapping[str, CanAnswer],
    *,
    vocab_size: int,
    rounds: int,
    seconds: float,
    workloads: Mapping[str, Workload] = WORKLOADS,
) -> Iterator[list[dict[str, Any]]]:
    """Measure; a short round before the first warms up.

    Args:
        contenders: By name.
        vocab_size: Prompts are made of ids below it.
        rounds: Most turns of each at each workload.
        seconds: No round begins that would probably end later.
        workloads: By the name of their figure.

    Yields:
        Rows of all turns so far, after each round.
    """
    begun = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for number in range(rounds + 1):
        start = time.perf_counter()
        for figure, workload in workloads.items():
            prompts = workload.prompts(vocab_size, seed=f"{figure} {number}")
            for name in rotated(list(contenders), number):
                probe = probe_ms()
                answered = contenders[name].answer(
                    prompts, workload.num_new if number else _WARM_UP
                )
                row = {
                    "round": number,
                    "figure": figure,
                    "contender": name,
                    "tokens_per_s": round(workload.rate(prompts, answered), 2),
                    "first_ids": [each.ids[0] for each in answered],
                    "probe_ms": probe,
                }
                rows += [row] if number else []
        if number:
            yield rows
        now = time.perf_counter()
        if number and now - begun + (now - start) > seconds:
            break


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians, and what they come to.

    Args:
        rows: From `side_by_side`.

    Returns:
        By contender, its figures in tokens a second and how many of its answers begin as those of
        this engine in fp32; the precision of this engine that decodes fastest; how many turns
        were disturbed.
    """
    names = dict.fromkeys(row["contender"] for row in rows)
    found = {name: _figures([row for row in rows if row["contender"] == name]) for name in names}
    first = {name: _first_ids(rows, name) for name in names}
    for name, expected in ((name, first.get(OURS["fp32"])) for name in names):
        if expected is not None:
            same = sum(a == b for a, b in zip(first[name], expected, strict=True))
            found[name]["begins_as_fp32"] = f"{same} of {len(expected)}"
    own = [precision for precision, name in OURS.items() if name in found]
    return {
        "contenders": found,
        "best_precision": max(own, key=lambda each: found[OURS[each]]["decode_1"]),
        "rounds": max(row["round"] for row in rows),
        "unsteady_turns": unsteady([row["probe_ms"] for row in rows]),
    }


def last_line(found: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that are promised; None where llama.cpp or fp32 did not take part.

    Args:
        found: From `summary`.

    Returns:
        Ratios of medians, all of them of the precision that decodes one stream fastest.
    """
    contenders = found["contenders"]
    best = contenders[OURS[found["best_precision"]]]

    def ratio(figure: str, other: str) -> float | None:
        return round(best[figure] / contenders[other][figure], 3) if other in contenders else None

    return {
        "precision": found["best_precision"],
        "decode_1_vs_today_fp32": ratio("decode_1", OURS["fp32"]),
        "decode_1_vs_llama_cpp": ratio("decode_1", LLAMA),
        "throughput_8_vs_llama_cpp": ratio("throughput_8", LLAMA),
        "prefill_vs_llama_cpp": ratio("prefill", LLAMA),
        "decode_1_vs_generate": ratio("decode_1", GENERATE),
    }


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rates: dict[str, list[float]] = {}
    for row in rows:
        rates.setdefault(row["figure"], []).append(row["tokens_per_s"])
    return {figure: round(median(each), 2) for figure, each in rates.items()}


def _first_ids(rows: Sequence[Mapping[str, Any]], name: str) -> list[int]:
    """First tokens of all answers, in an order that is the same for every contender."""
    own = sorted(
        (row["round"], row["figure"], row["first_ids"]) for row in rows if row["contender"] == name
    )
    return [id_ for _, _, ids in own for id_ in ids]
