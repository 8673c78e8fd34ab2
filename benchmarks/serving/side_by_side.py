"""Engines side by side on one shape: eight clients arrive one after the other, each asks once.

Contenders take turns in rounds, with new prompts in every round; a matrix product that never
changes runs before each turn, and shows where the machine was busy with something else. Does not go
through HTTP: `serve_service` does.

    .venv/bin/python -m benchmarks.serving.side_by_side --rounds 5 --out runs/side-by-side.json
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from anymal.llm.merge_lora import merge
from benchmarks.serving.contenders import Answers, Way, by_batches, by_engine, by_generate
from benchmarks.serving.figures import figures
from benchmarks.serving.load import medians
from benchmarks.serving.rounds import run_in_rounds
from benchmarks.serving.shape import (
    NUM_CLIENTS,
    STAGGER_S,
    as_llm,
    questions,
    twin,
    wide_llama,
)
from benchmarks.turns import probe_ms, rotated, unsteady

ENGINE, INT8, GENERATE, BATCHES = "engine", "engine int8", "generate", "static batches"


def side_by_side(
    *, rounds: int, tick: Callable[[str], object] = lambda name: None
) -> dict[str, Any]:
    """Measure.

    Args:
        rounds: Turns of each contender, after one that warms up.
        tick: Called after each turn.

    Returns:
        Figures by contender, and what the rounds show together under `summary`.
    """
    model = wide_llama()
    found: dict[str, list[dict[str, Any]]] = {}
    answers: dict[str, list[Answers]] = {}
    with ExitStack() as stack:
        ways = _ways(model, stack)
        for number in range(rounds + 1):
            asked = questions(model, NUM_CLIENTS if number else 2, seed=number)
            for name in rotated(list(ways), number):
                probe = probe_ms()
                answered = ways[name](asked, STAGGER_S)
                tick(name)
                if number == 0:  # warms up
                    continue
                row = figures([exchange for exchange, _ in answered])
                found.setdefault(name, []).append({**row, "probe_ms": probe})
                answers.setdefault(name, []).append(answered)
    contenders = {name: {"median": medians(found[name]), "rounds": found[name]} for name in ways}
    return {"contenders": contenders, "summary": summary(found, answers)}


def _ways(model: Any, stack: ExitStack) -> dict[str, Way]:
    """The contenders, all on the same weights, as the service holds them; int8 rounds its own."""
    engine, running = by_engine(merge(as_llm(twin(model)), precision="fp32"))
    stack.callback(running.close)
    rounded, running_too = by_engine(merge(as_llm(twin(model)), precision="int8"))
    stack.callback(running_too.close)
    return {
        ENGINE: engine,
        GENERATE: by_generate(model),
        BATCHES: by_batches(model),
        INT8: rounded,
    }


def summary(
    found: dict[str, list[dict[str, Any]]], answers: dict[str, list[Answers]]
) -> dict[str, Any]:
    """Ratios of the rounds' medians, and whether the same was said."""
    median = {name: medians(rows) for name, rows in found.items()}
    tokens = {name: row["output_tokens_per_s"] for name, row in median.items()}
    itl = median[ENGINE]["itl_ms"]
    said, expected = (
        [ids for answered in answers[name] for _, ids in answered] for name in (ENGINE, GENERATE)
    )
    probes = [row["probe_ms"] for rows in found.values() for row in rows]
    return {
        "same_precision": {
            "throughput_vs_generate": round(tokens[ENGINE] / tokens[GENERATE], 2),
            "throughput_vs_static_batches": round(tokens[ENGINE] / tokens[BATCHES], 2),
            "ttft_p50_vs_generate": round(
                median[ENGINE]["ttft_ms"]["p50"] / median[GENERATE]["ttft_ms"]["p50"], 3
            ),
        },
        "int8": {"throughput_vs_generate": round(tokens[INT8] / tokens[GENERATE], 2)},
        "itl_p99_over_p50": round(itl["p99"] / itl["p50"], 2),
        "same_answers": f"{sum(a == b for a, b in zip(said, expected, strict=True))} "
        f"of {len(expected)}",
        "unsteady_turns": unsteady(probes),
    }


def num_turns(rounds: int) -> int:
    """How often `tick` will be called."""
    return 4 * (rounds + 1)


def main() -> None:
    """Measure, show the table, and write the figures."""
    run_in_rounds("Compare engines on one shape.", side_by_side, num_turns)


if __name__ == "__main__":
    main()
