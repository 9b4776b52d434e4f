"""Rounds: custody's work, again and again: on a wake-up at once, and on timers in any case.

In        a bell that wake-ups ring; hints that something may be new; how often each round comes.
Promises  a chain that cannot be read makes a round wait, never guess; a database that is away is
          waited out; a signature that came back wrong closes signing and nothing else; anything
          else ends the process, which goes on from its rows when it is started again.
Why       twice, late, out of order and never are one case when every round looks at the rows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from chain.trouble import NotKnown
from rooms.units import Address
from storage.again import again
from streams.addresses import give_addresses
from streams.audit_heads import put_head
from streams.custody import Custody
from streams.deposits import post_deposits, told_by_webhook, watch
from streams.freezing import unless_frozen
from streams.receipts import post_fates
from streams.releases import release_overdue
from streams.rescan import rescan_due
from streams.restoring import is_restoring, look_back, may_be_missing_stakes, restore
from streams.seals import seal_due
from streams.tokens import ensure_tokens
from streams.transfers import resend, sign_due
from streams.wake import WakeUps

log = structlog.get_logger()

Done = TypeVar("Done")

RESCAN_LOOK_MS: Final = 60_000
LOOKS: Final = 3
"""How often an address is looked at because of one hint."""
LOOK_AGAIN_S: Final = 0.4
REST_S: Final = 0.1
"""Between two looks at deposits, whatever is hinted at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often each round comes, in milliseconds.

    Attributes:
        work_ms: signing, addresses and seals, when no wake-up comes.
        fates_ms: asking what became of attempts.
        resend_ms: sending the same bytes again.
        deposits_ms: comparing balances.
        health_ms: asking each provider how far it is.
        heads_ms: putting the audit log's end on the chain; 0 never does.
        rescan_ms: reading every address's whole history on the second provider; 0 never does.
    """

    work_ms: int = 1_000
    fates_ms: int = 500
    resend_ms: int = 2_000
    deposits_ms: int = 15_000
    health_ms: int = 10_000
    heads_ms: int = 0
    rescan_ms: int = 0


async def run_rounds(custody: Custody, bell: asyncio.Event, pace: Pace) -> None:
    """Do custody's rounds until cancelled."""

    async def work() -> None:
        if await is_restoring(custody):
            await restore(custody)
            return
        await unless_frozen(custody, give_addresses)
        while await unless_frozen(custody, sign_due):
            pass
        await release_overdue(custody)

    async def fates() -> None:
        await post_fates(custody)
        if not await may_be_missing_stakes(custody):
            await seal_due(custody)

    left_out: set[str] = set()

    async def examine() -> None:
        standings = await custody.providers.examine()
        for each in standings:
            if each.why and each.name not in left_out:
                log.warning("provider left out", provider=each.name, why=each.why)
            if not each.why and each.name in left_out:
                log.info("provider let back", provider=each.name)
        left_out.clear()
        left_out.update(each.name for each in standings if each.why)

    async with asyncio.TaskGroup() as rounds:
        rounds.create_task(_again(examine, pace.health_ms))
        # Nothing else begins before custody knows whether this database has forgotten anything.
        await _once(lambda: _ensure_tokens(custody), pace.work_ms)
        await _once(lambda: look_back(custody), pace.work_ms)
        rounds.create_task(_again(work, pace.work_ms, bell))
        rounds.create_task(_again(fates, pace.fates_ms, custody.hints.fates))
        rounds.create_task(_again(lambda: resend(custody), pace.resend_ms))
        rounds.create_task(_look_for_deposits(custody, pace.deposits_ms))
        if pace.rescan_ms:
            rounds.create_task(_again(lambda: rescan_due(custody, pace.rescan_ms), RESCAN_LOOK_MS))
        if pace.heads_ms:
            rounds.create_task(_again(lambda: unless_frozen(custody, put_head), pace.heads_ms))


async def _look_for_deposits(custody: Custody, every_ms: int) -> None:
    """Look over all addresses by the clock, and in between at those that a hint names.

    A hint can come before the second provider knows what the first one told, so what it names is
    looked at a few times.
    """
    hints, loop = custody.hints, asyncio.get_running_loop()
    due_at = loop.time()
    looks: dict[Address, int] = {}
    while True:
        hints.name(await again(lambda: told_by_webhook(custody)))
        hints.deposits.clear()
        looks |= dict.fromkeys(hints.take_named(), LOOKS)
        if loop.time() >= due_at:
            await _try(lambda: post_deposits(custody))
            if custody.watched_max:
                await _try(lambda: watch(custody))
            due_at = loop.time() + every_ms / 1000
        elif looks:
            named = frozenset(looks)
            posted = await _try(lambda: post_deposits(custody, named))  # noqa: B023 - awaited here
            if posted is not None and posted >= len(named):
                looks.clear()
        looks = {address: left - 1 for address, left in looks.items() if left > 1}
        # However much is hinted at, it is not looked at without rest.
        await asyncio.sleep(REST_S)
        next_at = min(due_at, loop.time() + LOOK_AGAIN_S) if looks else due_at
        try:
            async with asyncio.timeout_at(next_at):
                await hints.deposits.wait()
        except TimeoutError:
            continue


async def _ensure_tokens(custody: Custody) -> None:
    await ensure_tokens(custody.connections, custody.providers, custody.tokens)


async def _once(work: Callable[[], Awaitable[object]], every_ms: int) -> None:
    """Do this before anything else, however long the chain cannot be read."""
    while True:
        try:
            await again(work)
        except* NotKnown as trouble:
            log.warning("chain not readable now", why="; ".join(map(str, trouble.exceptions)))
        else:
            return
        await asyncio.sleep(every_ms / 1000)


async def _again(
    work: Callable[[], Awaitable[object]], every_ms: int, bell: asyncio.Event | None = None
) -> None:
    while True:
        if bell is not None:
            bell.clear()
        await _try(work)
        if bell is None:
            await asyncio.sleep(every_ms / 1000)
            continue
        try:
            async with asyncio.timeout(every_ms / 1000):
                await bell.wait()
        except TimeoutError:
            continue


async def _try(work: Callable[[], Awaitable[Done]]) -> Done | None:
    """Do this; nothing when the chain cannot be read now."""
    try:
        return await again(work)
    except* NotKnown as trouble:
        log.warning("chain not readable now", why="; ".join(map(str, trouble.exceptions)))
    return None


def wake_bell(*bells: asyncio.Event) -> Callable[[WakeUps], Awaitable[None]]:
    """Return the agent that rings ``bells`` for every wake-up, acknowledged at once."""

    async def agent(stream: WakeUps) -> None:
        async for wake_up in stream.noack().events():
            wake_up.ack()
            for bell in bells:
                bell.set()

    return agent
