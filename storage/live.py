"""Live: the price of each feed as it is now, in Redis.

In        what the prices stage told last of each feed.
Out       that, for the bot, the openings and the gateway; None when it is not known.
Promises  nothing here is the only copy of anything: all of it may be lost at any moment, and an
          unreachable server looks like a price that is not known. An older word never replaces
          a newer one, whoever writes it.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio as redis
import structlog

from rooms.index_price import Reason
from rooms.units import UnixMs, Value

FRESH_MS: Final = 3_000
ANSWER_LIMIT_S: Final = 2.0

_SET: Final = """
local seen = redis.call('HGET', KEYS[1], 'seen_at')
if seen and tonumber(seen) > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'seen_at', unpack(ARGV))
return 1
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePrice:
    """What we stand behind now, or why we do not.

    Attributes:
        value: the index price; None in a silence.
        at: the log's time of the change to this value or silence.
        seen_at: the log's time until which it is known to be so.
        silence: why there is no price.
        agreeing: how many sources counted, of ``known`` that have spoken; ``quorum`` must.
        position: the offset of the last message whose prices have been told; -1 for none.
        told_at: that message's time.
    """

    feed: str
    value: Value | None
    at: UnixMs
    seen_at: UnixMs
    silence: Reason | None
    agreeing: int
    known: int
    quorum: int
    position: int
    told_at: UnixMs

    def value_at(self, now: UnixMs, fresh_ms: int = FRESH_MS) -> Value | None:
        """Return the price, unless there is none or the log has stopped ``fresh_ms`` ago."""
        return self.value if now - self.seen_at <= fresh_ms else None


class Live:
    """The live prices of all feeds."""

    def __init__(self, server: "redis.Redis") -> None:
        self._server = server
        self._set = server.register_script(_SET)

    async def set_prices(self, prices: Iterable[LivePrice]) -> bool:
        """Write live prices in one go; say whether the server took them."""
        try:
            async with self._server.pipeline(transaction=False) as pipeline:
                for price in prices:
                    await self._set(keys=[_key(price.feed)], args=_fields(price), client=pipeline)
                await pipeline.execute()
        except (redis.RedisError, OSError) as trouble:
            log.warning("live_prices_not_written", why=type(trouble).__name__)
            return False
        return True

    async def prices_of(self, feeds: Iterable[str]) -> dict[str, LivePrice]:
        """Return the live price of each feed that has one."""
        names = list(feeds)
        try:
            async with self._server.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.hgetall(_key(name))
                answers = await pipeline.execute()
        except (redis.RedisError, OSError) as trouble:
            log.warning("live_prices_not_read", why=type(trouble).__name__)
            return {}
        return {
            name: _price(name, answer)
            for name, answer in zip(names, answers, strict=True)
            if answer
        }

    async def price_of(self, feed: str) -> LivePrice | None:
        """Return the live price of a feed, or None when it is not known."""
        return (await self.prices_of([feed])).get(feed)

    async def ping(self) -> bool:
        """Say whether the server answers."""
        try:
            await self._server.ping()
        except (redis.RedisError, OSError):
            return False
        return True


@asynccontextmanager
async def open_live(url: str) -> AsyncIterator[Live]:
    """Open the way to Redis at ``url``, which may hold a password and is never logged."""
    server = redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=ANSWER_LIMIT_S,
        socket_connect_timeout=ANSWER_LIMIT_S,
    )
    try:
        yield Live(server)
    finally:
        await server.aclose()


def _key(feed: str) -> str:
    return f"live:{feed}"


def _fields(price: LivePrice) -> list[Any]:
    fields: dict[str, Any] = {
        "at": price.at,
        "agreeing": price.agreeing,
        "known": price.known,
        "quorum": price.quorum,
        "position": price.position,
        "told_at": price.told_at,
    }
    if price.value is not None:
        fields["value"] = price.value
    if price.silence is not None:
        fields["silence"] = price.silence.value
    return [price.seen_at, *(part for pair in fields.items() for part in pair)]


def _price(feed: str, fields: dict[str, str]) -> LivePrice:
    value, silence = fields.get("value"), fields.get("silence")
    return LivePrice(
        feed=feed,
        value=None if value is None else Value(int(value)),
        at=UnixMs(int(fields["at"])),
        seen_at=UnixMs(int(fields["seen_at"])),
        silence=None if silence is None else Reason(silence),
        agreeing=int(fields["agreeing"]),
        known=int(fields["known"]),
        quorum=int(fields["quorum"]),
        position=int(fields["position"]),
        told_at=UnixMs(int(fields["told_at"])),
    )
