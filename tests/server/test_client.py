"""The client against the app itself: every path, and everything that its page shows."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from fastapi import FastAPI
from PIL import Image

from anymal.client import AsyncClient, Client, errors
from anymal.errors import AnymalError

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
WALK = "t_s,ax,ay,az\n0.0,0,0,9.8\n0.1,0,0,9.8\n"


@pytest.fixture
def make_async(make_app: Callable[..., FastAPI]) -> Callable[..., AsyncClient]:
    def build(**settings: Any) -> AsyncClient:
        transport = httpx.ASGITransport(make_app(**settings))
        return AsyncClient(base_url="http://anymal", transport=transport, max_retries=0)

    return build


def test_whole_answer(client: Client, engine: Any) -> None:
    answer = client.ask(
        "Gr\xfc\xdfe", image=b"x", logprobs=2, top_k=7, frequency_penalty=0.5, model="anymal-fake"
    )
    assert answer.text == "Gr\xfc\xdfe +1"
    assert [each.token for each in answer.logprobs or ()] == list(answer.text)
    assert (answer.logprobs or ())[0].top_logprobs[0].logprob == -0.5
    assert answer.usage.prompt_tokens_details["image_tokens"] == 32
    assert len(answer.request_id or "") == 32
    sampling = engine.last_sampling
    assert (sampling.top_k, sampling.frequency_penalty, sampling.logprobs) == (7, 0.5, 2)


def test_stream_is_the_same_answer(client: Client) -> None:
    stream = client.ask("Gr\xfc\xdfe", stream=True, logprobs=1)
    assert "".join(stream) == "Gr\xfc\xdfe"
    whole = client.ask("Gr\xfc\xdfe", logprobs=1)
    assert (stream.answer.text, stream.answer.logprobs) == (whole.text, whole.logprobs)


def test_soft_tokens(client: Client) -> None:
    aligned = client.align(image=b"x")
    wanted = (torch.arange(32 * 4).reshape(32, 4) / 7).numpy()
    assert np.array_equal(aligned.embeds, wanted)
    assert (aligned.modality, aligned.model) == ("image", "anymal-fake")
    with pytest.raises(errors.ForbiddenError):
        client.chat([{"role": "user", "content": [aligned.part.model_dump()]}])


def test_what_is_served(client: Client) -> None:
    assert [card.id for card in client.models()] == ["anymal-fake"]
    assert client.is_ready()


@pytest.mark.parametrize(
    ("ask", "kind", "status"),
    [
        ({"question": "corrupt"}, errors.BadRequestError, 400),
        ({"question": "too long"}, errors.BadRequestError, 400),
        ({"question": "too large"}, errors.TooLargeError, 413),
        ({"question": "x", "model": "other"}, errors.NotFoundError, 404),
        ({"question": "x", "temperature": 9.0}, errors.BadRequestError, 400),
        ({"question": "x", "extra": {"mood": "good"}}, errors.BadRequestError, 400),
        ({"question": "boom"}, errors.ServerError, 500),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_refusals(
    make_async: Callable[..., AsyncClient], ask: Any, kind: type, status: int, stream: bool
) -> None:
    async def answer() -> None:
        found: Any = await client.ask(**ask, stream=stream)
        await found.answer()

    async with make_async() as client:
        with pytest.raises(kind) as refused:
            await answer()
    assert refused.value.status == status
    assert len(refused.value.request_id) == 32


async def test_async_client(make_async: Callable[..., AsyncClient]) -> None:
    async with make_async() as client:
        assert (await client.ask("Gr\xfc\xdfe", image=b"x")).text == "Gr\xfc\xdfe +1"
        async with await client.ask("Gr\xfc\xdfe", stream=True) as stream:
            assert "".join([piece async for piece in stream]) == "Gr\xfc\xdfe"
        assert (await client.align(image=b"x")).embeds.shape == (32, 4)
        assert [card.id for card in await client.models()] == ["anymal-fake"]
        assert await client.is_ready()


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


def test_large_upload_over_a_socket(url: str) -> None:
    told: list[tuple[int, int]] = []
    with Client(base_url=url) as client:
        film = np.random.default_rng(0).integers(0, 256, (4, 256, 256, 3), dtype=np.uint8)
        answer = client.ask(
            "What?", video=(film, 4), on_upload=lambda sent, total: told.append((sent, total))
        )
    assert answer.text == "What? +1"
    assert told[-1][0] == told[-1][1] > film.size
    assert len(told) > 10


def test_examples_of_the_page_run(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANYMAL_BASE_URL", url)
    Image.new("RGB", (8, 8), "red").save("scene.png")
    Path("walk.csv").write_text(WALK)
    names: dict[str, Any] = {}
    assert len(EXAMPLES) >= 8
    for example in EXAMPLES:
        with (
            pytest.raises(AnymalError, match="reward")  # which the model of these tests reads not
            if ".score(" in example
            else nullcontext()
        ):
            exec(example.replace('"http://127.0.0.1:8000"', repr(url)), names)
    said = capsys.readouterr().out
    assert "What is in the picture? +1stop" in said
    assert "['What is in the picture? +1', 'What is the person doing? +1']" in said
    assert "(32, 4) float32 image" in said
