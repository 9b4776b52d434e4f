"""Custody: signs, sends, posts and seals; the only process with keys, one at a time."""

import asyncio
from contextlib import AsyncExitStack
from random import SystemRandom
from typing import Final

from chain.providers import Providers
from chain.settings import ChainSettings, DepositSettings, FeeSettings
from chain.transactions import TRANSFERS_MAX
from cli.ready import tell_ready
from cli.settings import Settings
from cli.signer import open_signer
from rooms.units import Address
from storage.connections import open_connections
from storage.leases import Lease, begin_epoch, held
from streams import topics
from streams.addresses import ensure_operator
from streams.app import attach, build_app, run_app
from streams.custody import Custody
from streams.hints import follow
from streams.rounds import Pace, run_rounds, wake_bell

CUSTODY_CONNECTIONS: Final = 6


async def run(settings: Settings) -> None:
    """Sign, send, post and seal; or stand by while another custody does."""
    dsn, socket_url = settings.dsn, settings.socket_url
    fees = FeeSettings(
        version=settings.transaction_version,
        priority_fee_lamports=settings.priority_fee_lamports,
        priority_fee_lamports_max=settings.priority_fee_lamports_max,
        priority_fee_estimated=settings.priority_fee_estimated,
    )
    async with AsyncExitStack() as stack:
        lease = await stack.enter_async_context(held(dsn, Lease.CUSTODY, standing_by=tell_ready))
        connections = await stack.enter_async_context(
            open_connections(dsn, name="custody", size_max=CUSTODY_CONNECTIONS)
        )
        signer = await stack.enter_async_context(open_signer(settings, connections))
        providers = await stack.enter_async_context(
            Providers.of(ChainSettings(endpoints=settings.endpoints, fees=fees))
        )
        async with connections.acquire() as connection:
            epoch = await begin_epoch(connection, Lease.CUSTODY)
        custody = Custody(
            connections=connections,
            providers=providers,
            signer=signer,
            operator=await ensure_operator(connections, signer),
            fees=fees,
            deposits=DepositSettings(),
            deposit_lamports_min=settings.deposit_lamports_min,
            transfers_max=TRANSFERS_MAX[fees.version],
            fence=lease.fence,
            epoch=epoch,
            fee_payer_lamports_min=settings.fee_payer_lamports_min,
            fee_payer_lamports_low=settings.fee_payer_lamports_low,
            watched_max=0 if socket_url is None else settings.watched_addresses_max,
            tokens={name: Address(rule.mint) for name, rule in settings.tokens.items()},
            token_deposits_min={name: rule.deposit_min for name, rule in settings.tokens.items()},
        )
        bell = asyncio.Event()
        app = build_app("custody", settings.kafka)
        attach(app, topics.CUSTODY, wake_bell(bell, custody.hints.deposits), name="custody")
        pace = Pace(
            deposits_ms=settings.deposit_sweep_ms,
            heads_ms=settings.audit_memo_ms,
            rescan_ms=settings.rescan_ms,
        )
        work = [lambda: run_rounds(custody, bell, pace), lease.until_lost]
        if socket_url is not None:
            work.append(lambda: follow(custody.hints, socket_url, random=SystemRandom()))
        await run_app(app, work, ready=tell_ready)
