"""The sandbox's venues as a server: ports, paths, steering, and going on after a death."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sandbox.venues.client import WAITING_MAX, Client, Socket
from sandbox.venues.serve import Venues, VenuesSettings, running_venues, serve
from sandbox.venues.session import Place, Rules, Say
from sandbox.venues.spoken import SPOKEN
from sandbox.venues.steering import Steering
from streams.feeds.venue import SymbolOf
from tests.feeds.hearing import BRISK, Hearing, hearing
from tests.feeds.recordings import CAPTURES, HERE, needs_captures

SOL_E12 = 150 * 10**12


@pytest.fixture
async def venues() -> AsyncIterator[Venues]:
    async with running_venues(BRISK) as running:
        yield running


async def test_a_port_in_use_is_named(venues: Venues) -> None:
    for taken in (
        VenuesSettings(port=venues.port),
        VenuesSettings(control_port=venues.control_port),
    ):
        with pytest.raises(OSError, match=f"port {taken.port or taken.control_port} .* in use"):
            async with running_venues(taken):
                pass


async def test_it_says_when_it_is_ready_and_stops_when_cancelled() -> None:
    ready: asyncio.Future[Venues] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(VenuesSettings(), ready.set_result))
    venues = await ready
    async with connect(venues.url("kraken")) as client:
        assert '"status"' in await client.recv(decode=True)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving


async def test_unknown_paths_and_venues_that_are_out_are_refused(venues: Venues) -> None:
    with pytest.raises(InvalidStatus, match="404"):
        await connect(venues.url("okx") + "x")
    venues.outage(60_000, venue="okx")
    with pytest.raises(InvalidStatus, match="503"):
        await connect(venues.url("okx"))
    async with connect(venues.url("bybit")):
        pass


async def test_prices_go_on_where_the_clock_is_after_a_death(tmp_path: Path) -> None:
    settings = VenuesSettings(seed=9, data_dir=tmp_path)
    now = 1_800_000_000_000
    async with running_venues(settings, lambda: now) as venues:
        venues.jump("SOL", 500)
        venues.drift("BTC", bps=-300, over_ms=10_000, hold=True)
        later = {coin: venues.market.price_e12(coin, now + 7_000) for coin in venues.market.coins}
    now += 7_000
    async with running_venues(settings, lambda: now) as again:
        assert {coin: again.market.price_e12(coin, now) for coin in later} == later


async def test_the_control_port_steers_one_coin_and_no_other(venues: Venues) -> None:
    async with Steering(venues.control_url) as steering:
        await steering.hold("BTC")
        btc = await steering.price_e12("BTC")
        await steering.drift("SOL", to="150", over_ms=0, hold=True)
        assert await steering.price_e12("SOL") == SOL_E12
        await steering.jump("SOL", 200)
        assert await steering.price_e12("SOL") == SOL_E12 * 102 // 100
        await steering.drift("SOL", bps=-100, over_ms=0, hold=True)
        assert await steering.price_e12("SOL") == SOL_E12 * 102 * 99 // 10_000
        assert await steering.price_e12("BTC") == btc
        await steering.walk("SOL")
        await steering.wick("okx", "ETH", 100, 50)
        await steering.outage(10, coin="ETH")
        for kind in ("half_open", "cut", "notice"):
            await steering.fault(kind, "okx")
        for kind in ("throttle", "duplicate", "reorder"):
            await steering.fault(kind, "okx", ms=1)
        await steering.fault("spoil", "okx", count=1)


@pytest.mark.parametrize(
    ("command", "asked", "why"),
    [
        ("jump", {"coin": "NONSUCH", "bps": 1}, "no coin 'NONSUCH'"),
        ("jump", {"coin": "SOL"}, "bps"),
        ("jump", {"bps": 5}, "name a coin"),
        ("jump", {"coin": "SOL", "bps": -10_000}, "bps"),
        ("jump", {"coin": "SOL", "bps": "5"}, "bps"),
        ("jump", {"coin": "SOL", "bps": 5, "by": 1}, "by"),
        ("drift", {"coin": "SOL", "to": "1e3", "over_ms": 1}, "to"),
        ("drift", {"coin": "SOL", "to": "0", "over_ms": 1}, "above zero"),
        ("drift", {"coin": "SOL", "to": "150", "over_ms": -1}, "over_ms"),
        ("wick", {"coin": "SOL", "bps": 5, "ms": 5}, "name a venue"),
        ("outage", {"venue": "nasdaq", "ms": 5}, "no venue 'nasdaq'"),
        ("spoil", {"venue": "okx", "count": 0}, "count"),
    ],
)
async def test_the_control_port_refuses_in_words_and_changes_nothing(
    venues: Venues, command: str, asked: dict[str, object], why: str
) -> None:
    before = venues.market.steering()
    async with Steering(venues.control_url) as steering:
        with pytest.raises(ValueError, match=why):
            await steering.do(command, **asked)
    assert venues.market.steering() == before


async def test_the_control_port_survives_what_is_no_json(venues: Venues) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{venues.control_url}/jump", content=b"{")
        assert answer.status_code == 400
        assert (await http.post(f"{venues.control_url}/nonsuch")).status_code == 404


async def test_one_coin_can_fall_silent_at_every_venue_while_the_others_trade(
    venues: Venues,
) -> None:
    async with (
        hearing(venues, "okx", "SOL", "BTC") as okx,
        hearing(venues, "kraken", "SOL", "BTC") as kraken,
    ):
        await okx.more()
        await kraken.more()
        venues.outage(60_000, coin="SOL")
        await asyncio.gather(only_bitcoin_trades(okx), only_bitcoin_trades(kraken))


async def only_bitcoin_trades(heard: Hearing) -> None:
    await heard.more(3)  # What was on its way.
    sol, btc = heard.count("SOL/USD"), heard.count("BTC/USD")
    await heard.until(lambda: heard.count("BTC/USD") > btc + 10)
    assert heard.count("SOL/USD") == sol
    assert heard.listener.status().reconnects == 0


async def test_our_own_recording_reaches_the_sockets_again_and_again() -> None:
    settings = VenuesSettings(recording=HERE, pace=4)
    async with running_venues(settings) as venues:
        with pytest.raises(ValueError, match="cannot be steered"):
            async with Steering(venues.control_url) as steering:
                await steering.jump("SOL", 5)
        for name in sorted(set(SPOKEN) - {"pumpportal"}):  # Its tokens are on no other venue.
            async with hearing(venues, name) as heard:
                await heard.more(6)
                status = heard.listener.status()
                assert status.denied == 0
                assert set(status.refused) <= {"history", "repeated"}


@needs_captures
async def test_real_frames_reach_a_socket_as_ticks() -> None:
    async with running_venues(VenuesSettings(recording=CAPTURES, pace=5)) as venues:
        async with hearing(venues, "okx", "BTC") as heard:
            await heard.more(40)
            assert not set(heard.listener.status().refused) - {"history"}
            assert {tick.value // 10**8 // 1_000 for _, tick in heard.ticks} == {30}
        async with hearing(venues, "coinbase") as heard:
            heard.listener.update({"SKL-BTC": SymbolOf("SKL/BTC", 8)})
            await heard.more(1)


class Jam:
    """A socket whose other end does not read."""

    is_deaf = False
    client = None
    aborted = False

    @property
    def transport(self) -> "Jam":
        return self

    def abort(self) -> None:
        self.aborted = True

    async def send(self, text: str) -> None:
        del text
        await asyncio.Event().wait()


async def test_a_reader_that_does_not_read_is_cut() -> None:
    jam = Jam()
    place = Place(Rules(), lambda symbol: True, lambda symbol, at, count: [])
    client = Client(cast(Socket, jam), SPOKEN["okx"].session(place, "", 0), lambda: 0)
    client.act([Say("x")] * WAITING_MAX)
    assert not jam.aborted
    client.act([Say("x")])
    assert jam.aborted
