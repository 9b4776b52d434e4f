"""Restoring: reads back from the chain what an old database has forgotten.

In        the finalized history of the fee payer, who signs every transaction of ours; their memos.
Out       stakes with their sides, withdrawals and outcomes rebuilt; attempts beside the transfers
          that they moved, so that receipts post them as ever; what could not be placed, with why.
Promises  a signature of ours that the database does not know closes everything at custody's start;
          until all of them are placed nothing is signed, sealed or given an address; what has moved
          once is found planned and is not signed again.
Why       a restored database believes that payouts of yesterday are still due. The chain knows, and
          each transaction on it says by its memo what it was for.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from chain.deposits import Cursor, final_history
from chain.reading import LandedTransaction
from chain.rpc import Rpc
from chain.signer import KeyPath
from chain.tokens import ACCOUNT_BYTES, Token, read_holding, token_account
from chain.trouble import NotKnown
from rooms.asset import SOL
from rooms.transfer import TransferKind
from rooms.units import Address, BlockHeight, Lamports, Signature, Slot
from storage import addresses, attempts, restores
from storage import deposits as deposit_rows
from storage.addresses import OwnAddress
from storage.connections import Connection, transaction
from storage.restores import NotRebuiltError
from streams.custody import Custody, path_of
from streams.tokens import read_tokens

log = structlog.get_logger()

WHO: Final = "custody"
_NEVER: Final = BlockHeight(2**62)
_STAKE: Final = re.compile(r"r1 stake (?P<room>\d{1,19}) (?P<stake>\d{1,18}) (?P<side>[YN])")
_OUT: Final = re.compile(r"r1 out (?P<withdrawal>\d{1,18})")
_SETTLED: Final = re.compile(r"r1 settled (?P<room>\d{1,19}) (?P<outcome>YES|NO|VOID) [0-9a-f]{64}")
_FLOOR: Final = re.compile(r"r1 floor \d{1,18}")
_EARNED: Final = re.compile(r"r1 earned \d{1,18}")
_SIDES: Final = {"Y": "YES", "N": "NO"}
_FROM_VAULT: Final = (TransferKind.PAYOUT, TransferKind.REFUND, TransferKind.SHARES)


@dataclass(frozen=True, slots=True)
class Move:
    """Lamports, or a token's base units, that went from one place to another."""

    source: Address
    destination: Address
    lamports: Lamports
    token: Token | None = None


class NotPlacedError(Exception):
    """A transaction cannot be placed now; the message says what it waits for."""


async def look_back(custody: Custody) -> None:
    """Find signings of ours that the database does not know; the first one closes everything.

    Every start of custody does this, from where the fee payer was last read to; while a restore is
    open that was not read for yet, from the first transaction on.
    """
    fee_payer = custody.operator.fee_payer
    async with custody.connections.acquire() as connection:
        restore = await restores.under_way(connection)
        cursors = await deposit_rows.cursors(connection)
    whole = restore is not None and not restore.is_read
    after = None if whole or fee_payer not in cursors else Cursor(*cursors[fee_payer])
    listed = await final_history(custody.providers, fee_payer, after, custody.deposits)
    async with custody.connections.acquire() as connection:
        known = await attempts.are_ours(connection, [each.signature for each in listed])
    for each in listed:
        if each.signature in known:
            continue
        signature = each.signature
        landed = await custody.providers.agreed(lambda rpc: rpc.landed(signature, "finalized"))  # noqa: B023 - awaited before the next
        if landed.fee_payer != fee_payer:
            continue
        assert landed.block_time is not None, "a landed transaction was read with its time"
        async with transaction(custody.connections) as connection:
            reason = f"the chain has {signature} of ours, and this database does not know it"
            if await restores.begin(connection, reason, WHO):
                log.error("restore begins", why=reason)
            await restores.remember(
                connection, signature, landed.slot, landed.block_time, _memo(landed)
            )
    if whole:
        async with custody.connections.acquire() as connection:
            await restores.has_read(connection)


async def is_restoring(custody: Custody) -> bool:
    """Say whether a restore is open: then nothing is signed and nobody is given an address."""
    async with custody.connections.acquire() as connection:
        return await restores.under_way(connection) is not None


async def may_be_missing_stakes(custody: Custody) -> bool:
    """Say whether the chain may have stakes that this database has not: then no pool is whole."""
    async with custody.connections.acquire() as connection:
        return await restores.holds_seals(connection)


async def restore(custody: Custody) -> int:
    """Place what can be placed now, and end when nothing is left; return how many wait."""
    async with custody.connections.acquire() as connection:
        under_way = await restores.under_way(connection)
    if under_way is None:
        return 0
    if not under_way.is_read:
        await check_addresses(custody)
        await look_back(custody)
    async with custody.connections.acquire() as connection:
        waiting = await restores.waiting(connection)
    left = 0
    for each in waiting:
        try:
            landed = await custody.providers.agreed(
                lambda rpc: rpc.landed(each.signature, "finalized")  # noqa: B023 - awaited before the next
            )
            await _place(custody, landed)
        except NotKnown:
            left += 1
        except (NotPlacedError, NotRebuiltError) as why:
            left += 1
            await _waits(custody, each, why)
    if not left:
        await _end(custody)
    return left


async def _waits(custody: Custody, each: restores.Forgotten, why: Exception) -> None:
    said = str(why).partition("\n")[0]
    if said != each.waits_for:
        log.warning("restore waits", signature=each.signature, memo=each.memo, why=said)
        async with custody.connections.acquire() as connection:
            await restores.waits(connection, each.signature, said)


async def _end(custody: Custody) -> None:
    async with transaction(custody.connections) as connection:
        if not await restores.is_attempt_open(connection):
            await restores.end(connection)
            log.warning("restore ended", next="rooms audit, then rooms resume all")


async def _place(custody: Custody, landed: LandedTransaction) -> None:
    """Write a transaction of ours down as the attempt that it was.

    Raises:
        NotPlacedError: with what it waits for; nothing was written.
    """
    fee_payer = custody.operator.fee_payer
    floors: dict[Address, int] = {}
    for each in landed.moved:
        if each.source == fee_payer:
            floors[each.destination] = floors.get(each.destination, 0) + each.lamports
    async with transaction(custody.connections) as connection:
        await custody.fence(connection)
        moved = await _moves(custody, connection, landed)
        found: list[int] = []
        for move in moved:
            found.append(await _transfer(custody, connection, landed, move, found))
        await attempts.write_down(
            connection,
            signature=landed.signature,
            raw=b"",  # It has landed: nobody sends it again.
            last_valid_height=_NEVER,
            context_slot=Slot(landed.slot - 1),
            fee_payer=fee_payer,
            memo=_memo(landed),
            transfers=found,
            floors=[(address, Lamports(lamports)) for address, lamports in floors.items()],
            epoch=custody.epoch,
        )
        await restores.placed(connection, landed.signature)
    log.info("placed", signature=landed.signature, memo=_memo(landed), transfers=len(found))


async def _transfer(
    custody: Custody,
    connection: Connection,
    landed: LandedTransaction,
    moved: Move,
    taken: Sequence[int],
) -> int:
    """Return the planned transfer that this movement was, rebuilt when the memo says how."""
    memo = _memo(landed)
    kinds: tuple[TransferKind, ...] = _FROM_VAULT
    if stake := _STAKE.fullmatch(memo):
        kinds = (TransferKind.STAKE,)
    elif out := _OUT.fullmatch(memo):
        kinds = (TransferKind.WITHDRAWAL,)
    elif _FLOOR.fullmatch(memo):
        kinds = (TransferKind.RETURN,)
    elif _EARNED.fullmatch(memo):
        kinds = (TransferKind.EARNING,)
    found = await restores.planned(
        connection, moved.source, moved.destination, moved.lamports, kinds, taken
    )
    if found is None:
        if stake:
            await _rebuild_stake(custody, connection, landed.signature, stake, moved)
        elif kinds == (TransferKind.WITHDRAWAL,):
            assert out is not None, "a withdrawal's memo names it"
            await restores.restore_withdrawal(
                connection, landed.signature, int(out["withdrawal"]),
                moved.source, moved.destination, moved.lamports,
            )  # fmt: skip
        elif kinds == (TransferKind.RETURN,):
            await restores.restore_return(
                connection, landed.signature, moved.source, moved.lamports
            )
        elif kinds == (TransferKind.EARNING,):
            await restores.restore_earning(
                connection, landed.signature, moved.destination, moved.lamports
            )
        else:
            await _restore_outcome(custody, landed)
        found = await restores.planned(
            connection, moved.source, moved.destination, moved.lamports, kinds, taken
        )
    if found is None:
        raise NotPlacedError(
            f"{moved.lamports} lamports went from {moved.source} to {moved.destination}, "
            "and nothing like it is planned yet"
        )
    transfer, is_free = found
    if not is_free:
        raise NotPlacedError("another attempt of this transfer has no fate yet")
    return transfer


async def _moves(custody: Custody, connection: Connection, landed: LandedTransaction) -> list[Move]:
    """Return what a transaction of ours moved beside fees and rent, as it was planned.

    Raises:
        NotPlacedError: when it moved a token that is not allowed, or whose account it was sent to
            cannot be told.
    """
    fee_payer = custody.operator.fee_payer
    moves = [
        Move(each.source, each.destination, each.lamports)
        for each in landed.moved
        if each.source != fee_payer
    ]
    by_mint = {token.mint: token for token in (await read_tokens(connection)).values()}
    for each in landed.tokens_moved:
        token = by_mint.get(each.mint) if each.mint else None
        if token is None:
            raise NotPlacedError(f"{each.mint} is no token of the settings")
        # An old database may not have written down yet where a wallet of ours keeps it.
        wallets = await addresses.owners(connection, [each.authority])
        if each.authority in wallets and token_account(each.authority, token) == each.source:
            own = wallets[each.authority]
            await addresses.insert_accounts(connection, token.name, [(each.source, own)])
        destination = each.destination
        if _OUT.fullmatch(_memo(landed)):
            destination = await _wallet_of(custody, destination, token)
        moves.append(Move(each.source, destination, Lamports(each.amount), token))
    return moves


async def _wallet_of(custody: Custody, account: Address, token: Token) -> Address:
    """Return whose a token account is, by two providers; a withdrawal names its wallet."""

    async def look(rpc: Rpc) -> Address | None:
        _, found = await rpc.stored([account], "finalized", ACCOUNT_BYTES + 1)
        holding = read_holding(found[account], token)
        return None if holding is None else holding.owner

    owner = await custody.providers.agreed(look)
    if owner is None or token_account(owner, token) != account:
        raise NotPlacedError(f"whose account for {token.name} {account} is")
    return owner


async def _rebuild_stake(
    custody: Custody,
    connection: Connection,
    signature: Signature,
    memo: re.Match[str],
    moved: Move,
) -> None:
    room = int(memo["room"])
    owners = await addresses.owners(connection, [moved.source, moved.destination])
    if moved.source not in owners:
        raise NotPlacedError(f"whose address {moved.source} is: the person must send /start")
    if moved.destination not in owners:
        vault = await custody.signer.address(KeyPath.vault(room))
        token = moved.token
        place = vault if token is None else token_account(vault, token)
        if place != moved.destination:
            raise NotPlacedError(f"{moved.destination} is not the vault of room {room}")
        asset = SOL.name if token is None else token.name
        await restores.restore_room(connection, signature, room, vault, asset)
        if token is not None:
            own = OwnAddress(vault, "vault", room=room)
            await addresses.insert_accounts(connection, token.name, [(place, own)])
    await restores.restore_stake(
        connection, signature, int(memo["stake"]), moved.source, moved.destination,
        _SIDES[memo["side"]], moved.lamports,
    )  # fmt: skip


async def _restore_outcome(custody: Custody, landed: LandedTransaction) -> None:
    """Let a room be decided as it was told; its settlement then plans what was paid."""
    settled = _SETTLED.fullmatch(_memo(landed))
    if settled is not None:
        async with transaction(custody.connections) as connection:
            await restores.restore_outcome(
                connection, landed.signature, int(settled["room"]), settled["outcome"]
            )


async def check_addresses(custody: Custody) -> None:
    """Compare every address on record with the one that follows from whose it is.

    Raises:
        RuntimeError: when one is not: this database is not of this signer.
    """
    async with custody.connections.acquire() as connection:
        known = [each.address for each in await addresses.with_balances(connection)]
        owners = await addresses.owners(connection, known)
    for each in owners.values():
        if await custody.signer.address(path_of(each)) != each.address:
            raise RuntimeError(f"{each.address} is not this signer's address for whom it is")


def _memo(landed: LandedTransaction) -> str:
    """Return the memo that the owner of the money signed; nothing else counts."""
    owners = [each.source for each in landed.moved] + [
        each.authority for each in landed.tokens_moved
    ]
    for owner in owners:
        for memo in landed.memos_of(owner) if owner != landed.fee_payer else ():
            return memo
    return ""
