"""Processes: each of the product's processes, put together from its settings.

In        settings.
Out       a coroutine a process, which runs until it is cancelled.
Promises  a process is handed only what it needs: only custody sees the keystore's passphrase, only
          the bot its token; it says that it is ready when it does its work.
"""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from functools import partial
from random import SystemRandom
from typing import Final

from bot.app import run_bot
from bot.settings import BotSettings, PaceSettings
from chain.keystore import Keystore
from chain.providers import Providers
from chain.settings import ChainSettings, DepositSettings, Endpoint, FeeSettings
from chain.transactions import TRANSFERS_MAX
from cli.ready import tell_ready
from cli.settings import Settings
from rooms.room import ROOM_ID_BITS
from rooms.units import UnixMs
from storage.connections import Connections, open_connections
from storage.leases import Lease, held
from storage.live import open_live
from streams import topics
from streams.addresses import ensure_operator
from streams.app import attach, build_app, positions, run_app
from streams.custody import Custody
from streams.gateway import GatewaySettings, run_gateway
from streams.log_ends import open_log_ends
from streams.money import Money, SigningPace
from streams.prices import PriceDeps, attach_prices
from streams.producer import KafkaProducer, open_producer
from streams.relay import relay
from streams.rounds import Pace, run_rounds, wake_bell
from streams.sweeps import forget_sent, money_claims, sweep
from streams.ticks import FeedsSettings, run_feeds
from streams.wake import wake_agent
from streams.watchdog import watch

WORKER_CONNECTIONS: Final = 12
CUSTODY_CONNECTIONS: Final = 6
FORGET_EVERY_S: Final = 60.0
QUICK: Final = PaceSettings(
    all_per_s=200, chat_per_s=50, chat_burst=50, acts_per_minute=600, acts_burst=200
)
"""The stand-in for Telegram on this machine takes more than Telegram does."""


def now_ms() -> UnixMs:
    """Read this machine's clock."""
    return UnixMs(time.time_ns() // 1_000_000)


async def run_feeds_process(settings: Settings) -> None:
    """Hear the venues and write ticks."""
    async with (
        open_connections(_dsn(settings), name="feeds", size_max=2) as connections,
        open_producer(settings.kafka, name="feeds") as producer,
    ):
        await run_feeds(
            FeedsSettings(urls=settings.venue_urls),
            connections=connections,
            producer=producer,
            random=SystemRandom(),
            ready=tell_ready,
        )


async def run_worker_process(settings: Settings) -> None:
    """Decide prices, rooms, bets, settlements and withdrawals; relay the outbox; sweep."""
    async with AsyncExitStack() as stack:
        connections = await stack.enter_async_context(
            open_connections(_dsn(settings), name="worker", size_max=WORKER_CONNECTIONS)
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
            withdrawal_limits=settings.withdrawals,
            signing=SigningPace(
                stakes_per_s=settings.stakes_per_second, land_ms=settings.landing_ms
            ),
        )
        app = build_app("worker", settings.kafka)
        attach_prices(
            app,
            PriceDeps(
                connections=connections,
                live=live,
                producer=producer,
                ends=ends,
                partitions=settings.kafka_partitions,
                clock=now_ms,
            ),
        )
        claims = money_claims(money)
        for topic, each in claims.items():
            attach(app, topic, wake_agent(each), name=topic)
        places = positions(app)
        await run_app(
            app,
            [
                lambda: relay(_dsn(settings), relay_producer),
                lambda: sweep(claims),
                lambda: watch(app, ends, places),
                lambda: _forget(connections),
            ],
            ready=tell_ready,
        )


async def run_bot_process(settings: Settings) -> None:
    """Talk to people."""
    told = BotSettings(
        token=settings.telegram_token.get_secret_value(),
        base_url=settings.telegram_url,
        limits=settings.limits,
        withdrawals=settings.withdrawals,
        pace=QUICK if settings.profile == "embedded" else PaceSettings(),
    )
    async with (
        open_connections(_dsn(settings), name="bot", size_max=told.handlers + 6) as connections,
        open_live(settings.redis_url.get_secret_value()) as live,
    ):
        await run_bot(told, connections, live, ready=tell_ready, clock=now_ms)


async def run_gateway_process(settings: Settings) -> None:
    """Stream prices and public events to programs."""
    async with open_connections(_dsn(settings), name="gateway", size_max=4) as connections:
        await run_gateway(
            GatewaySettings(
                host=settings.gateway_host,
                port=settings.gateway_port,
                partitions=settings.kafka_partitions,
            ),
            connections=connections,
            bootstrap=settings.kafka,
            clock=now_ms,
            ready=lambda _: tell_ready(),
        )


async def run_custody_process(settings: Settings) -> None:
    """Sign, send, post and seal."""
    dsn = _dsn(settings)
    fees = FeeSettings(version=settings.transaction_version)
    endpoints = tuple(
        Endpoint(f"provider {number}", url) for number, url in enumerate(settings.solana_urls, 1)
    )
    signer = await asyncio.to_thread(
        Keystore.open, settings.keystore, settings.keystore_passphrase.get_secret_value()
    )
    async with AsyncExitStack() as stack:
        until_lost = await stack.enter_async_context(held(dsn, Lease.CUSTODY))
        connections = await stack.enter_async_context(
            open_connections(dsn, name="custody", size_max=CUSTODY_CONNECTIONS)
        )
        providers = await stack.enter_async_context(
            Providers.of(ChainSettings(endpoints=endpoints, fees=fees))
        )
        custody = Custody(
            connections=connections,
            providers=providers,
            signer=signer,
            operator=await ensure_operator(connections, signer),
            fees=fees,
            deposits=DepositSettings(),
            deposit_lamports_min=settings.deposit_lamports_min,
            transfers_max=TRANSFERS_MAX[fees.version],
        )
        bell = asyncio.Event()
        app = build_app("custody", settings.kafka)
        attach(app, topics.CUSTODY, wake_bell(bell), name="custody")
        pace = Pace(deposits_ms=settings.deposit_sweep_ms)
        await run_app(app, [lambda: run_rounds(custody, bell, pace), until_lost], ready=tell_ready)


async def _forget(connections: Connections) -> None:
    while True:
        await forget_sent(connections)
        await asyncio.sleep(FORGET_EVERY_S)


def _dsn(settings: Settings) -> str:
    return settings.database_url.get_secret_value()
