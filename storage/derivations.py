"""Derivations: feeds that are expressions over other feeds.

In        an expression that somebody wrote down, in its one form.
Out       the feed that it is; those that are wanted now; the past of their inputs, in steps.
Promises  a derived feed is written once and never changed; the database itself refuses one whose
          name is not that of its text, or whose inputs are not plain feeds.
"""

from typing import Final

from rooms.feed import Feed
from rooms.look_back import Step
from rooms.refusal import Refused
from rooms.units import UnixMs
from storage.connections import Connection
from storage.feeds import feed_of, guards_to_json
from storage.sql import queries

SQL: Final = queries("derivations")

WANTED_MAX: Final = 500
"""Derived feeds that are wanted at once; every input's price goes to each of them."""


async def define(connection: Connection, feed: Feed) -> None:
    """Write a derived feed down, unless it is there, and note that somebody needs it.

    Raises:
        Refused: when too many are wanted already.
    """
    written = await connection.fetchval(
        SQL["define"],
        feed.expression,
        dict(feed.inputs),
        feed.unit,
        feed.scale,
        feed.volatility_bps,
        guards_to_json(feed.guards),
        feed.liquidity,
        WANTED_MAX,
    )
    if not written:
        raise Refused(
            "too_many", "Too many expressions are in use just now; try again later, or a coin."
        )


async def wanted(connection: Connection) -> dict[str, Feed]:
    """Return the derived feeds that somebody needs now, by name."""
    return {row["name"]: feed_of(row) for row in await connection.fetch(SQL["wanted"])}


async def steps(connection: Connection, feed: str, step_ms: int, since: UnixMs) -> list[Step]:
    """Return what is stored of a feed's past, in steps of a length."""
    return [Step(**row) for row in await connection.fetch(SQL["steps"], feed, step_ms, since)]
