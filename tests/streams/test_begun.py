"""What does not wait is done at once; what waits goes on, whoever awaits it."""

import asyncio
from collections.abc import Coroutine

import pytest

from streams.begun import Begun, Done, begin


async def sum_of(*parts: "asyncio.Future[int]") -> int:
    return sum([await part for part in parts])


def known(value: int) -> "asyncio.Future[int]":
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


def unknown() -> "asyncio.Future[int]":
    return asyncio.get_running_loop().create_future()


async def test_what_does_not_wait_is_done() -> None:
    assert begin(sum_of()) == Done(0)
    assert begin(sum_of(known(1), known(2))) == Done(3)


@pytest.mark.parametrize("in_a_task", [False, True])
async def test_what_waits_goes_on_where_it_is_awaited(*, in_a_task: bool) -> None:
    first, second = unknown(), unknown()
    begun = begin(sum_of(known(1), first, second))
    assert isinstance(begun, Begun)
    asyncio.get_running_loop().call_soon(first.set_result, 10)
    asyncio.get_running_loop().call_later(0.01, second.set_result, 100)
    assert await (asyncio.ensure_future(begun) if in_a_task else begun) == 111


async def test_what_fails_fails_where_it_is() -> None:
    failed = unknown()
    failed.set_exception(ValueError("at once"))
    with pytest.raises(ValueError, match="at once"):
        begin(sum_of(failed))
    later = unknown()
    begun = begin(sum_of(later))
    assert isinstance(begun, Begun)
    asyncio.get_running_loop().call_soon(later.set_exception, ValueError("later"))
    with pytest.raises(ValueError, match="later"):
        await begun


@pytest.mark.parametrize("waits", [1, 2])
async def test_who_is_cancelled_ends_it(waits: int) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await sum_of(*([unknown()] if waits == 1 else [passed, unknown()]))
        finally:
            ended.append("ended")

    passed = unknown()
    task = asyncio.ensure_future(_awaited(work()))
    await asyncio.sleep(0)
    passed.set_result(1)
    await asyncio.sleep(0.01)
    assert not ended
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["ended"]


async def _awaited(coroutine: Coroutine[object, object, None]) -> None:
    begun = begin(coroutine)
    assert isinstance(begun, Begun)
    await begun
