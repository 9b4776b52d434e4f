"""What `docs/subscribing.md` shows is what the gateway reads and writes, and a client hears."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from rooms.event import PUBLIC, Kind
from rooms.index_price import Reason
from rooms.refusal import Refused
from rooms.room import VoidReason
from streams import frames, wishes
from streams.frames import AnyFrame, Happened
from streams.gateway import GatewaySettings
from streams.wishes import FEEDS_MAX, PricesWish, SettlementsWish, Wish
from tests.project.repository import blocks, document, rows

TEXT = document("subscribing.md")
FRAMES = [line for line in "".join(blocks(TEXT, "json")).splitlines() if '"kind"' in line]


def test_every_kind_of_frame_is_shown() -> None:
    shown = {type(frames.read(line)) for line in FRAMES}
    assert shown == set(AnyFrame.__args__)


@pytest.mark.parametrize("line", FRAMES)
def test_a_frame_is_shown_as_the_gateway_writes_it(line: str) -> None:
    assert frames.write(frames.read(line)) == line


def test_every_address_is_taken_as_it_is_meant() -> None:
    after = {"SOL/USD": 1200, "BTC/USD": None}
    meant: list[Wish | None] = [
        PricesWish(dict.fromkeys(after)),
        PricesWish(after),
        SettlementsWish(None),
        SettlementsWish(41),
        SettlementsWish(0),
        None,
    ]
    shown = [row[0].strip("`") for row in rows(TEXT, "Where") if row[0].startswith("`/")]
    assert [wishes.read_wish(target) for target in shown] == meant
    assert f"At most {FEEDS_MAX} feeds" in TEXT


def test_every_refused_address_is_refused_with_its_code() -> None:
    shown = {
        row[2].strip("`"): (row[0], row[1].strip("`"))
        for row in rows(TEXT, "Where")
        if row[0].isdigit() and row[2].startswith("`/")
    }
    assert {target: _refusal(target) for target in shown} == shown


def test_the_shown_refusal_is_what_is_said() -> None:
    (shown,) = (line for line in "".join(blocks(TEXT, "json")).splitlines() if '"error"' in line)
    with pytest.raises(Refused) as refused:
        wishes.read_wish("/v1/settlements?since=41")
    error = {"code": refused.value.code, "sentence": refused.value.sentence}
    assert shown == msgspec.json.encode({"error": error}).decode()


def test_every_event_and_every_reason_is_named() -> None:
    shown = [row[0].strip("`") for row in rows(TEXT, "event")]
    assert shown == [kind.value for kind in Kind if kind in PUBLIC] + list(VoidReason)
    assert [row[0].strip("`") for row in rows(TEXT, "prices")] == list(Reason)


def test_the_numbers_are_the_gateway_s_own() -> None:
    settings = GatewaySettings()
    assert f"at `ws://{settings.host}:{settings.port}`" in TEXT
    assert f"newest {settings.kept:,} frames" in TEXT
    assert f"more than {settings.subscribers_max:,} subscribers" in TEXT


async def test_the_shown_client_goes_on_after_a_lost_line_and_tells_nothing_twice() -> None:
    (source,) = blocks(TEXT, "python")
    names: dict[str, Any] = {}
    exec(compile(source, "subscribing.md", "exec"), names)
    settlements: Callable[[str], AsyncIterator[dict[str, Any]]] = names["settlements"]
    told = [line for line in FRAMES if isinstance(frames.read(line), Happened)]
    asked: list[str] = []

    async def tell_one(connection: ServerConnection) -> None:
        assert connection.request is not None
        asked.append(connection.request.path)
        wish = wishes.read_wish(connection.request.path)
        assert isinstance(wish, SettlementsWish)
        await connection.send('{"kind":"hello","heartbeat_ms":10000}')
        for line in told:
            await connection.send(line)  # The first ones again, as no line of ours would.
            if json.loads(line)["number"] > (wish.cursor or 0):
                break

    async with serve(tell_one, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        heard = []
        async with aclosing(settlements(f"ws://127.0.0.1:{port}")) as events:  # type: ignore[type-var]
            async for event in events:
                heard.append(event)
                if len(heard) == len(told):
                    break
    assert heard == [json.loads(line)["event"] for line in told]
    assert asked == [f"/v1/settlements?cursor={number}" for number in (0, 42, 44, 45)]


def _refusal(target: str) -> tuple[str, str]:
    try:
        wish = wishes.read_wish(target)
    except Refused as refusal:
        return "400", refusal.code
    assert wish is None, f"{target} is taken"
    return "404", "no_path"
