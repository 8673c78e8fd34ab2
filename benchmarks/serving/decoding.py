"""What it costs to decode in another process: photographs there and here, in turn; JSON out.

    python -m benchmarks.serving.decoding --turns 200

Measures the hand-over only: no encoder and no service. The pixels are read, so that memory which
is only mapped counts too.
"""

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing

import numpy as np
from PIL import Image

from anymal.decoding.medium import Decode, decode_medium
from anymal.decoding.pool import DecoderPool
from anymal.media.limits import Limits
from anymal.media.source import Source
from anymal.modality import Medium

SIZES = {"64 x 64": (64, 64), "1000 x 750": (1000, 750), "4000 x 3000": (4000, 3000)}


def photograph(width: int, height: int) -> Medium:
    """Slow waves with some noise, which JPEG finds as hard as a photograph."""
    across, down = np.linspace(0, 20, width), np.linspace(0, 20, height)
    waves = 128 + 80 * np.sin(across)[None, :, None] * np.cos(down)[:, None, None]
    noise = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    file = io.BytesIO()
    Image.fromarray((waves + noise).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return Medium(source=Source(name="photograph.jpg", data=file.getvalue()))


def milliseconds(decode: Decode, medium: Medium) -> float:
    """How long one takes."""
    begun = time.perf_counter()
    decode(medium, None, modality="image", limits=Limits()).pixels.sum()
    return (time.perf_counter() - begun) * 1e3


def compare(pool: DecoderPool, medium: Medium, *, turns: int) -> dict[str, float]:
    """Medians of both ways, and of their difference within a turn."""
    ways: tuple[Callable[..., float], ...] = (decode_medium, pool.decode)
    times = [[milliseconds(way, medium) for way in ways] for _ in range(turns + 1)][1:]
    here, there = (statistics.median(column) for column in zip(*times, strict=True))
    cost = statistics.median(other - own for own, other in times)
    return {"here_ms": round(here, 2), "there_ms": round(there, 2), "cost_ms": round(cost, 2)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    turns = parser.parse_args().turns
    with closing(DecoderPool(1)) as pool:
        figures = {
            name: compare(pool, photograph(*size), turns=turns) for name, size in SIZES.items()
        }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
