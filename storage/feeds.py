"""Feeds: where the series that we can stand behind are written down.

In        feeds of the catalogue; a person who begins a room on one.
Out       feeds by name; those that somebody needs now.
Promises  a feed's scale never changes once it is written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import msgspec

from rooms.feed import Feed, Guards
from rooms.refusal import Impossible
from rooms.units import Bps
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("feeds")


@dataclass(frozen=True, slots=True)
class WantedFeed:
    """A feed that somebody needs now, and what each source calls it."""

    name: str
    scale: int
    symbols: Mapping[str, str]
    guards: Guards = field(default_factory=Guards)
    price: str | None = None
    supply: str | None = None


async def upsert(
    connection: Connection, feed: Feed, *, standing: bool, made_with: Sequence[str] = ()
) -> Guards:
    """Write a feed down; a standing one is wanted with no room on it too.

    ``made_with`` names the feeds that its values are made with: they are wanted when it is.

    Returns:
        the guards in force: those that were, while a room is open that was opened by them.

    Raises:
        Impossible: when it is there with another scale.
    """
    written = await connection.fetchval(
        SQL["upsert"],
        feed.name,
        feed.unit,
        feed.scale,
        dict(feed.symbols),
        feed.volatility_bps,
        guards_to_json(feed.guards),
        standing,
        feed.price,
        feed.supply,
        feed.liquidity,
        feed.meaning,
        feed.offered,
        sorted({*made_with, *filter(None, (feed.price, feed.supply, feed.liquidity))}),
    )
    if written is None:
        raise Impossible(f"{feed.name} is there with another scale, which never changes")
    return guards_from_json(written)


async def every(connection: Connection) -> dict[str, Feed]:
    """Return all feeds by name."""
    return {row["name"]: feed_of(row) for row in await connection.fetch(SQL["all"])}


async def offered(connection: Connection) -> dict[str, Feed]:
    """Return the feeds that rooms are made on, by name."""
    return {row["name"]: feed_of(row) for row in await connection.fetch(SQL["offered"])}


async def named(connection: Connection, names: Iterable[str]) -> dict[str, Feed]:
    """Return the feeds of these names; a name that is none is left out."""
    rows = await connection.fetch(SQL["named"], list(names))
    return {row["name"]: feed_of(row) for row in rows}


async def wanted(connection: Connection) -> list[WantedFeed]:
    """Return the feeds that somebody needs now."""
    return [
        WantedFeed(**{**row, "guards": guards_from_json(row["guards"])})
        for row in await connection.fetch(SQL["wanted"])
    ]


async def draft(connection: Connection, name: str) -> None:
    """Note that somebody began a room on a feed, so that it is wanted from now on."""
    await connection.execute(SQL["draft"], name)


def guards_to_json(guards: Guards) -> dict[str, Any]:
    """Return guards as `jsonb` holds them."""
    plain: dict[str, Any] = msgspec.to_builtins(guards)
    return plain


def guards_from_json(plain: Mapping[str, Any]) -> Guards:
    """Return guards from what `jsonb` holds."""
    return msgspec.convert(plain, Guards)


def feed_of(row: "asyncpg.Record") -> Feed:
    """Read a row of `feeds`."""
    return Feed(
        name=row["name"],
        unit=row["unit"],
        scale=row["scale"],
        symbols=row["symbols"],
        volatility_bps=Bps(row["volatility_bps"]),
        guards=guards_from_json(row["guards"]),
        price=row["price"],
        supply=row["supply"],
        liquidity=row["liquidity"],
        meaning=row["meaning"],
        offered=row["offered"],
        expression=row["expression"],
        inputs=row["inputs"],
    )
