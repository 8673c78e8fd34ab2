"""Media beside the row and media in it: the same language model, eight clients, one picture each.

In the row, a picture takes 64 of 128 positions. Beside it, the same 64 soft tokens take none, and
blocks of gated cross-attention before every fourth layer read them, as in OpenFlamingo-9B. Prints
one line of JSON.

    .venv/bin/python -m benchmarks.serving.beside --rounds 5
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch

from anymal.engine.prompt import EmbeddingSpan, Prompt, SideSpan, Span
from anymal.llm.beside import decoder_sizes, let_read_beside
from anymal.llm.merge_lora import merge
from anymal.side.cross import Cross
from benchmarks.serving.contenders import Answers, Way, by_engine
from benchmarks.serving.figures import figures
from benchmarks.serving.load import medians
from benchmarks.serving.shape import (
    NUM_CLIENTS,
    NUM_SOFT,
    NUM_TEXT,
    STAGGER_S,
    Question,
    as_llm,
    questions,
    twin,
    wide_llama,
)
from benchmarks.turns import probe_ms, rotated, unsteady

IN_ROW, BESIDE = "in the row", "beside it"
EVERY = 4


def beside(*, rounds: int) -> dict[str, Any]:
    """Measure.

    Args:
        rounds: Turns of each contender, after one that warms up.

    Returns:
        Medians by contender, and how they compare.
    """
    model = wide_llama()
    found: dict[str, list[dict[str, Any]]] = {IN_ROW: [], BESIDE: []}
    with ExitStack() as stack:
        ways = _ways(model, stack)
        for number in range(rounds + 1):
            asked = questions(model, NUM_CLIENTS if number else 2, seed=number)
            for name in rotated(list(ways), number):
                probe = probe_ms()
                answered = ways[name](asked, STAGGER_S)
                if number:  # the first warms up
                    row = figures([exchange for exchange, _ in answered])
                    found[name].append({**row, "probe_ms": probe})
    median = {name: medians(rows) for name, rows in found.items()}
    tokens = {name: row["output_tokens_per_s"] for name, row in median.items()}
    probes = [row["probe_ms"] for rows in found.values() for row in rows]
    return {
        "clients": NUM_CLIENTS,
        "soft_tokens": NUM_SOFT,
        "words": NUM_TEXT,
        "rounds": rounds,
        "output_tokens_per_s": tokens,
        "ttft_ms_p50": {name: row["ttft_ms"]["p50"] for name, row in median.items()},
        "itl_ms_p50": {name: row["itl_ms"]["p50"] for name, row in median.items()},
        "beside_vs_in_row": round(tokens[BESIDE] / tokens[IN_ROW], 3),
        "unsteady_turns": unsteady(probes),
    }


def _ways(model: Any, stack: ExitStack) -> dict[str, Way]:
    """Both contenders, on the same weights of the language model."""
    in_row, running = by_engine(merge(as_llm(twin(model)), precision="fp32"))
    stack.callback(running.close)
    llm = merge(as_llm(twin(model)), precision="fp32")
    torch.manual_seed(1)
    side = Cross(sizes=decoder_sizes(llm), every=EVERY).requires_grad_(False).eval()
    for name, parameter in side.named_parameters():
        if name.endswith(("gate", "gate_fed")):  # shut, they would let nothing through
            parameter.fill_(0.5)
    let_read_beside(llm)
    reading, running_too = by_engine(llm, side=side)
    stack.callback(running_too.close)
    return {IN_ROW: in_row, BESIDE: _moved(reading)}


def _moved(way: Way) -> Way:
    """The same way, the media of its questions beside the row."""

    def answer(asked: Sequence[Question], stagger_s: float) -> Answers:
        return way([_beside(question) for question in asked], stagger_s)

    return answer


def _beside(question: Question) -> Question:
    """The question with its media beside the row."""

    def moved(span: Span) -> Span:
        if not isinstance(span, EmbeddingSpan):
            return span
        return SideSpan(embeddings=span.embeddings, digest=span.digest, kind=span.kind)

    spans = tuple(map(moved, question.prompt.spans))
    return Question(prompt=Prompt(spans=spans), rows=question.rows)


def main() -> None:
    """Measure, and write the line."""
    parser = argparse.ArgumentParser(description="Compare media beside the row with media in it.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sys.stdout.write(json.dumps(beside(rounds=options.rounds)) + "\n")


if __name__ == "__main__":
    main()
