"""Fuzzes what reads and validates the bodies of requests: JSON, forms, packed bodies.

    python -m tests.harness.body --seconds 600 [--seed 1] [--replay FILE]

The first byte of an input says where it is sent and how, the others are the body. A fake model
says how many parts it was given: media are not decoded and no words are read.
"""

import asyncio
import gzip
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.harness.guided import Harness, main

JSON, FORM = "application/json", "multipart/form-data; boundary=edge"
RESPONSES, ALIGN, ASK = "/v1/responses", "/v1/align", "/v1/ask"
CHAT = "/v1/chat/completions"
# Path, type, and how it is packed: "packed" is done here, so that damage is to what is inside.
WAYS = [
    *((path, JSON, packing) for packing in ("", "packed") for path in (CHAT, RESPONSES, ALIGN)),
    (ASK, FORM, ""),
    (ASK, FORM, "packed"),
    (ASK, "application/x-www-form-urlencoded", ""),
    (CHAT, JSON, "gzip"),
    (CHAT, "application/x+json; charset=utf-16", ""),
]
MOST_BYTES = 2**20
_RESPONSES: list[dict[str, Any]] = [
    {"input": "Hello", "instructions": "Be brief.", "max_output_tokens": 9, "stream": True},
    {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "What?"}]},
            {"type": "reasoning", "summary": []},
            {"type": "message", "role": "assistant", "content": "That.", "id": "a", "status": "b"},
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="},
                    {"type": "input_file", "file_data": "data:text/csv;base64,AAAA"},
                ],
            },
        ],
        **{"temperature": 0.5, "top_p": 0.9, "top_logprobs": 2, "store": False, "metadata": {}},
        **{"text": {"format": {"type": "text"}}, "include": ["message.output_text.logprobs"]},
    },
]


def seeds(folder: Path) -> list[bytes]:
    """Bodies that are right, each for all ways that may take it."""
    import httpx

    from tests.server.fuzz_requests import BODIES
    from tests.server.fuzz_requests import FORM as FIELDS

    headers = {"content-type": FORM}
    form = httpx.Request("POST", "http://anymal", files=FIELDS, headers=headers).read()
    bodies = [(path, json.dumps(body).encode()) for path, body in BODIES]
    bodies += [(RESPONSES, json.dumps(body).encode()) for body in _RESPONSES]
    samples = {"samples": [[0, 0, 9.8]] * 9, "rate_hz": 50, "acceleration_unit": "g"}
    motion = {"role": "user", "content": [{"type": "input_imu", "input_imu": samples}]}
    bodies += [(CHAT, json.dumps({"messages": [motion]}).encode())]
    made = []
    for (number, (path, kind, packing)), (of, body) in itertools.product(enumerate(WAYS), bodies):
        if path == of and "json" in kind:
            body = gzip.compress(body, mtime=0) if packing == "gzip" else body
            made.append(
                bytes([number]) + (body.decode().encode("utf-16") if "16" in kind else body)
            )
    forms = {FORM: form, WAYS[8][1]: b"question=What%3F&seed=3&stop=%21&temperature=0.5"}
    made += [bytes([n]) + forms[kind] for n, (_, kind, _) in enumerate(WAYS) if kind in forms]
    return made


def prepare(folder: Path) -> Callable[[bytes], str]:
    """Sends a body to a service in this process."""
    import httpx

    os.environ["ANYMAL_HOSTS"] = "anymal"
    from server.app import create_app
    from server.settings import Settings
    from tests.server.conftest import EchoEngine, make_backend
    from tests.server.test_fuzz import fault_of

    engine = EchoEngine()
    backend = replace(
        make_backend(engine),
        modalities=("image", "video", "audio", "imu"),
        to_sample=lambda conversation, decode: str(
            sum(len(message.parts) for message in conversation.messages)
        ),
    )
    app = create_app(Settings(max_body_bytes=MOST_BYTES), backend)
    loop = asyncio.new_event_loop()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://anymal")

    def run(data: bytes) -> str:
        path, kind, packing = WAYS[data[0] % len(WAYS) if data else 0]
        body, headers = data[1:], {"content-type": kind}
        if packing:
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body, 1, mtime=0) if packing == "packed" else body
        response = loop.run_until_complete(client.post(path, content=body, headers=headers))
        for kept in (engine.samplings, engine.prompts, engine.tickets):
            kept.clear()
        fault = fault_of(response)
        if response.status_code == 200:  # answers hold an empty `error`
            fault = response.text if '"error":{' in response.text else None
        assert fault is None, fault
        return f"{path} {response.status_code}"

    return run


if __name__ == "__main__":
    main(Harness(module="tests.harness.body", seeds=seeds, prepare=prepare))
