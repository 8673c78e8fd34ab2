"""Clients that attack a service, in a process of their own so that they delay nobody they measure.

Does not know what is sent (`attacks`) and does not judge what comes back.
"""

import asyncio
import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

from benchmarks.serving.attacks import Attack

_PAUSE_S = 0.2  # between two attacks of one client
_HANG_UP_S = 0.4
_HOLD_S = 20.0
_LONGEST_S = 120.0
_PIECE = 2**20

Outcomes = dict[str, Counter[str]]


@contextmanager
def attacking(url: str, key: str, attacks: Sequence[Attack]) -> Iterator[Outcomes]:
    """Attack a service while the block runs.

    Args:
        url: Of the service.
        key: The attackers'.
        attacks: Each is repeated by as many clients as it says.

    Yields:
        How often each status or failure came, by attack; filled in when the block has ended.
    """
    outcomes: Outcomes = {}
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(url, key, attacks, there), daemon=True)
    process.start()
    there.close()
    try:
        yield outcomes
        here.send("stop")
        outcomes.update(here.recv())
    finally:
        process.join(10)
        process.kill()


def _run(url: str, key: str, attacks: Sequence[Attack], stop: Connection) -> None:
    stop.send(asyncio.run(_until_stopped(url, key, attacks, stop)))


async def _until_stopped(
    url: str, key: str, attacks: Sequence[Attack], stop: Connection
) -> Outcomes:
    outcomes: Outcomes = {attack.name: Counter() for attack in attacks}
    clients = [
        asyncio.create_task(_repeat(url, key, attack, outcomes[attack.name]))
        for attack in attacks
        for _ in range(attack.clients)
    ]
    while not stop.poll():
        await asyncio.sleep(0.1)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return outcomes


async def _repeat(url: str, key: str, attack: Attack, seen: Counter[str]) -> None:
    """Attack again and again."""
    while True:
        try:
            async with asyncio.timeout(_LONGEST_S):
                seen[await _once(url, key, attack)] += 1
        except TimeoutError:
            seen["no answer"] += 1
        except OSError as error:
            seen[type(error).__name__] += 1
        await asyncio.sleep(_PAUSE_S)


async def _once(url: str, key: str, attack: Attack) -> str:
    """Attack once; returns the status, or what was done instead of reading it."""
    parts = urlsplit(url)
    headers = {
        "Host": parts.netloc,
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Content-Length": str(len(attack.body)),
        "Connection": "close",
        **dict(attack.headers),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        answer = asyncio.create_task(reader.readline())
        writer.write(f"POST {attack.path} HTTP/1.1\r\n{head}\r\n".encode())
        body = memoryview(attack.body)
        end = len(body) - 1 if attack.way == "hold" else len(body)
        for start in range(0, end, _PIECE):
            if answer.done():  # refused before it was read
                break
            writer.write(body[start : min(start + _PIECE, end)])
            await writer.drain()
        wait_s = {"read": None, "hang up": _HANG_UP_S}.get(attack.way, _HOLD_S)
        await asyncio.wait({answer}, timeout=wait_s)
        if not answer.done():
            return attack.way
        return (await answer).decode("latin-1").split(" ")[1]
    except IndexError:
        return "closed"
    finally:
        answer.cancel()
        writer.transport.abort()
