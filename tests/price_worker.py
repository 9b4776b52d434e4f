"""A worker of the prices stage as a process, for tests that kill it.

Run       python -m tests.price_worker DSN REDIS_URL BOOTSTRAP PARTITIONS GROUP
"""

import asyncio
import sys

from storage.connections import open_connections
from storage.live import open_live
from streams.app import build_app, run_app
from streams.log_ends import open_log_ends
from streams.prices import PriceDeps, attach_prices
from streams.producer import open_producer
from tests.pricing import now_ms


async def main(dsn: str, redis_url: str, bootstrap: str, partitions: str, group: str) -> None:
    async with (
        open_connections(dsn, name="worker") as connections,
        open_live(redis_url) as live,
        open_producer(bootstrap, name="worker") as producer,
        open_log_ends(bootstrap) as ends,
    ):
        app = build_app(group, bootstrap)
        attach_prices(
            app,
            PriceDeps(
                connections=connections,
                live=live,
                producer=producer,
                ends=ends,
                partitions=int(partitions),
                clock=now_ms,
            ),
        )
        await run_app(app)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
