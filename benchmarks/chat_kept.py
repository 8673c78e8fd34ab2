"""Whether a trained language model still talks as it did before: prompts without any medium.

The language model of a bundle answers each prompt without LoRA. Then the log-probability of that
reply is measured without and with LoRA, and some answers are shown side by side.

    .venv/bin/python -m benchmarks.chat_kept BUNDLE --out benchmarks/results/chat_kept.json
"""

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from anymal.assemble import Assembled
from anymal.bundle.load import load_bundle
from anymal.collate import collate
from anymal.engine.sampling import Sampling
from anymal.evaluation.intervals import paired_difference
from anymal.sample import IGNORED
from train.replies.speaker import AT_A_TIME, Said, Speaker
from train.replies.write import read_prompts

PROMPTS = Path(__file__).parents[1] / "train" / "recipes" / "laptop" / "chat.txt"
TOKENS = 96
SHOWN = 20


def chat_kept(
    assembled: Assembled,
    prompts: Sequence[str],
    *,
    tokens: int = TOKENS,
    shown: int = SHOWN,
    tick: Callable[[int], object] = lambda count: None,
) -> dict[str, Any]:
    """Measure.

    Args:
        assembled: A bundle with LoRA that is not merged.
        prompts: A user's words each.
        tokens: Most tokens of a reply; a longer one is cut, and its end is not learnt.
        shown: How many answers with LoRA to return.
        tick: Called with how many more prompts were answered.

    Returns:
        The mean log-probability per token of the base model's replies, without and with LoRA; the
        change by prompt, with its 95% interval; and answers side by side.
    """
    llm = assembled.model.llm
    llm.use_lora(False)
    base = _replies(assembled, prompts, tokens, tick)
    kept = [(prompt, said) for prompt, said in zip(prompts, base, strict=True) if said.text]
    before = [_log_probability(assembled, *each) for each in kept]
    llm.use_lora(True)
    after = [_log_probability(assembled, *each) for each in kept]
    trained = _replies(assembled, prompts[:shown], tokens, tick)
    count = sum(number for _, number in before)
    each = [[total / number for total, number in totals] for totals in (after, before)]
    return {
        "prompts": len(prompts),
        "replies": len(kept),
        "tokens": count,
        "log_probability_before": sum(total for total, _ in before) / count,
        "log_probability_after": sum(total for total, _ in after) / count,
        "change_by_prompt": paired_difference(*each).model_dump(),
        "answers": [
            {"prompt": prompt, "before": one.text, "after": other.text}
            for prompt, one, other in zip(prompts, base, trained, strict=False)
        ],
    }


def _replies(
    assembled: Assembled, prompts: Sequence[str], tokens: int, tick: Callable[[int], object]
) -> list[Said]:
    """What the language model says, as it stands now."""
    processor, said = assembled.processor, []
    sampling = Sampling(max_tokens=tokens)
    llm, template = assembled.model.llm, processor.template
    with closing(Speaker(llm, template, max_tokens=processor.max_tokens)) as speaker:
        for start in range(0, len(prompts), AT_A_TIME):
            some = prompts[start : start + AT_A_TIME]
            said += speaker.reply(some, [sampling] * len(some))
            tick(len(some))
    return said


@torch.no_grad()
def _log_probability(assembled: Assembled, prompt: str, said: Said) -> tuple[float, int]:
    """Of a reply, and how many tokens it has, with the one that ends it if it is whole."""
    sample = assembled.processor(
        {
            "messages": [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": said.text},
            ]
        }
    )
    if not said.is_whole:
        # It was cut: the model did not say that it ends here.
        learnt = torch.nonzero(sample.labels != IGNORED).flatten()
        sample.labels[learnt[-1]] = IGNORED
    loss = assembled.model.loss(collate([sample], pad_id=assembled.processor.pad_id))
    return -float(loss.total), int(loss.count)


def as_table(results: dict[str, Any]) -> Table:
    """The answers as rows."""
    table = Table("prompt", "before", "after", show_lines=True)
    for row in results["answers"]:
        table.add_row(row["prompt"], row["before"], row["after"])
    return table


def main() -> None:
    """Measure, show the answers, and write the figures."""
    parser = argparse.ArgumentParser(description="Measure how a language model's talk changed.")
    parser.add_argument("bundle", type=Path, help="with LoRA")
    parser.add_argument("--prompts", type=Path, default=PROMPTS, help="a prompt on each line")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    prompts = read_prompts(options.prompts)
    assembled = load_bundle(options.bundle)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("prompts", total=len(prompts) + min(SHOWN, len(prompts)))
        results = chat_kept(assembled, prompts, tick=lambda count: progress.advance(bar, count))
    console = Console()
    console.print(as_table(results))
    told = {name: value for name, value in results.items() if name != "answers"}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    console.print_json(data=told)


if __name__ == "__main__":
    main()
