"""`anymal` with one thing that goes wrong on rank 1; torchrun starts it as it starts `anymal`.

The variable FAULT names what; without it nothing does.
"""

import os
import signal
import sys
from typing import Any

import torch

from anymal.cli.main import main
from train import loop

FIRST_ATTEMPT = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"


def break_rank_1(fault: str) -> None:
    """Let passes fail on rank 1."""
    if os.environ["RANK"] != "1":
        return
    learn, number = loop._learn, 0

    def failing(*arguments: Any) -> loop.Accumulated:
        nonlocal number
        number += 1
        if number == 3 and fault == "killed" and FIRST_ATTEMPT:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 3 and fault == "memory":
            raise torch.OutOfMemoryError("as if")
        return learn(*arguments)

    if fault == "disagrees":
        sys.argv.append("seed=1")
        return
    loop._learn = failing  # type: ignore[assignment]


if __name__ == "__main__":
    torch.set_num_threads(1)
    if "FAULT" in os.environ:
        break_rank_1(os.environ["FAULT"])
    main()
