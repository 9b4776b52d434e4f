"""Each venue's socket against a server that speaks that venue's protocol, in good and bad hours."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from sandbox.venues.serve import Rules, Venues, VenuesSettings, running_venues
from streams.feeds.dial import told_to_wait_ms
from streams.feeds.patience import Patience
from streams.feeds.sources import SOCKETS
from streams.feeds.venue import SymbolOf
from tests.feeds.hearing import (
    BRISK,
    QUICK,
    SCALE,
    at_every_venue,
    hearing,
    quick,
    symbol_at,
    symbols_of,
)

TAKES_ANYTHING = ("binance", "bitstamp", "pumpportal", "birdeye")
"""They accept a symbol that they do not know, and are silent about it."""

UNNUMBERED = ("pyth", "pumpportal", "birdeye")
"""Their sequences rise without being consecutive."""

UNTIMED = ("pumpportal", "birdeye")
"""They do not say when: the moment of receipt stands in."""

UNNAMED = ("birdeye",)
"""What they say twice is said twice."""


@pytest.fixture
async def venues() -> AsyncIterator[Venues]:
    async with running_venues(BRISK) as running:
        yield running


@at_every_venue
async def test_ticks_come_in_order_and_at_the_market_s_price(venues: Venues, name: str) -> None:
    async with hearing(venues, name, "SOL", "BTC") as heard:
        await heard.until(lambda: heard.count("SOL/USD") > 5 and heard.count("BTC/USD") > 5)
        ticks = [tick for feed, tick in heard.ticks if feed == "SOL/USD"]
        assert all(a.sequence < b.sequence and a.at <= b.at for a, b in pairwise(ticks))
        assert {tick.source for tick in ticks} == {name}
        price = venues.market.price_e12("SOL", venues.now()) // 10**4
        assert all(abs(tick.value - price) * 1_000 < price for tick in ticks)
        assert all(0 <= tick.at - tick.source_at < 2_000 for tick in ticks)
        status = heard.listener.status()
        assert status.connected
        assert status.reconnects == 0
        assert status.denied == 0
        assert msgspec.json.decode(msgspec.json.encode(status))["source"] == name


@at_every_venue
async def test_a_cut_line_is_opened_again(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more()
        venues.cut(name)
        await heard.until(lambda: heard.listener.status().reconnects == 1)
        await heard.more()


@at_every_venue
async def test_a_half_open_line_is_noticed_within_its_silence(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more()
        since = heard.ticks[-1][1].at
        venues.half_open(name)
        await heard.until(lambda: heard.listener.status().reconnects == 1)
        await heard.more(1)
        assert heard.ticks[-1][1].at - since < 500 + 1_000


@at_every_venue
async def test_a_quiet_market_on_a_live_line_is_no_silence(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more()
        venues.outage(900, venue=name, coin="SOL")
        count = len(heard.ticks)
        await heard.until(lambda: len(heard.ticks) > count + 3)
        assert heard.listener.status().reconnects == 0


@at_every_venue
async def test_a_venue_that_is_out_is_tried_until_it_is_back(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more()
        venues.outage(400, venue=name)
        await heard.until(lambda: heard.listener.status().reconnects == 1)
        await heard.more()


@at_every_venue
async def test_symbols_can_change_without_a_new_line(venues: Venues, name: str) -> None:
    async with hearing(venues, name, "SOL") as heard:
        await heard.more()
        heard.listener.update(symbols_of(name, ["SOL", "BTC", "ETH"]))
        await heard.until(lambda: heard.count("BTC/USD") > 2 and heard.count("ETH/USD") > 2)
        heard.listener.update(symbols_of(name, ["ETH"]))
        sol = heard.count("SOL/USD")
        eth = heard.count("ETH/USD")
        await heard.until(lambda: heard.count("ETH/USD") > eth + 5)
        assert heard.count("SOL/USD") == sol
        assert heard.listener.status().reconnects == 0


@at_every_venue
async def test_one_symbol_the_venue_does_not_know_costs_the_others_nothing(
    venues: Venues, name: str
) -> None:
    async with hearing(venues, name, "SOL", "NONSUCH", "BTC") as heard:
        await heard.until(lambda: heard.count("SOL/USD") > 2 and heard.count("BTC/USD") > 2)
        status = heard.listener.status()
        if name in TAKES_ANYTHING:
            assert status.denied == 0
        else:
            await heard.until(lambda: heard.listener.status().denied > 0)
            assert symbol_at(name, "NONSUCH") in str(heard.listener.status().last_denial)
            streams = heard.listener.status().streams
            denied = {symbol for symbol, stream in streams.items() if stream.denied}
            assert denied <= {symbol_at(name, "NONSUCH")}
            await heard.until(
                lambda: heard.listener.status().streams[symbol_at(name, "NONSUCH")].denied
            )


@at_every_venue
async def test_spoilt_frames_are_counted_and_the_line_goes_on(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more()
        venues.spoil(name, 14)
        await heard.until(lambda: sum(heard.listener.status().refused.values()) >= 14)
        await heard.more()
        status = heard.listener.status()
        assert status.reconnects == 0
        assert {"malformed", "not positive", "jump"} <= status.refused.keys()
        assert SOCKETS[name].computes or "unreadable" in status.refused
        price = venues.market.price_e12("SOL", venues.now()) // 10**4
        assert all(abs(tick.value - price) * 1_000 < price for _, tick in heard.ticks)


@at_every_venue
async def test_frames_twice_or_out_of_order_are_one_tick(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more()
        venues.duplicate(name, 300)
        venues.reorder(name, 300)
        if name not in UNNAMED:
            await heard.until(lambda: heard.listener.status().refused.get("repeated", 0) > 5)
        await heard.more()
        sequences = [tick.sequence for _, tick in heard.ticks]
        assert sequences == sorted(set(sequences))


@at_every_venue
async def test_held_back_frames_keep_the_venue_s_time(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more()
        venues.throttle(name, 250)
        count = len(heard.ticks)
        await heard.until(lambda: len(heard.ticks) > count + 5)
        if name not in UNTIMED:
            assert max(tick.at - tick.source_at for _, tick in heard.ticks[count:]) >= 100
        assert heard.listener.status().reconnects == 0


@pytest.mark.parametrize("name", ["binance", "okx"])
async def test_a_line_told_to_leave_is_replaced_before_it_is_cut(name: str) -> None:
    settings = replace(BRISK, rules=Rules(notice_ms=2_000))
    async with running_venues(settings) as venues, hearing(venues, name) as heard:
        await heard.more()
        venues.notice(name)
        await heard.until(lambda: heard.listener.status().last_end == "replaced")
        await heard.more()
        sequences = [tick.sequence for _, tick in heard.ticks]
        assert sequences == list(range(sequences[0], sequences[-1] + 1))  # Nothing was missed.
        assert venues.clients(name) == 1


@at_every_venue
async def test_a_line_is_replaced_before_its_day_is_over(venues: Venues, name: str) -> None:
    # Not silent in this test, however busy the machine is: what ends a line here is its age.
    young = replace(quick(name), lifetime_ms=400, silence_ms=20_000)
    async with hearing(venues, name, venue=young) as heard:
        await heard.until(lambda: heard.listener.status().connections >= 3)
        sequences = [tick.sequence for _, tick in heard.ticks]
        assert sequences == sorted(set(sequences))
        if name not in UNNUMBERED:
            # A tick that the new line overtakes on the old one is earlier, and passed over.
            overtaken = sequences[-1] + 1 - sequences[0] - len(sequences)
            assert overtaken <= 2 * (heard.listener.status().connections - 1)
        assert heard.listener.status().last_end == "replaced"


@at_every_venue
async def test_a_stream_that_says_nothing_is_asked_for_again_alone(
    venues: Venues, name: str
) -> None:
    impatient = replace(quick(name), stream_silence_ms=150)
    async with hearing(venues, name, "SOL", "NONSUCH", venue=impatient) as heard:
        await heard.until(lambda: heard.count("SOL/USD") > 20)
        if name not in TAKES_ANYTHING:
            await heard.until(lambda: heard.listener.status().denied >= 3)
        assert heard.listener.status().reconnects == 0


async def test_bybit_takes_more_than_ten_symbols_in_several_requests(venues: Venues) -> None:
    coins = [*venues.market.coins, "A", "B", "C", "D"]
    async with hearing(venues, "bybit", *coins) as heard:
        told = [coin.name for coin in venues.market.coins.values() if coin.places <= SCALE]
        assert len(told) > 8
        await heard.until(lambda: all(heard.count(f"{coin}/USD") for coin in told))


async def test_nothing_wanted_opens_no_line(venues: Venues) -> None:
    async with hearing(venues, "okx") as heard:
        await heard.more()
        heard.listener.update({})
        venues.cut("okx")
        async with asyncio.timeout(5):
            await venues.until_clients("okx", 0)
        assert not heard.listener.status().connected
        heard.listener.update({"SOL-USDT": SymbolOf("SOL/USD", 8)})
        await heard.more()


async def test_a_stop_leaves_no_line_open(venues: Venues) -> None:
    async with hearing(venues, "kraken") as heard:
        await heard.more()
    async with asyncio.timeout(5):
        await venues.until_clients("kraken", 0)


async def test_one_source_has_one_voice_for_a_feed(venues: Venues) -> None:
    async with hearing(venues, "okx") as heard:
        with pytest.raises(ValueError, match="one feed"):
            heard.listener.update({"A": SymbolOf("X", 8), "B": SymbolOf("X", 8)})


async def test_a_busy_line_is_still_pinged_where_the_venue_wants_it(venues: Venues) -> None:
    pinging = replace(quick("bybit"), probe_always_ms=100, probe_ms=60_000, silence_ms=60_000)
    async with hearing(venues, "bybit", venue=pinging) as heard:
        await heard.until(lambda: sum('"pong"' in frame for frame in heard.frames) >= 3)


async def test_binance_s_pings_are_answered() -> None:
    rules = Rules(binance_ping_ms=50, binance_pong_ms=200, binance_messages_a_second=50)
    async with (
        running_venues(replace(BRISK, rules=rules)) as venues,
        hearing(venues, "binance") as heard,
    ):
        since = venues.now()
        await heard.until(lambda: venues.now() - since > 600)
        assert heard.listener.status().reconnects == 0


async def test_a_line_far_behind_is_given_up_with_its_backlog(venues: Venues) -> None:
    impatient = replace(QUICK, behind_ms=150, behind_count=5)
    async with hearing(venues, "coinbase", patience=impatient) as heard:
        await heard.more()
        venues.throttle("coinbase", 500)
        await heard.until(lambda: heard.listener.status().reconnects == 1)
        assert "behind" in str(heard.listener.status().last_end)
        await heard.more()


async def test_a_server_that_speaks_no_sense_is_survived() -> None:
    said = ["", "[]", "{", "\x00", '{"channel":"trade"}', "null", "9" * 5_000]

    async def babble(connection: ServerConnection) -> None:
        for text in said:
            await connection.send(text)
        await connection.send(b"\xff\xfe", text=True)
        await connection.send(json.dumps({"channel": "trade", "type": "update", "data": [{}]}))
        await connection.wait_closed()

    async with serve(babble, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with running_venues(VenuesSettings()) as venues:
            venues.port = port
            async with hearing(venues, "kraken") as heard:
                await heard.until(
                    lambda: heard.listener.status().refused.get("malformed", 0) >= len(said) + 1
                )
                assert not heard.ticks


async def test_a_refused_port_is_retried_with_growing_waits() -> None:
    async with running_venues(VenuesSettings()) as venues:
        port = venues.port
    assert port
    async with running_venues(replace(BRISK, port=port)) as venues, hearing(venues, "okx") as heard:
        await heard.more()


@pytest.mark.parametrize(
    ("status", "retry_after", "waited_ms"),
    [
        (429, "2", 2_000),
        (418, "99999", 300_000),
        (503, "", 0),
        (429, "soon", 0),
        (404, "9", 0),
    ],
)
def test_a_venue_that_asks_us_to_stay_away_is_heeded_within_bounds(
    status: int, retry_after: str, waited_ms: int
) -> None:
    headers = Headers({"Retry-After": retry_after} if retry_after else {})
    refusal = InvalidStatus(Response(status, "no", headers))
    assert told_to_wait_ms(refusal, Patience()) == waited_ms


@at_every_venue
async def test_a_symbol_can_come_to_speak_for_another_feed(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more()
        heard.listener.update({symbol_at(name, "SOL"): SymbolOf("SOL/USD fine", 10, is_cut=True)})
        await heard.until(lambda: heard.count("SOL/USD fine") >= 3)
        price = venues.market.price_e12("SOL", venues.now()) // 10**2
        values = [tick.value for feed, tick in heard.ticks if feed == "SOL/USD fine"]
        assert all(abs(value - price) * 1_000 < price for value in values)
        assert heard.listener.status().reconnects == 0
