"""Migrate: brings the database, the topics and the catalogue of feeds up to this version.

In        settings.
Out       what was changed.
Promises  to run it twice is to run it once; flags start closed in production, open when embedded.
"""

import asyncio
from dataclasses import replace

from cli.place import operator
from cli.settings import BadSettings, Settings
from rooms.catalogue import CATALOGUE
from rooms.feed import Feed
from storage import audit_log, feeds, flags
from storage.connections import open_connections, transaction
from storage.flags import Flag
from storage.migrate import migrate
from streams.feeds.sources import made_with
from streams.topics import create_topics


async def migrate_all(settings: Settings) -> list[str]:
    """Bring everything up to date; return the names of what was applied just now."""
    dsn = settings.database_url.get_secret_value()
    unknown = sorted(set(settings.standing_feeds) - set(CATALOGUE))
    if unknown:
        raise BadSettings(
            f"ROOMS_STANDING_FEEDS names {', '.join(unknown)}; there are {', '.join(CATALOGUE)}"
        )
    applied = await asyncio.to_thread(migrate, dsn)
    async with (
        open_connections(dsn, name="migrate", size_max=1) as connections,
        transaction(connections) as connection,
    ):
        for feed in CATALOGUE.values():
            await feeds.upsert(
                connection,
                _with_quorum(feed, settings.quorum),
                standing=feed.name in settings.standing_feeds,
                made_with=made_with(feed),
            )
        for name in applied:
            await audit_log.note(connection, "migrate", name, "rooms migrate", operator())
        known = await flags.known(connection)
        for flag in Flag:
            if flag not in known:
                embedded = settings.profile == "embedded"
                await flags.change(connection, flag, open=embedded, reason="at the first start")
    applied += await create_topics(
        settings.kafka, partitions=settings.kafka_partitions, replicas=settings.kafka_replicas
    )
    return applied


def _with_quorum(feed: Feed, quorum: int | None) -> Feed:
    if quorum is None:
        return feed
    return replace(feed, guards=replace(feed.guards, quorum=quorum))
