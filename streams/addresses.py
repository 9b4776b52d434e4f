"""Addresses: gives every person a wallet and every room a vault, derived from who they are.

In        people and drafts without an address.
Out       the address, written once; the news of it.
Promises  the same person or room gets the same address whenever it is asked, on any database.
"""

from collections.abc import Sequence

from chain.signer import KeyPath, Signer
from chain.tokens import token_account
from rooms.event import Event, Kind
from storage import addresses, outbox
from storage.addresses import Operator, OwnAddress
from storage.connections import Connections, transaction
from streams.custody import Custody
from streams.tokens import read_tokens


async def ensure_operator(connections: Connections, signer: Signer) -> Operator:
    """Write treasury and fee payer down, and return them.

    Raises:
        RuntimeError: when this signer is not the one that the database was made with.
    """
    treasury = await signer.address(KeyPath.treasury())
    fee_payer = await signer.address(KeyPath.fee_payer())
    async with transaction(connections) as connection:
        found = await addresses.operator(connection)
        if found is None:
            await addresses.insert(
                connection,
                [OwnAddress(treasury, "treasury"), OwnAddress(fee_payer, "fee_payer")],
            )
            return Operator(treasury, fee_payer)
    if found != Operator(treasury, fee_payer):
        raise RuntimeError(
            "this keystore is not the one that the database was made with; give the right one"
        )
    return found


async def give_addresses(custody: Custody) -> int:
    """Give everybody an address who has none; return how many got one."""
    async with custody.connections.acquire() as connection:
        people = await addresses.people_without(connection)
        rooms = await addresses.rooms_without(connection)
    wallets = [
        OwnAddress(await custody.signer.address(KeyPath.user(user)), "user", user=user)
        for user in people
    ]
    vaults = [
        OwnAddress(await custody.signer.address(KeyPath.vault(room)), "vault", room=room)
        for room in rooms
    ]
    if not wallets and not vaults:
        return await _give_token_accounts(custody)
    async with transaction(custody.connections) as connection:
        fresh = await addresses.insert(connection, [*wallets, *vaults])
        at: int = await connection.fetchval("SELECT now_ms()")
        await outbox.tell(
            connection, _ready([each for each in wallets if each.address in fresh], at)
        )
        if vaults:
            await outbox.wake(connection, "openings")
    return len(fresh) + await _give_token_accounts(custody)


async def _give_token_accounts(custody: Custody) -> int:
    """Write down where each address keeps each token; on chain it is opened when it is needed."""
    given = 0
    async with transaction(custody.connections) as connection:
        for token in (await read_tokens(connection)).values():
            without = await addresses.wallets_without(connection, token.name)
            if not without:
                continue
            await addresses.insert_accounts(
                connection,
                token.name,
                [(token_account(each.address, token), each) for each in without],
            )
            given += len(without)
            if any(each.kind == "vault" for each in without):
                await outbox.wake(connection, "openings")
    return given


def _ready(wallets: Sequence[OwnAddress], at: int) -> list[Event]:
    return [
        Event(Kind.WALLET_READY, at, user=each.user, facts={"address": each.address})
        for each in wallets
    ]
