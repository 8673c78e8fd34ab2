"""llama.cpp as a contender: all streams in one batch, as its server's parallel slots run them.

Does not measure, and goes around its server's HTTP and tokeniser, which no contender here has. Runs
wherever `llama_cpp` can be imported, so it imports nothing else of this project but `worker.py`.
"""

import argparse
import time
from collections.abc import Sequence

import llama_cpp
import numpy as np

from benchmarks.cpu.worker import Answer, Answered, work


def by_llama(gguf: str, *, num_streams: int, context: int, threads: int) -> Answer:
    """llama.cpp.

    Args:
        gguf: The language model's file.
        num_streams: Most streams at once.
        context: Most positions of a stream.
        threads: For prompts and for answers.

    Returns:
        The contender.

    Raises:
        ValueError: llama.cpp cannot read the file.
    """
    model = llama_cpp.llama_model_load_from_file(
        gguf.encode(), llama_cpp.llama_model_default_params()
    )
    if not model:
        raise ValueError(f"llama.cpp cannot load {gguf!r}; give a GGUF file of the same model")
    vocabulary = llama_cpp.llama_model_get_vocab(model)
    num_words = llama_cpp.llama_vocab_n_tokens(vocabulary)
    settings = llama_cpp.llama_context_default_params()
    num_positions = num_streams * context
    settings.n_ctx, settings.n_seq_max = num_positions, num_streams
    settings.n_batch = num_positions  # a turn's prompts in one call, computed 512 at a time
    settings.n_threads = settings.n_threads_batch = threads
    state = llama_cpp.llama_init_from_model(model, settings)
    batch = llama_cpp.llama_batch_init(num_positions, 0, 1)

    def step(rows: Sequence[Sequence[int]], start: int) -> list[int]:
        """Run tokens of each stream from one position on; returns each stream's next token."""
        last, count = [], 0
        for stream, ids in enumerate(rows):
            for offset, id_ in enumerate(ids):
                batch.token[count], batch.pos[count] = id_, start + offset
                batch.n_seq_id[count], batch.seq_id[count][0] = 1, stream
                batch.logits[count] = offset == len(ids) - 1
                count += 1
            last.append(count - 1)
        batch.n_tokens = count
        if status := llama_cpp.llama_decode(state, batch):
            raise RuntimeError(f"llama_decode returned {status}")
        scores = (llama_cpp.llama_get_logits_ith(state, row) for row in last)
        return [int(np.ctypeslib.as_array(each, (num_words,)).argmax()) for each in scores]

    def answer(prompts: Sequence[Sequence[int]], num_new: int) -> list[Answered]:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(state), True)
        begun, length = time.perf_counter(), len(prompts[0])  # all prompts of one length
        moments, steps = [], []
        rows: Sequence[Sequence[int]] = prompts
        for number in range(num_new):
            steps.append(step(rows, length + number - 1 if number else 0))
            moments.append(time.perf_counter() - begun)
            rows = [[id_] for id_ in steps[-1]]
        return [Answered(moments=moments, ids=list(ids)) for ids in zip(*steps, strict=True)]

    return answer


def main() -> None:
    """Answer turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gguf")
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    gguf, streams = options.gguf, options.streams
    context, threads = options.context, options.threads
    work(lambda: by_llama(gguf, num_streams=streams, context=context, threads=threads))


if __name__ == "__main__":
    main()
