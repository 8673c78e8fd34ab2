"""This project's engine as a contender, its language model merged at one precision.

Does not measure. Without tokenising: every id is a piece of the answer.
"""

import argparse
import threading
import time
from collections.abc import Sequence

import torch

from anymal.engine.batching import BatchingEngine
from anymal.engine.events import Event, Failed, TextDelta
from anymal.engine.packed import PackedRunner
from anymal.engine.prompt import Prompt, TokenSpan
from anymal.engine.sampling import Sampling
from anymal.llm.load import load_llm
from anymal.llm.merge_lora import merge
from benchmarks.cpu.worker import Answer, Answered, work
from benchmarks.serving.shape import Numbers


def by_engine(model: str, *, precision: str, context: int) -> tuple[Answer, BatchingEngine]:
    """The engine, as the service runs it on a CPU.

    Args:
        model: Folder of the language model.
        precision: One of `MERGED_PRECISIONS`.
        context: Most positions of a stream.

    Returns:
        The contender, and the engine, which the caller closes.
    """
    llm = merge(load_llm(model, precision="fp32"), precision=precision)
    engine = BatchingEngine(PackedRunner(llm, vocabulary=Numbers(), stop_ids=(), context=context))

    def answer(prompts: Sequence[Sequence[int]], num_new: int) -> list[Answered]:
        sampling = Sampling(max_tokens=num_new, ignore_eos=True)
        begun = time.perf_counter()
        streams = [_Stream(begun) for _ in prompts]
        for ids, stream in zip(prompts, streams, strict=True):
            engine.start(Prompt(spans=(TokenSpan(ids=tuple(ids)),)), sampling, stream.hear)
        return [stream.answered() for stream in streams]

    return answer, engine


class _Stream:
    """Collects the events of one answer."""

    def __init__(self, begun: float) -> None:
        self._begun = begun
        self._moments: list[float] = []
        self._texts: list[str] = []
        self._error: Exception | None = None
        self._has_ended = threading.Event()

    def hear(self, event: Event) -> None:
        match event:
            case TextDelta(text=text):
                self._moments.append(time.perf_counter() - self._begun)
                self._texts.append(text)
                return
            case Failed(error=error):
                self._error = error
        self._has_ended.set()

    def answered(self) -> Answered:
        self._has_ended.wait()
        if self._error is not None:
            raise self._error
        ids = [int(word) for word in "".join(self._texts).split()]
        return Answered(moments=self._moments, ids=ids)


def main() -> None:
    """Answer turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--precision", required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, precision, context = options.model, options.precision, options.context
    work(lambda: by_engine(model, precision=precision, context=context)[0])


if __name__ == "__main__":
    main()
