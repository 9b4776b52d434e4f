"""Wake-ups and sweeps make the same claims, until nothing is left, and survive passing trouble."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from streams.sweeps import money_claims, sweep
from streams.topics import BETS, OPENINGS, SETTLEMENTS, WITHDRAWALS
from streams.wake import drain, wake_agent
from tests.place import SOL, Place


class Work:
    """Rows that a claim takes two at a time."""

    def __init__(self, rows: int, *trouble: Exception) -> None:
        self.rows = rows
        self.calls = 0
        self.trouble = list(trouble)

    async def claim(self) -> int:
        self.calls += 1
        if self.trouble:
            raise self.trouble.pop()
        taken = min(2, self.rows)
        self.rows -= taken
        return taken


class WakeUp:
    def __init__(self, work: Work) -> None:
        self.work = work
        self.left_at_ack: int | None = None

    def ack(self) -> bool:
        self.left_at_ack = self.work.rows
        return True


class Stream:
    """What an agent asks of a Faust stream."""

    def __init__(self, wake_ups: list[WakeUp]) -> None:
        self.wake_ups = wake_ups
        self.manual = False

    def noack(self) -> "Stream":
        self.manual = True
        return self

    async def events(self) -> AsyncIterator[WakeUp]:
        for wake_up in self.wake_ups:
            yield wake_up


async def test_a_claim_is_made_until_nothing_is_left() -> None:
    work = Work(5)
    assert await drain([work.claim]) == 5
    assert (work.rows, work.calls) == (0, 4)


async def test_a_wake_up_is_acknowledged_before_the_work_is_done() -> None:
    work = Work(5)
    stream = Stream([WakeUp(work), WakeUp(work)])
    await wake_agent([work.claim])(stream)
    assert stream.manual
    assert [wake_up.left_at_ack for wake_up in stream.wake_ups] == [5, 0]


async def test_passing_trouble_is_waited_out() -> None:
    work = Work(3, asyncpg.DeadlockDetectedError(), asyncpg.InterfaceError("closed"), OSError())
    assert await drain([work.claim]) == 3


async def test_a_mistake_escapes() -> None:
    with pytest.raises(KeyError):
        await drain([Work(1, KeyError()).claim])


async def test_a_sweep_makes_every_claim_again_and_again() -> None:
    one, other = Work(3), Work(0)
    rounds = 0

    class EnoughError(Exception):
        pass

    async def sleep(_: float) -> None:
        nonlocal rounds
        rounds += 1
        one.rows = other.rows = 1
        if rounds == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        await sweep({"bets": [one.claim], "openings": [other.claim]}, sleep=sleep)
    # Three rows are two claims that find something, and one that does not.
    assert (one.calls, other.calls) == (3 + 2 + 2, 1 + 2 + 2)


async def test_the_claims_of_money_take_what_no_wake_up_told_of(place: Place) -> None:
    claims = money_claims(place.money())
    assert set(claims) == {OPENINGS, BETS, SETTLEMENTS, WITHDRAWALS}
    for user in (1, 2):
        await place.person(user, SOL)
    await place.room()
    await place.ask_bet(1, "YES", SOL)

    async def once(_: float) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await sweep(claims, sleep=once)
    assert await place.refusals() == [None]


async def test_a_claim_whose_connection_is_killed_is_made_again(place: Place) -> None:
    await place.person(1, SOL)
    await place.room()
    await place.ask_bet(1, "YES", SOL)
    killed = False

    async def price_of_a_killed_connection(_: object) -> dict[str, object]:
        nonlocal killed
        if not killed:
            killed = True
            await place.do(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'"
            )
        return {}

    await place.do("UPDATE rooms SET move_bps = NULL, target = 20400")
    place.prices.prices_of = price_of_a_killed_connection  # type: ignore[method-assign, assignment]
    await drain(money_claims(place.money())["bets"])
    assert killed
    assert await place.refusals() == ["no_price"]
    await place.books_agree()
