"""A live room is cut five seconds before its touch: what landed later goes back in full."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from rooms.crossing import Crossing
from rooms.feed_log import Decided
from rooms.index_price import IndexPrice
from rooms.room import LIVE_CUT_MS, Comparator, Outcome, freeze_distance
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value
from storage import decisions
from storage.connections import Connections, transaction
from tests.streams.custody_world import (
    SOL,
    World,
    custody_world,
    people,
    room,
    sealed,
    stake,
)


@pytest_asyncio.fixture
async def world(connections: Connections, tmp_path: Path) -> AsyncIterator[World]:
    async with custody_world(connections, tmp_path) as made:
        yield made


async def landed(world: World, count: int) -> bool:
    return await world.value("SELECT count(*) FROM stakes WHERE state = 'LANDED'") == count


async def test_what_landed_after_the_cut_of_a_touch_goes_back_and_the_rest_is_the_pool(
    world: World,
) -> None:
    await people(world, 2 * SOL, 2 * SOL, 2 * SOL)
    await room(world, cut_in_ms=600_000)
    await world.execute(
        "UPDATE rooms SET is_live = true, move_bps = NULL, target = 100, watch_at = opened_at"
    )
    await stake(world, 1, "YES", SOL)
    await stake(world, 2, "NO", SOL)

    await world.until(lambda: landed(world, 2))
    for _ in range(40):
        world.solana.control.advance(1)
    await stake(world, 3, "YES", SOL)
    await world.until(lambda: landed(world, 3))
    last = await world.value("SELECT max(landed_at) FROM stakes")
    first = await world.value("SELECT min(landed_at) FROM stakes")
    assert isinstance(last, int)
    assert isinstance(first, int)
    touched = UnixMs(last + LIVE_CUT_MS - 1_000)
    assert touched - LIVE_CUT_MS > first

    tick = Tick("binance", 1, Value(100), touched, touched)
    price = IndexPrice(Value(100), touched, (tick,), ())
    crossing = Crossing(
        room=77, comparator=Comparator.UP, target=Value(100), before=None, price=price
    )
    async with transaction(world.connections) as connection:
        decided = Decided(77, Outcome.YES, None, UnixMs(touched + 300), crossing)
        await decisions.decide(connection, [decided])
    assert await world.value("SELECT cut_at FROM rooms") == touched - LIVE_CUT_MS
    await world.until(lambda: sealed(world))

    states = "SELECT string_agg(state, ' ' ORDER BY id) FROM stakes"
    assert await world.value(states) == "LANDED LANDED MISSED"
    assert await world.value("SELECT sealed_yes + sealed_no FROM rooms") == 2 * SOL
    assert await world.value("SELECT balance FROM accounts WHERE name = 'pool:77'") == 2 * SOL
    paid = "SELECT count(*) FROM transfers WHERE kind = 'refund' AND state = 'LANDED'"

    async def is_back() -> bool:
        return await world.value(paid) == 1

    await world.until(is_back)
    await world.ledger_is_chain()


def test_so_near_its_target_a_live_room_takes_no_stake() -> None:
    assert freeze_distance(Value(10**10), Bps(5_000)) == 7_554_970
