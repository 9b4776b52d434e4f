"""Deposits: compares what lies at every address of ours with the ledger, and posts what came in.

In        balances on two providers; the ledger's; each address's own history where they differ.
Out       entries to people, to the house, to `stray`; what undoes them; cursors; alarms.
Promises  a deposit is posted once, as soon as two providers have confirmed it, by whoever finds it
          first; what a fork takes back is undone once and to the lamport, or waits and freezes the
          person; an address whose history cannot be read stops, with its reason, and is never
          skipped; lamports that left by a signature which no attempt explains close everything
          at that look.
Why       from a person's address to itself a fork can lose nothing: a stake that such lamports paid
          vanishes with them, and nothing leaves to an outside address before they are final.
"""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet

import structlog

from chain.deposits import Cursor, Incoming, Stop, Stopped, sweep
from chain.standing import Standing, ask_standings
from chain.tokens import Token
from rooms.asset import SOL, Asset
from rooms.audit import Breach, Rule
from rooms.event import Event, Kind
from rooms.units import Address, Signature, UnixMs
from storage import addresses, attempts, audit, deposit_hints, outbox
from storage import deposits as deposit_rows
from storage.addresses import OwnAddress
from storage.connections import transaction
from storage.deposits import Became, NotFinal
from streams.custody import Custody
from streams.tokens import read_tokens

log = structlog.get_logger()


async def post_deposits(custody: Custody, named: Collection[Address] | None = None) -> int:
    """Look over all addresses, or those named, and post what came in; return how many were new."""
    async with custody.connections.acquire() as connection:
        tokens = await read_tokens(connection)
    posted = await _post_deposits(custody, None, named)
    if named is not None:
        return posted
    for token in tokens.values():
        posted += await _post_deposits(custody, token, None)
    await _undo_what_is_gone(custody)
    async with custody.connections.acquire() as connection:
        await deposit_hints.forget(connection)
    return posted


async def _post_deposits(
    custody: Custody, token: Token | None, named: Collection[Address] | None
) -> int:
    """Do it for SOL, or for all accounts of one token."""
    asset = SOL if token is None else Asset(token.name, token.decimals)
    async with custody.connections.acquire() as connection:
        known = (
            await addresses.with_balances(connection, named)
            if token is None
            else await addresses.accounts_with_balances(connection, token.name)
        )
        cursors = await deposit_rows.cursors(connection, named)
        not_final = await deposit_rows.not_final(connection)
        moving = await attempts.moving(connection)

    async def ours(signatures: Sequence[Signature]) -> AbstractSet[Signature]:
        async with custody.connections.acquire() as reader:
            return await attempts.are_ours(reader, signatures)

    found = await sweep(
        custody.providers,
        {each.address: lamports for each, lamports in known.items()},
        {address: Cursor(*position) for address, position in cursors.items()},
        ours,
        custody.deposits,
        in_any_case=frozenset(each.address for each in not_final if each.asset == asset),
        token=token,
        moving=moving if token is None else None,
    )
    owners = {each.address: each for each in known}
    posted = 0
    for incoming in found.incoming:
        posted += await post_one(custody, owners[incoming.address], incoming, asset)
    async with transaction(custody.connections) as writer:
        for address, cursor in found.cursors.items():
            await deposit_rows.move_cursor(writer, address, cursor.signature, cursor.slot)
        for stopped in found.stopped:
            if stopped.alarms:
                log.error("address stopped", address=stopped.address, why=stopped.why)
                await deposit_rows.stop_cursor(writer, stopped.address, stopped.why)
            if stopped.stop is Stop.LEFT_BY_STRANGER:
                await audit.report(writer, theft_of(stopped))
    return posted


async def told_by_webhook(custody: Custody) -> list[Address]:
    """Return the addresses at which a webhook says that something came in, each once."""
    async with custody.connections.acquire() as connection:
        return await deposit_hints.take(connection)


async def watch(custody: Custody) -> None:
    """Have sockets tell of the addresses at which a deposit is likeliest."""
    async with custody.connections.acquire() as connection:
        likely = await addresses.watched(connection, custody.watched_max)
        known = await addresses.with_balances(connection, likely)
    balances = {each.address: lamports for each, lamports in known.items()}
    custody.hints.want_addresses({each: balances[each] for each in likely})


def theft_of(stopped: Stopped) -> Breach:
    """Name what it is when lamports left an address of ours by a signature that is not ours."""
    assert stopped.stop is Stop.LEFT_BY_STRANGER, "only what left is a theft"
    return Breach(Rule.STRANGER, stopped.address, stopped.why, stopped.signature or "")


async def post_one(
    custody: Custody, owner: OwnAddress, incoming: Incoming, asset: Asset = SOL
) -> bool:
    """Post what came in to whose address it is; say whether it was new."""
    enough = custody.deposit_min(asset)
    async with transaction(custody.connections) as connection:
        became = await deposit_rows.post(
            connection,
            incoming.signature,
            incoming.address,
            lamports=incoming.lamports,
            other_lamports=incoming.other_lamports,
            slot=incoming.slot,
            final=incoming.finalized,
            lamports_min=enough,
        )
        if became is not Became.POSTED:
            return False
        if owner.user is not None and incoming.lamports >= enough:
            facts = {
                "lamports": str(incoming.lamports), "signature": incoming.signature, **asset.facts
            }  # fmt: skip
            told = Event(Kind.DEPOSIT_POSTED, incoming.block_time, user=owner.user, facts=facts)
            await outbox.tell(connection, [told])
    log.info(
        "deposit",
        address=incoming.address,
        asset=asset.name,
        lamports=incoming.lamports,
        other=incoming.other_lamports,
        final=incoming.finalized,
    )
    return True


async def _undo_what_is_gone(custody: Custody) -> None:
    """Ask where deposits stand that a fork can take back, and undo those that it took."""
    async with custody.connections.acquire() as connection:
        waiting = await deposit_rows.not_final(connection)
    if not waiting:
        return
    standings = await ask_standings(
        custody.providers, {each.signature: each.slot for each in waiting}
    )
    for each in waiting:
        if standings[each.signature] is Standing.GONE:
            await _undo(custody, each)


async def _undo(custody: Custody, deposit: NotFinal) -> None:
    async with transaction(custody.connections) as connection:
        undone = await deposit_rows.undo(connection, deposit.signature, deposit.address)
        if (
            undone
            and deposit.user is not None
            and deposit.lamports >= custody.deposit_min(deposit.asset)
        ):
            at = UnixMs(await connection.fetchval("SELECT now_ms()"))
            facts = {
                "lamports": str(deposit.lamports), "signature": deposit.signature,
                **deposit.asset.facts,
            }  # fmt: skip
            await outbox.tell(
                connection, [Event(Kind.DEPOSIT_UNDONE, at, user=deposit.user, facts=facts)]
            )
    if undone:
        log.warning("deposit undone", signature=deposit.signature, address=deposit.address)
    else:
        log.error("deposit gone, its owner is frozen", signature=deposit.signature,
                  address=deposit.address)  # fmt: skip
