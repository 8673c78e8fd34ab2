"""The `generate` of transformers as a contender, in fp32; several streams are one static batch.

Does not measure.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks.cpu.worker import Answer, Answered, work
from benchmarks.serving.contenders import Moments


def by_generate(model: str) -> Answer:
    """`generate`.

    Args:
        model: Folder of the language model.

    Returns:
        The contender.
    """
    loaded: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    loaded.generation_config.eos_token_id = None  # answers have one length

    def answer(prompts: Sequence[Sequence[int]], num_new: int) -> list[Answered]:
        ids = torch.tensor(prompts)  # [B, T], all prompts of one length
        moments, begun = Moments(), time.perf_counter()
        made = loaded.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=num_new,
            do_sample=False,
            pad_token_id=0,
            streamer=moments,
        )
        found = [moment - begun for moment in moments.found]
        new = made[:, ids.shape[1] :].tolist()
        return [Answered(moments=found, ids=row) for row in new]

    return answer


def main() -> None:
    """Answer turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    work(lambda: by_generate(options.model))


if __name__ == "__main__":
    main()
