"""Auditor: checks all the time that money adds up, stops everything if not, and keeps the log.

In        the ledger as it grows, what lies on chain, acts and events.
Out       the flag for all closed within a second of a breach that the ledger shows; the audit log.
Promises  it only reads, appends to its log and closes; what was written is looked at within a
          second, what was written long ago again and again; a slow look over everything is followed
          by a long rest, so that it never takes more than a small part of one core.
Why       it is no part of what it checks: its own process, its own role, its own reading.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from chain.providers import Providers
from chain.settings import DepositSettings
from chain.tokens import Token
from rooms.audit import Breach, Doubts, Place, Rule, Watermark
from rooms.audit_log import BadRow
from rooms.units import UnixMs
from storage import audit, audit_log, events
from storage.again import PASSING, again
from storage.connections import Connections, transaction
from streams.comparison import compare
from streams.tokens import read_tokens

log = structlog.get_logger()

FLOOR_S: Final = 0.4
"""Without anybody ringing, the ledger is looked at so often."""
PAUSE_S: Final = 0.2
"""However often somebody rings, new rows are not looked at more often."""
REST: Final = 20
"""After a look over everything that took so long, it rests so many times as long."""
READ_AGAIN: Final = 5_000
"""How many old rows are looked at again each time."""
LOG_BATCH: Final = 500
VERIFY_EVERY_S: Final = 3_600.0


@dataclass(slots=True)
class Auditor:
    """What the auditor works with and remembers.

    Attributes:
        head_path: where the log's head is kept, apart from the database.
        chain_ms: how often every address is compared with the chain.
        clock: the time now.
    """

    connections: Connections
    providers: Providers
    head_path: Path
    clock: Callable[[], UnixMs]
    chain_ms: int = 10_000
    deposits: DepositSettings = field(default_factory=DepositSettings)
    doubts: Doubts = field(default_factory=Doubts)
    watermark: Watermark = field(default_factory=Watermark)
    reread: Place = field(default_factory=Place)

    async def breached(self, found: list[Breach]) -> None:
        """Pause everything because of what was found, and say so once."""
        for breach in found:
            async with self.connections.acquire() as connection:
                new = await audit.report(connection, breach)
            if new:
                log.error("breach", rule=breach.rule.value, what=breach.what, paused="all")


async def run_auditor(auditor: Auditor, ready: Callable[[], None] = lambda: None) -> None:
    """Audit until cancelled; ready after the first look."""
    await again(lambda: begin(auditor))
    await again(lambda: look_at_all(auditor))
    ready()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_watch_news(auditor))
        tasks.create_task(_watch_all(auditor))
        tasks.create_task(_watch_chain(auditor))
        tasks.create_task(_keep_log(auditor))


async def begin(auditor: Auditor) -> None:
    """Start at what is there now; what is older is read again from its beginning, part by part."""
    async with auditor.connections.acquire() as connection:
        auditor.watermark = Watermark(checked=(await audit.look(connection)).place)


async def look_at_news(auditor: Auditor) -> None:
    """Look over what was written since the last look."""
    async with auditor.connections.acquire() as connection:
        seen, found = await audit.news(connection, auditor.watermark.checked)
    await auditor.breached(found)
    auditor.watermark.after(seen)


async def look_at_all(auditor: Auditor) -> None:
    """Look over everything as it stands, and once more over a part of what was written long ago."""
    low, end = auditor.reread, auditor.watermark.checked
    high = Place(
        min(low.entry + READ_AGAIN, end.entry),
        min(low.transfer + READ_AGAIN, end.transfer),
        min(low.attempt + READ_AGAIN, end.attempt),
    )
    async with auditor.connections.acquire() as connection:
        found = await audit.whole(connection)
        found += await audit.between(connection, low, high)
    await auditor.breached(found)
    auditor.reread = Place() if high == end else high


async def look_at_chain(auditor: Auditor) -> None:
    """Compare every address with the chain; what nothing explains for long is a breach."""
    async with auditor.connections.acquire() as connection:
        tokens = await read_tokens(connection)
    for token in (None, *tokens.values()):
        await _look_at_chain(auditor, token)


async def _look_at_chain(auditor: Auditor, token: Token | None) -> None:
    """Compare what lies at addresses, or what of a token lies at accounts for it."""
    compared = await compare(auditor.connections, auditor.providers, auditor.deposits, token)
    if compared.not_known:
        log.warning("chain_not_known", why="; ".join(compared.not_known)[:300])
    for each in compared.unexplained:
        if auditor.doubts.since(each.lying.address) is None:
            log.warning(
                "difference", address=each.lying.address, slot=each.lying.slot,
                provider=each.lying.provider, lamports=each.unexplained,
            )  # fmt: skip
    found = [*compared.strangers, *auditor.doubts.judge(compared.differences, auditor.clock())]
    await auditor.breached(found)


async def add_to_log(auditor: Auditor, seen: int = 0) -> int:
    """Write new acts and events into the log; return up to which event they were read.

    Nothing is added to a log that is not the one whose head was kept.
    """
    kept = audit_log.read_head(auditor.head_path)
    while True:
        async with transaction(auditor.connections) as connection:
            bad = await audit_log.check_head(connection, kept)
            if bad is None:
                before = await audit_log.end(connection)
                if kept is None:
                    # Kept before there is a row: to die in between is no loss of the head.
                    kept = before.head
                    audit_log.write_head(auditor.head_path, kept)
                after, read = await audit_log.append(connection, before, seen, LOG_BATCH)
        if bad is not None:
            await auditor.breached([_of_log(bad)])
            return seen
        if after.head != kept:
            audit_log.write_head(auditor.head_path, after.head)
            kept = after.head
        if after == before and read == seen:
            return read
        seen = read


async def verify_log(auditor: Auditor) -> bool:
    """Go along the whole log; say whether every row is what it was."""
    kept = audit_log.read_head(auditor.head_path)
    async with auditor.connections.acquire() as connection:
        led = await audit_log.verify_all(connection, kept)
    if isinstance(led, BadRow):
        await auditor.breached([_of_log(led)])
        return False
    return True


async def _watch_news(auditor: Auditor) -> None:
    while True:
        await again(lambda: _while_it_rings(auditor))


async def _while_it_rings(auditor: Auditor) -> None:
    async with events.bell(auditor.connections) as bell:
        while not bell.is_lost:
            bell.clear()
            await again(lambda: look_at_news(auditor))
            await asyncio.sleep(PAUSE_S)
            await bell.wait(FLOOR_S)


async def _watch_all(auditor: Auditor) -> None:
    while True:
        took_s = await _timed(lambda: look_at_all(auditor))
        await asyncio.sleep(max(FLOOR_S, took_s * REST))


async def _watch_chain(auditor: Auditor) -> None:
    while True:
        took_s = 0.0
        try:
            took_s = await _timed(lambda: look_at_chain(auditor))
        except* PASSING as trouble:
            # Reading addresses side by side, one connection was lost: the next look begins anew.
            log.warning("chain_look_broke_off", why=type(trouble.exceptions[0]).__name__)
        await asyncio.sleep(max(auditor.chain_ms / 1_000, took_s))


async def _keep_log(auditor: Auditor) -> None:
    loop = asyncio.get_running_loop()
    verified_at: float | None = None
    seen = 0
    while True:
        if verified_at is None or loop.time() - verified_at > VERIFY_EVERY_S:
            await again(lambda: verify_log(auditor))
            verified_at = loop.time()
        seen = await again(partial(add_to_log, auditor, seen))
        await asyncio.sleep(FLOOR_S)


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await again(work)
    return loop.time() - begun


def _of_log(bad: BadRow) -> Breach:
    return Breach(Rule.AUDIT_LOG, str(bad.number), f"the audit log: {bad.why}")
