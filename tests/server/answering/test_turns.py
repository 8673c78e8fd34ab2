"""Who decodes next; the clock moves only as the tests say."""

import asyncio

import pytest

from server.answering.turns import Turns


class House:
    """Requests that decode for as long as they say, and what happened in which order."""

    def __init__(self, places: int = 1, *, are_shared: bool = False) -> None:
        self.now = 0.0
        self.turns = Turns(places, are_shared=lambda: are_shared, clock=lambda: self.now)
        self.order: list[str] = []
        self.has_come = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *callers: str, seconds: float = 1.0) -> None:
        for caller in callers:
            self.tasks.append(asyncio.create_task(self._decode(caller, seconds)))
            await asyncio.sleep(0)

    async def end(self) -> list[str]:
        self.has_come.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return self.order

    async def _decode(self, caller: str, seconds: float) -> None:
        async with self.turns.turn(caller):
            self.order.append(caller)
            await self.has_come.wait()
            self.now += seconds


async def test_callers_take_turns_however_many_requests_they_send() -> None:
    house = House()
    await house.come("a", "a", "a", "a", "b", "b", "c")
    assert await house.end() == ["a", "b", "c", "a", "b", "a", "a"]


async def test_slow_media_count_for_as_much_as_they_take() -> None:
    house = House()
    await house.come("slow", "slow", "slow", seconds=4)
    await house.come(*["quick"] * 8, seconds=1)
    assert await house.end() == ["slow", *["quick"] * 4, "slow", *["quick"] * 4, "slow"]


async def test_as_many_decode_at_once_as_there_are_places() -> None:
    house = House(places=2)
    await house.come("a", "a")
    assert house.order == ["a", "a"]
    await house.end()


async def test_last_of_several_places_is_for_somebody_else() -> None:
    house = House(places=3, are_shared=True)
    await house.come("a", "a", "a", "a")
    assert house.order == ["a", "a"]
    await house.come("b", "c")
    assert house.order == ["a", "a", "b"]
    assert await house.end() == ["a", "a", "b", "c", "a", "a"]


@pytest.mark.parametrize("places", [1, 2])
async def test_few_places_are_shared_without_a_standstill(places: int) -> None:
    house = House(places=places, are_shared=True)
    await house.come("a", "a", "a")
    assert house.order == ["a"]
    assert await house.end() == ["a", "a", "a"]


@pytest.mark.parametrize("which", range(4))
async def test_place_of_who_leaves_is_given_on(which: int) -> None:
    house = House()
    await house.come("a", "a", "b", "b")
    house.tasks[which].cancel()
    await house.end()
    await house.come("c")
    assert (await house.end())[-1] == "c"
    assert house.turns._lines == {}


async def test_place_that_comes_as_its_holder_leaves_is_given_on() -> None:
    house = House()
    async with house.turns.turn("a"):
        await house.come("b", "c")
    house.tasks[0].cancel()  # its place was given, and it has not woken yet
    assert await house.end() == ["c"]


@pytest.mark.parametrize("others", [[], ["b"], ["a"]])
async def test_place_is_not_given_to_who_was_cancelled_at_the_same_time(others: list[str]) -> None:
    house = House()
    async with house.turns.turn("a"):
        await house.come("a", *others)
        house.tasks[0].cancel()  # does not run before the place is free
    await house.end()
    await house.come("c")
    assert await house.end() == [*others, "c"]
    assert house.turns._lines == {}
