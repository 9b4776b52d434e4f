"""Sweeps: the same claims that wake-ups cause, on a timer in every worker.

In        claims by name; how often.
Promises  what no wake-up told of is done all the same; nobody is elected, as the rows decide.
Why       twice, late, out of order and never are then one case.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import structlog

from streams import bets, openings, returns, settlements, withdrawals
from streams.money import Money
from streams.wake import Claim, drain

log = structlog.get_logger()

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
            partial(withdrawals.claim_cancelled, money),
            partial(withdrawals.claim_due, money),
        ],
    }


def slow_claims(money: Money) -> dict[str, list[Claim]]:
    """Return the claims that no wake-up causes, as nobody waits for them."""
    return {
        "returns": [
            partial(returns.claim_earnings, money),
            partial(returns.claim_returns, money),
        ]
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
