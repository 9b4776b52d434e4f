"""Control: steers the running venues over HTTP, in JSON.

In        ``POST /jump {"coin": "SOL", "bps": 300}`` and its like, one path a command.
Out       ``GET /state``: the moment, every common price, open connections, what was steered.
Promises  a command is checked whole before anything changes; a refusal says what was wrong.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from sandbox.venues.market import ALL, PRICE_SCALE
from sandbox.venues.spoken import ANSWERED, SPOKEN
from sandbox.venues.venues import Venues

Bps = Annotated[int, msgspec.Meta(gt=-10_000, le=1_000_000)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=86_400_000)]
Price = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class _Command(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    coin: str = ALL
    venue: str = ALL


class _Jump(_Command):
    bps: Bps


class _Drift(_Command):
    over_ms: Milliseconds
    bps: Bps = 0
    to: Price | None = None
    hold: bool = False


class _ForMs(_Command):
    ms: Milliseconds


class _Wick(_Command):
    bps: Bps
    ms: Milliseconds


class _Spoil(_Command):
    count: Count = 1


def control_app(venues: Venues) -> Starlette:
    """Make the control port's application."""
    commands: dict[str, tuple[type[_Command], Callable[..., None]]] = {
        "jump": (_Jump, lambda asked: venues.jump(_coin(venues, asked), asked.bps)),
        "drift": (_Drift, lambda asked: _drift(venues, asked)),
        "hold": (_Command, lambda asked: venues.hold(_coin(venues, asked))),
        "walk": (_Command, lambda asked: venues.walk(_coin(venues, asked))),
        "wick": (
            _Wick,
            lambda asked: venues.wick(_venue(asked), _coin(venues, asked), asked.bps, asked.ms),
        ),
        "outage": (
            _ForMs,
            lambda asked: venues.outage(asked.ms, venue=asked.venue, coin=asked.coin),
        ),
        "half_open": (_Command, lambda asked: venues.half_open(_venue(asked))),
        "cut": (_Command, lambda asked: venues.cut(_venue(asked))),
        "notice": (_Command, lambda asked: venues.notice(_venue(asked))),
        "throttle": (_ForMs, lambda asked: venues.throttle(_venue(asked), asked.ms)),
        "duplicate": (_ForMs, lambda asked: venues.duplicate(_venue(asked), asked.ms)),
        "reorder": (_ForMs, lambda asked: venues.reorder(_venue(asked), asked.ms)),
        "spoil": (_Spoil, lambda asked: venues.spoil(_venue(asked), asked.count)),
    }

    async def steer(request: Request) -> JSONResponse:
        shape, do = commands[request.url.path.removeprefix("/")]
        try:
            asked = msgspec.json.decode(await request.body() or b"{}", type=shape)
            _must_be_known(venues, asked)
            do(asked)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse(_state(venues))

    async def state(request: Request) -> JSONResponse:
        del request
        return JSONResponse(_state(venues))

    routes = [Route(f"/{name}", steer, methods=["POST"]) for name in commands]
    asked = [Mount(f"/asked/{name}", desk) for name, desk in venues.desks.items()]
    return Starlette(routes=[*routes, *asked, Route("/state", state)])


@asynccontextmanager
async def running_control(venues: Venues, listener: socket.socket) -> AsyncIterator[None]:
    """Serve the control port on a bound socket while the block runs."""
    config = uvicorn.Config(control_app(venues), log_config=None, lifespan="off")
    server = _QuietServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        server.force_exit = True
        await serving
        listener.close()


class _QuietServer(uvicorn.Server):
    """Leaves signals to the process it runs in."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _must_be_known(venues: Venues, asked: _Command) -> None:
    if asked.coin != ALL and asked.coin not in venues.market.coins:
        raise ValueError(f"no coin {asked.coin!r}; there are {', '.join(venues.market.coins)}")
    if asked.venue != ALL and asked.venue not in (*SPOKEN, *ANSWERED):
        raise ValueError(f"no venue {asked.venue!r}; there are {', '.join((*SPOKEN, *ANSWERED))}")


def _coin(venues: Venues, asked: _Command) -> str:
    if venues.is_recording:
        raise ValueError("a recording's prices cannot be steered")
    if asked.coin == ALL:
        raise ValueError("name a coin")
    return asked.coin


def _venue(asked: _Command) -> str:
    if asked.venue == ALL:
        raise ValueError("name a venue")
    return asked.venue


def _drift(venues: Venues, asked: _Drift) -> None:
    to_e12 = None
    if asked.to is not None:
        whole, _, fraction = asked.to.partition(".")
        to_e12 = int(whole + fraction.ljust(PRICE_SCALE, "0"))
        if to_e12 == 0:
            raise ValueError("a price stays above zero")
    coin = _coin(venues, asked)
    venues.drift(coin, over_ms=asked.over_ms, bps=asked.bps, to_e12=to_e12, hold=asked.hold)


def _state(venues: Venues) -> dict[str, object]:
    now = venues.now()
    return {
        "at": now,
        "prices_e12": {coin: venues.market.price_e12(coin, now) for coin in venues.market.coins},
        "urls": {venue: venues.url(venue) for venue in (*SPOKEN, *ANSWERED)},
        "connections": {venue: venues.clients(venue) for venue in SPOKEN},
        "steering": venues.market.steering(),
    }
