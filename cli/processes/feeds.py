"""Feeds: hears the venues and writes ticks."""

from random import SystemRandom

from cli.ready import tell_ready
from cli.settings import Settings
from storage.connections import open_connections
from streams.producer import open_producer
from streams.ticks import FeedsSettings, run_feeds


async def run(settings: Settings) -> None:
    """Hear the venues and write ticks."""
    async with (
        open_connections(settings.dsn, name="feeds", size_max=2) as connections,
        open_producer(settings.kafka, name="feeds") as producer,
    ):
        await run_feeds(
            FeedsSettings(
                urls=settings.venue_urls,
                push_at=(settings.push_host, settings.push_port) if settings.push_port else None,
                keys={name: key.get_secret_value() for name, key in settings.source_keys.items()},
            ),
            connections=connections,
            producer=producer,
            random=SystemRandom(),
            ready=tell_ready,
        )
