"""Deposits: compares what lies at every address of ours with the ledger, and posts what came in.

In        balances on two providers; the ledger's; each address's own history where they differ.
Out       entries to people, to the house, to `stray`; cursors; alarms.
Promises  a deposit is posted once, when it is final, by whoever finds it first; an address whose
          history cannot be read stops, with its reason, and is never skipped.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import structlog

from chain.deposits import Cursor, Incoming, sweep
from rooms import ledger
from rooms.event import Event, Kind
from rooms.ledger import Account, Entry
from rooms.units import Address, Signature
from storage import addresses, attempts, outbox
from storage import deposits as deposit_rows
from storage import ledger as ledger_rows
from storage.addresses import OwnAddress
from storage.connections import transaction
from streams.custody import Custody

log = structlog.get_logger()


async def post_deposits(custody: Custody) -> int:
    """Look over all addresses and post what came in; return how many deposits were new."""
    async with custody.connections.acquire() as connection:
        known = await addresses.with_balances(connection)
        cursors = await deposit_rows.cursors(connection)

    async def ours(signatures: Sequence[Signature]) -> AbstractSet[Signature]:
        async with custody.connections.acquire() as reader:
            return await attempts.are_ours(reader, signatures)

    found = await sweep(
        custody.providers,
        {each.address: lamports for each, lamports in known.items()},
        {address: Cursor(*position) for address, position in cursors.items()},
        ours,
        custody.deposits,
    )
    owners = {each.address: each for each in known}
    posted = 0
    for incoming in found.incoming:
        if incoming.finalized:
            posted += await _post(custody, owners, incoming)
    async with transaction(custody.connections) as writer:
        for address, cursor in found.cursors.items():
            await deposit_rows.move_cursor(writer, address, cursor.signature, cursor.slot)
        for stopped in found.stopped:
            if stopped.alarms:
                log.error("address stopped", address=stopped.address, why=stopped.why)
                await deposit_rows.stop_cursor(writer, stopped.address, stopped.why)
    return posted


async def _post(custody: Custody, owners: Mapping[Address, OwnAddress], incoming: Incoming) -> bool:
    owner = owners[incoming.address]
    account = _account(owner, incoming, custody)
    entries = _entries(incoming, account)
    async with transaction(custody.connections) as connection:
        fresh = await deposit_rows.insert(
            connection, incoming.signature, incoming.address,
            incoming.lamports or incoming.other_lamports, incoming.slot, account,
        )  # fmt: skip
        if not fresh:
            return False
        if owner.user is not None and account == ledger.available(owner.user):
            facts = {"lamports": str(incoming.lamports), "signature": incoming.signature}
            told = Event(Kind.DEPOSIT_POSTED, incoming.block_time, user=owner.user, facts=facts)
            await outbox.tell(connection, [told])
        await ledger_rows.post(connection, entries)
    log.info("deposit", account=account.name, lamports=incoming.lamports)
    return True


def _account(owner: OwnAddress, incoming: Incoming, custody: Custody) -> Account:
    match owner.kind:
        case "user":
            assert owner.user is not None, "a person's address names the person"
            if incoming.lamports >= custody.deposit_lamports_min:
                return ledger.available(owner.user)
            return ledger.stray(owner.address)
        case "vault":
            return ledger.stray(owner.address)
        case "treasury" | "fee_payer":
            return ledger.HOUSE


def _entries(incoming: Incoming, account: Account) -> list[Entry]:
    """Post transfers to the owner; what came along in any other way is nobody's: `stray`."""
    entries: list[Entry] = []
    if incoming.lamports:
        entries.append(
            ledger.deposit(incoming.signature, incoming.address, incoming.lamports, account)
        )
    if incoming.other_lamports:
        stray = ledger.deposit(
            incoming.signature,
            incoming.address,
            incoming.other_lamports,
            ledger.stray(incoming.address),
        )
        entries.append(Entry(f"{stray.key}:other", stray.postings))
    return entries
