"""Each source that is asked, against a server that answers as it does, in good and bad hours."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random

import httpx
import pytest

from sandbox.venues.serve import Venues, running_venues
from sandbox.venues.solana import kept_account
from sandbox.venues.tokens import token
from streams.feeds.poller import Poller
from streams.feeds.sources import POLLS
from streams.feeds.venue import SymbolOf
from tests.feeds.hearing import (
    BRISK,
    QUICK,
    Hearing,
    at_every_poll,
    hearing,
    now,
    symbol_at,
)

UNIT = 100_000_000
SOON = replace(QUICK, open_ms=400)


@pytest.fixture
async def venues() -> AsyncIterator[Venues]:
    async with running_venues(BRISK) as running:
        yield running


def truth(venues: Venues, name: str, coin: str) -> int:
    """Say what the source should tell of a coin, at the scale of the tests."""
    if name == "solana":
        return token(coin).supply * UNIT
    price = venues.market.price_e12(coin, venues.now())
    if name == "pumpfun":
        return price * UNIT // venues.market.price_e12("SOL", venues.now())
    return price * UNIT // 10**12


@at_every_poll
async def test_values_come_in_order_and_as_the_market_has_them(venues: Venues, name: str) -> None:
    async with hearing(venues, name, "SOL", "BTC") as heard:
        await heard.until(lambda: heard.count("SOL/USD") > 2 and heard.count("BTC/USD") > 2)
        for coin in ("SOL", "BTC"):
            ticks = [tick for feed, tick in heard.ticks if feed == f"{coin}/USD"]
            assert all(a.sequence < b.sequence and a.at <= b.at for a, b in pairwise(ticks))
            value = truth(venues, name, coin)
            assert all(abs(tick.value - value) * 500 <= value for tick in ticks), name
            assert all(-1_000 < tick.at - tick.source_at < 5_000 for tick in ticks)
        status = heard.listener.status()
        assert status.connected
        assert (status.denied, status.reconnects) == (0, 0)


def _ended(heard: Hearing, why: str) -> bool:
    return why in str(heard.listener.status().last_end)


@at_every_poll
async def test_an_outage_is_waited_out(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more(1)
        venues.outage(300, venue=name)
        await heard.until(lambda: heard.listener.status().reconnects)
        assert "503" in str(heard.listener.status().last_end)
        await heard.more(2)
        assert heard.listener.status().connected


@at_every_poll
async def test_an_answer_that_never_comes_or_ends_in_its_middle_is_given_up(
    venues: Venues, name: str
) -> None:
    async with hearing(venues, name, patience=SOON) as heard:
        await heard.more(1)
        for spoil, why in ((venues.half_open, "Timeout"), (venues.cut, "Error")):
            spoil(name)
            await heard.until(partial(_ended, heard, why))
            await heard.more(1)


@at_every_poll
async def test_one_who_asks_to_be_left_alone_is_left_alone(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more(1)
        venues.throttle(name, 150)
        await heard.until(lambda: "429" in str(heard.listener.status().last_end))
        asked, since = venues.desks[name].asked, venues.now()
        await heard.more(1)
        assert venues.desks[name].asked == asked + 1
        assert venues.now() - since >= 900  # ``Retry-After: 1``


@at_every_poll
async def test_spoilt_answers_are_counted_and_the_next_one_counts(
    venues: Venues, name: str
) -> None:
    async with hearing(venues, name) as heard:
        await heard.more(1)
        venues.spoil(name, 15)
        await heard.until(lambda: heard.listener.status().refused.get("malformed", 0) >= 5)
        await heard.more(2)
        value = truth(venues, name, "SOL")
        assert all(abs(tick.value - value) * 500 <= value for _, tick in heard.ticks)


@at_every_poll
async def test_what_it_does_not_know_costs_the_rest_nothing(venues: Venues, name: str) -> None:
    async with hearing(venues, name, "NONSUCH", "SOL") as heard:
        await heard.more(2)
        streams = heard.listener.status().streams
        assert streams[symbol_at(name, "NONSUCH")].denied
        assert not streams[symbol_at(name, "SOL")].denied


@at_every_poll
async def test_what_is_wanted_can_change(venues: Venues, name: str) -> None:
    async with hearing(venues, name) as heard:
        await heard.more(1)
        heard.listener.update({symbol_at(name, "BTC"): SymbolOf("BTC/USD", 8, is_cut=True)})
        await heard.until(lambda: heard.count("BTC/USD") >= 2)
        sol = heard.count("SOL/USD")
        await heard.until(lambda: heard.count("BTC/USD") >= 4)
        assert heard.count("SOL/USD") == sol


async def test_many_symbols_are_asked_for_in_turns(venues: Venues) -> None:
    coins = list(venues.market.coins)
    small = replace(POLLS["solana"], symbols_per_request=2)
    heard: dict[str, int] = {}
    async with hearing(venues, "solana", *coins) as all_at_once:
        all_at_once.listener.venue = small
        await all_at_once.until(lambda: all(all_at_once.count(f"{coin}/USD") for coin in coins))
    assert not heard


async def test_a_source_that_wants_a_key_is_told_it_and_nobody_else_is(venues: Venues) -> None:
    async with hearing(venues, "coingecko", keyed=False) as heard:
        await heard.until(lambda: "401" in str(heard.listener.status().last_end))
        assert not heard.ticks
    async with hearing(venues, "coingecko") as heard:
        await heard.more(1)
        shown = repr(heard.listener.status()) + repr(heard.listener)
        assert "sandbox" not in shown


async def test_without_a_key_it_asks_as_seldom_as_it_must() -> None:
    def poller(key: str | None) -> Poller:
        return Poller(
            POLLS["jupiter"], "http://127.0.0.1:9", {}, lambda feed, tick: None,
            clock=now, random=Random(1), key=key,
        )  # fmt: skip

    assert poller(None)._every_ms > poller("k")._every_ms


async def test_what_does_not_circulate_is_taken_off(venues: Venues) -> None:
    symbol = f"{symbol_at('solana', 'BONK')}-{kept_account('BONK')}"
    async with hearing(venues, "solana") as heard:
        heard.listener.update({symbol: SymbolOf("supply:BONK", 5)})
        await heard.more(1)
        assert heard.ticks[-1][1].value == token("BONK").supply * 88 // 100 * 10**5


async def test_liquidity_is_told_beside_the_price(venues: Venues) -> None:
    async with hearing(venues, "dexscreener") as heard:
        mint = symbol_at("dexscreener", "BONK")
        heard.listener.update(
            {
                mint: SymbolOf("BONK/USD", 12, is_cut=True),
                f"{mint}#liquidity": SymbolOf("liquidity:BONK", 2, is_cut=True),
            }
        )
        await heard.until(lambda: heard.count("BONK/USD") and heard.count("liquidity:BONK"))
        [told, *_] = [tick for feed, tick in heard.ticks if feed == "liquidity:BONK"]
        assert told.value == token("BONK").liquidity * 100


async def test_an_answer_that_has_not_changed_says_the_same_again(venues: Venues) -> None:
    async with hearing(venues, "dexscreener") as heard:
        venues.hold("SOL")
        await heard.more(8)
        assert len({tick.value for _, tick in heard.ticks[-3:]}) == 1
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"{venues.url('dexscreener')}/tokens/v1/solana/{symbol_at('dexscreener', 'SOL')}"
        first = await http.get(url)
        again = await http.get(url, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304


async def test_an_endless_answer_is_given_up(venues: Venues) -> None:
    venues.desks["jupiter"].source = replace(
        venues.desks["jupiter"].source, answer=lambda market, question: "x" * 2**21
    )
    async with hearing(venues, "jupiter") as heard:
        await heard.until(lambda: "TooLong" in str(heard.listener.status().last_end))
