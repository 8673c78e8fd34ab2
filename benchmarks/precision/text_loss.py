"""What few bits cost a language model of your own: its loss on prose, and its greedy choices.

The prose is this repository's documentation, cut into pieces. Each piece is read at once; at every
position the word that the model holds likeliest is compared with that of fp32. Times nothing.

    .venv/bin/python -m benchmarks.precision.text_loss FOLDER --out FILE.json
"""

import argparse
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from anymal.llm.causal_lm import LLM
from anymal.llm.load import load_llm, without_progress
from anymal.llm.merge_lora import merge
from anymal.llm.precision import Precision

PAGES = ("docs/media.md", "docs/recipes.md", "docs/serving.md", "docs/architecture.md")
# Loaded at, merged at; of the first, answers are what the others are compared with.
WAYS: tuple[tuple[Precision, str], ...] = (
    ("fp32", "fp32"),
    ("fp32", "int8"),
    ("fp32", "int4"),
    ("nf4", "fp32"),
    ("nf4", "int8"),
    ("nf4", "int4"),
)


def pieces(llm: LLM, number: int, length: int) -> Tensor:
    """`[number, length]` ids: equally many from each page, from its beginning on."""
    each = number // len(PAGES)
    ids = [llm.tokenizer(Path(page).read_text())["input_ids"] for page in PAGES]
    if short := [page for page, own in zip(PAGES, ids, strict=True) if len(own) < each * length]:
        raise SystemExit(f"{short[0]} is shorter than {each * length} tokens; lower --pieces")
    return torch.tensor([own[: each * length] for own in ids]).view(-1, length)


@torch.no_grad()
def read(llm: LLM, ids: Tensor) -> tuple[float, Tensor]:
    """Mean loss of a word, and the likeliest next word at each position `[number, length - 1]`."""
    positions = torch.arange(ids.shape[1])[None]
    loss, greedy = 0.0, []
    for piece in ids:
        hidden = llm.decode(llm.embed(piece)[None], positions=positions)[0]
        logits = llm.head(hidden[:-1])
        loss += float(F.cross_entropy(logits, piece[1:])) / len(ids)
        greedy.append(logits.argmax(-1))
    return loss, torch.stack(greedy)


def ways(path: str, number: int, length: int) -> Iterator[dict[str, Any]]:
    """One row for each of `WAYS`."""
    reference = torch.empty(0)
    for loaded, precision in WAYS:
        with without_progress():
            llm = merge(load_llm(path, precision=loaded), precision=precision)
        loss, greedy = read(llm, pieces(llm, number, length))
        reference = greedy if not len(reference) else reference
        state = llm.model.state_dict().values()
        held = {tensor.data_ptr(): tensor.nbytes for tensor in state}
        yield {
            "loaded": loaded,
            "held": precision,
            "loss": round(loss, 4),
            "same_greedy_word": round(float((greedy == reference).float().mean()), 4),
            "of": greedy.numel(),
            "megabytes": round(sum(held.values()) / 1e6, 1),
        }


def main() -> None:
    """Measure, and write the figures after every way."""
    parser = argparse.ArgumentParser(description="Compare precisions on prose.")
    parser.add_argument("model", help="Hub id or folder of a causal language model")
    parser.add_argument("--pieces", type=int, default=100)
    parser.add_argument("--length", type=int, default=64, help="tokens of a piece")
    parser.add_argument("--note", default="", help="kept in the file, such as what the weights are")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    name = {"model": Path(options.model).name, "note": options.note, "torch": version("torch")}
    rows: list[dict[str, Any]] = []
    for row in ways(options.model, options.pieces, options.length):
        rows.append(row)
        options.out.write_text(json.dumps({**name, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
