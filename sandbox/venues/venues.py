"""Venues: the venues as they run, and everything that can be done to them.

In        settings: a seed, or a recording; where to keep what was steered.
Out       what each client hears; the market's steering; faults on request.
Promises  prices follow the clock, so a restart does not take them back.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from sandbox.venues.asked import Desk
from sandbox.venues.client import Client, Socket
from sandbox.venues.faults import Faults
from sandbox.venues.market import ALL, BPS, Course, Market, Outage, Wick
from sandbox.venues.recording import Player, load
from sandbox.venues.session import Cut, Place, Rules, Spoken
from sandbox.venues.spoken import ANSWERED, SPOKEN
from sandbox.venues.supply import MarketSupply, Supply, WithTether

Clock = Callable[[], int]

STEP_MS = 20
BEHIND_MAX_MS = 1_000
STEERING_FILE = "steering.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenuesSettings:
    """Say what to serve and where; port 0 takes a free one.

    Attributes:
        recording: a capture file, or a folder of them, to serve instead of the market.
        pace: how many times as fast a recording plays.
        volatility_bps: how far prices usually walk in a minute.
        trade_ms: each venue trades each coin once in such a stretch.
        data_dir: where steering is kept over restarts; None keeps it in memory.
    """

    host: str = "127.0.0.1"
    port: int = 0
    control_port: int = 0
    seed: int = 1
    recording: Path | None = None
    pace: int = 1
    loop: bool = True
    volatility_bps: int = 12
    trade_ms: int = 125
    data_dir: Path | None = None
    rules: Rules = field(default_factory=Rules)


TETHER: Final = frozenset({"USDT"})


class Venues:
    """The venues as they run: their clients, their market, their faults."""

    def __init__(self, settings: VenuesSettings, clock: Clock) -> None:
        self.market = Market(
            settings.seed,
            volatility_bps=settings.volatility_bps,
            trade_ms=settings.trade_ms,
        )
        self.is_recording = settings.recording is not None
        self.port = self.control_port = 0
        self.publishing: asyncio.Task[None] | None = None
        self._settings = settings
        self._clock = clock
        self._supply: Supply = MarketSupply(self.market, settings.trade_ms)
        if settings.recording is not None:
            tapes = load(settings.recording, SPOKEN)
            player = Player(tapes, SPOKEN, pace=settings.pace, loop=settings.loop)
            tether = MarketSupply(self.market, settings.trade_ms, TETHER)
            self._supply = WithTether(player, tether)
        self._clients: dict[str, set[Client]] = {name: set() for name in SPOKEN}
        self._faults = {name: Faults() for name in SPOKEN}
        self.desks = {name: Desk(source, self.market, clock) for name, source in ANSWERED.items()}
        for name, desk in self.desks.items():
            self._faults[name] = desk.faults
        self._came_or_went = asyncio.Event()
        self._recall()

    def now(self) -> int:
        """Return the sandbox's moment."""
        return self._clock()

    def url(self, venue: str) -> str:
        """Return where a venue listens, or is asked."""
        if venue in self.desks:
            return f"{self.control_url}/asked/{venue}"
        return f"ws://{self._settings.host}:{self.port}{SPOKEN[venue].paths[0]}"

    def clients(self, venue: str) -> int:
        """Count a venue's open connections."""
        return len(self._clients.get(venue, ()))

    async def until_clients(self, venue: str, count: int) -> None:
        """Wait until a venue has exactly so many open connections."""
        while self.clients(venue) != count:
            self._came_or_went.clear()
            await self._came_or_went.wait()

    @property
    def control_url(self) -> str:
        """Return where the control port listens."""
        return f"http://{self._settings.host}:{self.control_port}"

    def jump(self, coin: str, bps: int) -> None:
        """Move a coin's price at once, at every venue."""
        self.market.jump(coin, bps, self.now())
        self._remember()

    def drift(
        self,
        coin: str,
        *,
        over_ms: int,
        bps: int = 0,
        to_e12: int | None = None,
        hold: bool = False,
    ) -> None:
        """Move a coin's price in a straight line, by so much or to a price; then hold or walk."""
        now = self.now()
        if to_e12 is None:
            to_e12 = self.market.price_e12(coin, now) * (BPS + bps) // BPS
        self.market.drift(coin, to_e12, over_ms, now, then_hold=hold)
        self._remember()

    def hold(self, coin: str) -> None:
        """Keep a coin's price flat."""
        self.market.hold(coin, self.now())
        self._remember()

    def walk(self, coin: str) -> None:
        """Let a coin's price walk again."""
        self.market.walk(coin, self.now())
        self._remember()

    def wick(self, venue: str, coin: str, bps: int, ms: int) -> None:
        """Let one venue's price stand off for a while."""
        self.market.wick(venue, coin, bps, ms, self.now())
        self._remember()

    def outage(self, ms: int, *, venue: str = ALL, coin: str = ALL) -> None:
        """Silence a coin, or cut a venue off and refuse it new connections, for a while."""
        self.market.outage(venue, coin, ms, self.now())
        self._remember()

    def half_open(self, venue: str) -> None:
        """Leave the open connections without a word in either direction."""
        if venue in self.desks:
            self.desks[venue].hangs += 1
        for client in self._clients.get(venue, ()):
            client.go_half_open()

    def cut(self, venue: str) -> None:
        """Close the open connections, as after 24 hours."""
        if venue in self.desks:
            self.desks[venue].cuts += 1
        for client in self._clients.get(venue, ()):
            client.act([Cut(1001, "24 hours")])

    def notice(self, venue: str) -> None:
        """Announce a shutdown where the venue does so, and close when its notice is over."""
        now = self.now()
        for client in self._clients.get(venue, ()):
            client.act(client.session.closing_soon(now))
            client.cut_at = now + self._settings.rules.notice_ms

    def throttle(self, venue: str, ms: int) -> None:
        """Hold everything back for a while, then send it at once."""
        self._faults[venue].throttle(self.now() + ms)

    def spoil(self, venue: str, count: int) -> None:
        """Spoil the next so many frames."""
        self._faults[venue].spoil(count)

    def duplicate(self, venue: str, ms: int) -> None:
        """Send everything twice for a while."""
        self._faults[venue].duplicate(self.now() + ms)

    def reorder(self, venue: str, ms: int) -> None:
        """Swap neighbours for a while."""
        self._faults[venue].reorder(self.now() + ms)

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse what no venue listens to, and venues that are out."""
        venue = _venue(request.path)
        if venue is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "no venue listens here\n")
        if self.market.is_out(venue, ALL, self.now()):
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "out for now\n")
        if _lacks_key(SPOKEN[venue], request):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "a key is wanted\n")
        if SPOKEN[venue].is_alone and self._clients[venue]:
            return connection.respond(HTTPStatus.FORBIDDEN, "one connection only\n")
        return None

    async def serve_client(self, connection: ServerConnection) -> None:
        """Carry one client's conversation."""
        assert isinstance(connection, Socket), "the server was told to make these"
        assert connection.request is not None, "a handler runs after the handshake"
        path = connection.request.path
        venue = _venue(path)
        assert venue is not None, "others were refused"
        place = Place(
            self._settings.rules,
            lambda symbol: self._supply.knows(venue, symbol),
            lambda symbol, at, count: self._supply.recent(venue, symbol, at, count),
        )
        client = Client(connection, SPOKEN[venue].session(place, path, self.now()), self._clock)
        self._clients[venue].add(client)
        self._came_or_went.set()
        try:
            await client.serve()
        finally:
            self._clients[venue].discard(client)
            self._came_or_went.set()

    async def publish(self) -> None:
        """Publish what is due, step by step, until cancelled."""
        last = self.now()
        while True:
            await asyncio.sleep(STEP_MS / 1000)
            now = self.now()
            last = max(last, now - BEHIND_MAX_MS)
            for venue, clients in self._clients.items():
                if clients:
                    self._publish(venue, tuple(clients), last, now)
            last = max(last, now)

    def drop_all(self) -> None:
        """End every connection at once."""
        for clients in self._clients.values():
            for client in clients:
                client.drop()

    def _publish(self, venue: str, clients: Iterable[Client], last: int, now: int) -> None:
        if self.market.is_out(venue, ALL, now):
            for client in clients:
                client.drop()
            return
        wanted = {each for client in clients for each in client.session.subscribed}
        published = self._supply.due(venue, wanted, last, now)
        for told in self._faults[venue].apply(published, now):
            for client in clients:
                if (told.channel, told.symbol) in client.session.subscribed:
                    client.act(client.session.told(told, now))
        for client in clients:
            client.act(client.session.passed(now))
            if client.cut_at is not None and now >= client.cut_at:
                client.act([Cut(1001, "service upgrade")])

    def _recall(self) -> None:
        file = self._steering_file()
        if file is not None and file.exists():
            kept = msgspec.json.decode(file.read_bytes(), type=_Steering)
            self.market.steer(kept.courses, kept.wicks, kept.outages)

    def _remember(self) -> None:
        file = self._steering_file()
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.with_suffix(".new")
            fresh.write_text(json.dumps(self.market.steering()), encoding="utf-8")
            fresh.replace(file)

    def _steering_file(self) -> Path | None:
        folder = self._settings.data_dir
        return folder / STEERING_FILE if folder is not None else None


class _Steering(msgspec.Struct):
    courses: dict[str, Course]
    wicks: list[Wick]
    outages: list[Outage]


def _lacks_key(spoken: Spoken, request: Request) -> bool:
    query = parse_qs(urlsplit(request.path).query)
    return (spoken.key_header is not None and spoken.key_header not in request.headers) or (
        spoken.key_query is not None and spoken.key_query not in query
    )


def _venue(path: str) -> str | None:
    asked = urlsplit(path).path
    for name, spoken in SPOKEN.items():
        if any(asked == known or asked.startswith(f"{known}/") for known in spoken.paths):
            return name
    return None
