"""Migrate: brings the database, the topics, feeds and limits up to this version and settings.

In        settings.
Out       what was changed.
Promises  to run it twice is to run it once; flags start closed in production, open when embedded.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import asdict, fields, replace
from typing import Final

import structlog

from cli.place import operator
from cli.settings import BadSettings, Settings
from rooms.catalogue import CATALOGUE
from rooms.feed import Feed, Guards
from rooms.refusal import Impossible
from storage import audit_log, bets, feeds, flags, withdrawal_limits
from storage.connections import Connection, open_connections, transaction
from storage.flags import Flag
from storage.migrate import migrate
from streams.feeds.sources import made_with
from streams.topics import create_topics

EVERY_FEED: Final = "*"

log = structlog.get_logger()


async def migrate_all(settings: Settings) -> list[str]:
    """Bring everything up to date; return the names of what was applied just now."""
    dsn = settings.database_url.get_secret_value()
    unknown = sorted(set(settings.standing_feeds) - set(CATALOGUE))
    if unknown:
        raise BadSettings(
            f"ROOMS_STANDING_FEEDS names {', '.join(unknown)}; there are {', '.join(CATALOGUE)}"
        )
    strangers = sorted(set(settings.guards) - {EVERY_FEED, *CATALOGUE})
    if strangers:
        raise BadSettings(f"ROOMS_GUARDS names {', '.join(strangers)}, which is no feed here")
    wanted = [_as_set(feed, settings) for feed in CATALOGUE.values()]
    applied = await asyncio.to_thread(migrate, dsn)
    async with (
        open_connections(dsn, name="migrate", size_max=1) as connections,
        transaction(connections) as connection,
    ):
        changed = await write_feeds(connection, wanted, settings.standing_feeds)
        for name in applied:
            await audit_log.note(connection, "migrate", name, "rooms migrate", operator())
        await withdrawal_limits.take_over(connection, settings.withdrawals, operator())
        for token, rule in settings.tokens.items():
            await withdrawal_limits.take_over(connection, rule.withdrawals, operator(), token)
        await bets.limit_returned_fees(connection, settings.returned_fee_lamports_hour_max)
        known = await flags.known(connection)
        for flag in Flag:
            if flag not in known:
                embedded = settings.profile == "embedded"
                await flags.change(connection, flag, open=embedded, reason="at the first start")
    applied += changed
    applied += await create_topics(
        settings.kafka, partitions=settings.kafka_partitions, replicas=settings.kafka_replicas
    )
    return applied


async def write_feeds(
    connection: Connection, wanted: Sequence[Feed], standing: Collection[str]
) -> list[str]:
    """Write feeds down; return a line for each whose guards are others than they were."""
    before = await feeds.every(connection)
    changed: list[str] = []
    for feed in wanted:
        in_force = await feeds.upsert(
            connection, feed, standing=feed.name in standing, made_with=made_with(feed)
        )
        if in_force != feed.guards:
            log.warning("guards_kept", feed=feed.name, why="a room is open that has them")
        if feed.name in before:
            was, now = asdict(before[feed.name].guards), asdict(in_force)
            told = [f"{name} {was[name]} → {now[name]}" for name in now if was[name] != now[name]]
            if told:
                changed.append(f"guards of {feed.name}: {', '.join(told)}")
    return changed


def _as_set(feed: Feed, settings: Settings) -> Feed:
    """Return a feed with the guards that the operator wants.

    Raises:
        BadSettings: when they cannot be guards.
    """
    changes = {**settings.guards.get(EVERY_FEED, {}), **settings.guards.get(feed.name, {})}
    if settings.quorum is not None:
        changes["quorum"] = settings.quorum
    if isinstance(changes.get("quorum"), int):
        changes["quorum"] = _reached(changes["quorum"], feed, settings)
    unknown = sorted(set(changes) - {each.name for each in fields(Guards)})
    if unknown:
        raise BadSettings(f"ROOMS_GUARDS knows no {', '.join(unknown)}; see docs/prices.md")
    try:
        guards = feeds.guards_from_json({**feeds.guards_to_json(feed.guards), **changes})
    except (ValueError, Impossible) as wrong:
        raise BadSettings(f"ROOMS_GUARDS of {feed.name}: {wrong}") from None
    return replace(feed, guards=guards)


def _reached(quorum: int, feed: Feed, settings: Settings) -> int:
    """Return how many sources of a feed must agree: a number for every feed is at most all of one.

    Raises:
        BadSettings: when there are not so many.
    """
    for_all = settings.quorum is not None or "quorum" not in settings.guards.get(feed.name, {})
    most = max(map(_sources, CATALOGUE.values())) if for_all else _sources(feed)
    if quorum > most:
        variable = "ROOMS_GUARDS" if settings.quorum is None else "ROOMS_QUORUM"
        whose = "no feed has" if for_all else f"{feed.name} has not"
        raise BadSettings(
            f"{variable}: a quorum of {quorum} is never reached, {whose} more than {most} sources; "
            "nothing was changed"
        )
    return min(quorum, _sources(feed))


def _sources(feed: Feed) -> int:
    """Count the sources that can agree; a market cap has those of its price."""
    symbols = feed.symbols if feed.price is None else CATALOGUE[feed.price].symbols
    return len(set(symbols) - {feed.guards.witness})
