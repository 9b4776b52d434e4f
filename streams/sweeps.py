"""Sweeps: the same claims that wake-ups cause, on a timer in every worker.

In        claims by name; how often.
Promises  what no wake-up told of is done all the same; nobody is elected, as the rows decide.
Why       twice, late, out of order and never are then one case.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import structlog

from storage import outbox
from storage.connections import Connections, transaction
from streams import bets, openings, settlements, withdrawals
from streams.money import Money
from streams.wake import Claim, drain

log = structlog.get_logger()

SENT_KEPT_MS: Final = 3_600_000
DELETED_MAX: Final = 5_000

Sleep = Callable[[float], Awaitable[None]]


def money_claims(money: Money) -> dict[str, list[Claim]]:
    """Return the claims that the wake-ups of each topic cause."""
    return {
        "openings": [
            partial(openings.claim_requests, money),
            partial(openings.claim_drafts, money),
        ],
        "bets": [partial(bets.claim_bets, money)],
        "settlements": [
            partial(settlements.claim_settlements, money),
            partial(settlements.claim_paid, money),
        ],
        "withdrawals": [
            partial(withdrawals.claim_asked, money),
            partial(withdrawals.claim_due, money),
        ],
    }


async def sweep(
    claims: Mapping[str, Sequence[Claim]], *, every_s: float = 1.0, sleep: Sleep = asyncio.sleep
) -> None:
    """Make every claim again and again until cancelled."""
    while True:
        for topic, each in claims.items():
            done = await drain(each)
            if done:
                log.info("sweep_found", topic=topic, rows=done)
        await sleep(every_s)


async def forget_sent(connections: Connections, *, kept_ms: int = SENT_KEPT_MS) -> int:
    """Delete wake-ups and log messages that the broker has had for so long; events stay."""
    async with transaction(connections) as connection:
        return await outbox.delete_sent(connection, kept_ms=kept_ms, limit=DELETED_MAX)
