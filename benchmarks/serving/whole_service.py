"""The whole service on the wide shape: pictures over HTTP, and the second question about one.

Eight clients arrive one after the other, each with a picture that nobody sent before; then pictures
are sent a second time with another question, whose time to the first piece is compared with that of
the first. The encoder is a ViT-B/16; see `serve_shape`.
"""

import asyncio
import base64
import io
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from benchmarks.serving.figures import figures, ttft_of
from benchmarks.serving.line import Exchange, Line
from benchmarks.serving.load import closed_loop, medians
from benchmarks.serving.mix import Asked
from benchmarks.serving.process import anymal_serve, served
from benchmarks.serving.shape import NUM_CLIENTS, NUM_NEW, STAGGER_S

NUM_PAIRS = 2
_FIRST = "What is in the picture, and where does it stand?"
_SECOND = "Which colour is it?"


def whole_service(*, bundle: Path, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure.

    Args:
        bundle: Of the wide shape.
        rounds: How often.
        folder: For the service's log.

    Returns:
        Figures of the clients, and of first and second questions.
    """
    pictures = iter(range(10**6))
    clients: list[dict[str, Any]] = []
    firsts: list[float] = []
    seconds: list[float] = []
    command = anymal_serve("--bundle", str(bundle), "--precision", "fp32")
    with served(command, log=folder / "service.log") as service:
        asyncio.run(_pairs(service.url, [next(pictures)]))  # warms up
        for _ in range(rounds):
            asked = [_asked(next(pictures), _FIRST) for _ in range(NUM_CLIENTS)]
            run = closed_loop(service.url, asked, concurrency=NUM_CLIENTS, stagger_s=STAGGER_S)
            clients.append(figures(asyncio.run(run)))
            numbers = [next(pictures) for _ in range(NUM_PAIRS)]
            for first, second in asyncio.run(_pairs(service.url, numbers)):
                firsts.append(ttft_of(first))
                seconds.append(ttft_of(second))
    ttft, again = statistics.median(firsts), statistics.median(seconds)
    return {
        "clients": {"median": medians(clients), "rounds": clients},
        "summary": {
            "first_question_ttft_ms": round(ttft, 1),
            "second_question_ttft_ms": round(again, 1),
            "repeat_ttft_ratio": round(again / ttft, 3),
        },
    }


async def _pairs(url: str, numbers: list[int]) -> list[tuple[Exchange, Exchange]]:
    """Two questions about each picture, one after the other; nobody else asks anything."""
    line = Line(url)
    pairs = []
    for number in numbers:
        answers = []
        for question in (_FIRST, _SECOND):
            exchange = await line.ask(_asked(number, question).body)
            if exchange.error is not None:
                raise RuntimeError(f"the service did not answer: {exchange.error}")
            answers.append(exchange)
        pairs.append((answers[0], answers[1]))
    await line.close()
    return pairs


def _asked(number: int, question: str) -> Asked:
    """A question about a picture of noise, another for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "png")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    parts = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": question},
    ]
    body = {
        "messages": [{"role": "user", "content": parts}],
        "max_tokens": NUM_NEW,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return Asked(kind="image", body=json.dumps(body).encode())
