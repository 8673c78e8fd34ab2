"""Soft tokens arrive as numpy arrays, whatever the service computes in."""

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.torch
import torch

from anymal.client import AsyncClient, Client
from anymal.client.errors import ServerError
from anymal.errors import MediaUnsupported

EMBEDS = torch.linspace(-3, 3, 24).reshape(4, 6)


def reply(data: bytes, **more: Any) -> dict[str, Any]:
    embeds = base64.b64encode(data).decode()
    about = {"model": "m", "modality": "imu", "shape": [4, 6], "embeds": embeds}
    return {"object": "soft_tokens", **about, **more}


def transport(body: dict[str, Any], seen: list[Any] | None = None) -> httpx.MockTransport:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/align"
        if seen is not None:
            seen.append(json.loads(request.content))
        return httpx.Response(200, json=body, headers={"x-request-id": "seven"})

    return httpx.MockTransport(handler)


@pytest.mark.parametrize(
    ("dtype", "found"),
    [
        (torch.float64, np.float64),
        (torch.float32, np.float32),
        (torch.float16, np.float16),
        (torch.bfloat16, np.float32),
    ],
)
async def test_numbers_are_the_services(dtype: torch.dtype, found: type) -> None:
    tensor = EMBEDS.to(dtype)
    # With more than the one tensor in the file, so that offsets count.
    data = safetensors.torch.save({"another": torch.ones(3, dtype=dtype), "embeds": tensor})
    with Client(base_url="http://anymal", transport=transport(reply(data))) as client:
        aligned = client.align(imu=b"x")
    assert aligned.embeds.dtype == found
    assert np.array_equal(aligned.embeds, tensor.to(torch.float64).numpy())
    assert (aligned.modality, aligned.model, aligned.request_id) == ("imu", "m", "seven")
    assert base64.b64decode(aligned.part.prompt_embeds.data) == data
    assert not aligned.beside
    async with AsyncClient(base_url="http://anymal", transport=transport(reply(data))) as other:
        assert np.array_equal((await other.align(imu=b"x")).embeds, aligned.embeds)


def test_it_is_told_of_soft_tokens_that_cannot_be_sent_back() -> None:
    body = reply(safetensors.torch.save({"embeds": EMBEDS}), beside=True)
    with Client(base_url="http://anymal", transport=transport(body)) as client:
        assert client.align(imu=b"x").beside


def test_medium_is_sent_as_in_a_message() -> None:
    seen: list[Any] = []
    body = reply(safetensors.torch.save({"embeds": EMBEDS}))
    with Client(base_url="http://anymal", transport=transport(body, seen)) as client:
        client.align(imu=b"x", imu_rate_hz=50, model="m")
    url = "data:application/octet-stream;base64,eA=="
    part = {"type": "input_imu", "input_imu": {"url": url, "rate_hz": 50.0}}
    assert seen == [{"input": part, "model": "m"}]


@pytest.mark.parametrize("media", [{}, {"image": [b"a", b"b"]}, {"image": b"a", "imu": b"b"}])
def test_one_medium_at_a_time(media: Any) -> None:
    with (
        Client(base_url="http://anymal", transport=transport({})) as client,
        pytest.raises(MediaUnsupported, match="one image, video, audio or imu"),
    ):
        client.align(**media)


def test_unknown_option_is_named() -> None:
    with Client(base_url="http://anymal", transport=transport({})) as client:
        align: Any = client.align
        with pytest.raises(TypeError, match="max_tokens"):
            align(image=b"x", max_tokens=3)


WHOLE = safetensors.torch.save({"embeds": EMBEDS})


@pytest.mark.parametrize(
    "body",
    [
        reply(WHOLE[:-1]),
        reply(WHOLE[:20]),
        reply(b""),
        reply(WHOLE, embeds="no base64"),
        reply(WHOLE, embeds=[[1.0]]),
        reply(WHOLE, shape=[6, 4]),
        reply(safetensors.torch.save({"other": EMBEDS})),
        reply(safetensors.torch.save({"embeds": EMBEDS.to(torch.int8)})),
        {"data": []},
    ],
)
def test_what_cannot_be_read_is_the_services_fault(body: dict[str, Any]) -> None:
    with (
        Client(base_url="http://anymal", transport=transport(body)) as client,
        pytest.raises(ServerError) as refused,
    ):
        client.align(image=b"x")
    assert refused.value.request_id == "seven"
