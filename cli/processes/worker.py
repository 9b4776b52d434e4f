"""Worker: decides prices, rooms, bets, settlements and withdrawals; relays and sweeps."""

import secrets
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from cli.clock import now_ms
from cli.ready import tell_ready
from cli.settings import Settings
from rooms.room import ROOM_ID_BITS
from storage.connections import open_connections
from storage.live import open_live
from streams.app import attach, build_app, positions, run_app
from streams.forgetting import forget
from streams.log_ends import open_log_ends
from streams.money import Money, SigningPace
from streams.prices import PriceDeps, attach_prices
from streams.producer import KafkaProducer, open_producer
from streams.relay import relay
from streams.sweeps import money_claims, slow_claims, sweep
from streams.wake import wake_agent
from streams.watchdog import watch

WORKER_CONNECTIONS: Final = 12


async def run(settings: Settings) -> None:
    """Decide prices, rooms, bets, settlements and withdrawals; relay the outbox; sweep."""
    async with AsyncExitStack() as stack:
        connections = await stack.enter_async_context(
            open_connections(settings.dsn, name="worker", size_max=WORKER_CONNECTIONS)
        )
        live = await stack.enter_async_context(open_live(settings.redis_url.get_secret_value()))
        ends = await stack.enter_async_context(open_log_ends(settings.kafka))
        producer = await stack.enter_async_context(open_producer(settings.kafka, name="prices"))
        relay_producer = KafkaProducer(settings.kafka, name="relay")
        stack.push_async_callback(relay_producer.close)
        money = Money(
            connections=connections,
            prices=live,
            new_room_id=partial(secrets.randbits, ROOM_ID_BITS),
            room_limits=settings.limits,
            evidence_wait_ms=settings.evidence_wait_ms,
            floor_idle_ms=settings.floor_idle_ms,
            earning_lamports_min=settings.earning_lamports_min,
            signing=SigningPace(
                stakes_per_s=settings.stakes_per_second, land_ms=settings.landing_ms
            ),
            token_stakes=settings.token_stakes,
        )
        app = build_app("worker", settings.kafka)
        places = positions(app)
        attach_prices(
            app,
            PriceDeps(
                connections=connections,
                live=live,
                producer=producer,
                ends=ends,
                partitions=settings.kafka_partitions,
                clock=now_ms,
                note_progress=places.note_progress,
            ),
        )
        claims = money_claims(money)
        for topic, each in claims.items():
            attach(app, topic, wake_agent(each, places.note_progress), name=topic)
        await run_app(
            app,
            [
                lambda: relay(settings.dsn, relay_producer),
                lambda: sweep(claims),
                lambda: sweep(slow_claims(money), every_s=settings.returns_ms / 1000),
                lambda: watch(app, ends, places),
                lambda: forget(connections, seconds_kept_ms=settings.seconds_kept_ms),
            ],
            ready=tell_ready,
        )
