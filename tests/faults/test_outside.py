"""What comes from outside and is not as it looks: a bad recipient, tokens, lies about deposits."""

import asyncio
import json
from dataclasses import replace

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import VersionedTransaction

from chain.providers import Providers
from chain.rpc import Rpc
from chain.settings import Endpoint, RpcSettings
from chain.signer import KeyPath
from chain.transactions import Batch, Transfer, sign_batch
from rooms.units import Address, Lamports
from streams.deposits import post_deposits
from streams.receipts import post_fates
from streams.releases import release_overdue
from streams.transfers import sign_due
from tests.streams.custody_world import (
    SOL,
    World,
    lies_at,
    on,
    people,
    room,
    stake,
)
from tests.streams.test_custody import withdraw

OUTSIDE = Address("67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb")
SMALL = 500_000
"""Less than the network lets lie at an address that holds nothing else."""
TOKENS = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
RICH = Keypair.from_seed(bytes([8] * 32))


async def emptied(world: World, user: int, address: Address) -> None:
    """Take everything from a person's address behind the product's back, its floor too."""
    custody, payer = world.custody, world.custody.operator.fee_payer
    recent = await custody.providers.first(lambda rpc: rpc.latest_blockhash())
    there = Lamports(await lies_at(world, address))
    batch = Batch(
        transfers=(Transfer(address, OUTSIDE, there),), memo="gone", owner=address, fee_payer=payer
    )
    paths = {address: KeyPath.user(user), payer: KeyPath.fee_payer()}
    signed = await sign_batch(custody.signer, batch, paths, recent, custody.fees)
    assert all(each.relayed for each in await custody.providers.send(signed.raw))
    world.solana.control.advance(40)
    assert await lies_at(world, address) == 0


async def test_f36_one_bad_recipient_in_a_batch_holds_nobody_up(world: World) -> None:
    """F36: of four refunds in one transaction one is dust to an address without a floor; I4, I5.

    The three others are paid once, each by itself; the bad one when its address can take it.
    """
    addresses = await people(world, SOL, SOL, SOL, SOL)
    world.solana.control.advance(40)
    await room(world, cut_in_ms=3_000)
    for user in (1, 2, 3, 4):
        await stake(world, user, "YES", SMALL if user == 3 else SOL // 2)

    async def missed() -> bool:
        return await world.value("SELECT bool_and(state = 'MISSED') FROM stakes") is True

    # Landed after the cut, so that each goes back, in one transaction.
    nothing_signed = "UPDATE transfers SET not_before = $1 WHERE kind = 'refund'"
    while not await missed():
        await sign_due(world.custody)
        await post_fates(world.custody)
        await world.execute(nothing_signed, 2**60)
        world.solana.control.advance(1)
    await emptied(world, 3, addresses[3])
    before = await world.value("SELECT max(id) FROM attempts")
    await world.execute(nothing_signed, 0)

    async def others_paid() -> bool:
        await world.execute("UPDATE transfers SET not_before = 0 WHERE state = 'PLANNED'")
        return await world.value(
            "SELECT count(*) FROM transfers WHERE kind = 'refund' AND state = 'LANDED'"
        ) == 3  # fmt: skip

    for _ in range(100):
        await sign_due(world.custody)
        await post_fates(world.custody)
        world.solana.control.advance(1)
        if await others_paid():
            break
    together = await world.connections.fetchval(
        "SELECT array_agg(state ORDER BY id) FROM attempts WHERE id > $1", before
    )
    assert together[0] == "CLOSED", "the four were one transaction, which was never sent"
    assert together.count("LANDED") == 3
    assert await world.value("SELECT state FROM transfers WHERE user_id = 3 AND kind = 'refund'"
                             ) in ("PLANNED", "ATTEMPTED")  # fmt: skip
    for user in (1, 2, 4):
        floor = await on(world, f"floor:{addresses[user]}")
        assert await lies_at(world, addresses[user]) == SOL + floor
        assert await on(world, f"available:{user}") == SOL

    await world.airdrop(addresses[3], 2 * SMALL)
    for _ in range(100):
        await world.execute("UPDATE transfers SET not_before = 0 WHERE state = 'PLANNED'")
        await sign_due(world.custody)
        await post_fates(world.custody)
        world.solana.control.advance(1)
        if await on(world, "due:77") == 0:
            break
    world.solana.control.advance(40)
    assert await lies_at(world, addresses[3]) == 3 * SMALL
    assert await world.value("SELECT count(*) FROM transfers WHERE kind = 'refund'"
                             " AND state = 'LANDED'") == 4  # fmt: skip


def fee_on_transfer(mint: Pubkey) -> Instruction:
    authority = b"\x01" + bytes(RICH.pubkey())
    data = bytes([26, 0]) + 2 * authority + (100).to_bytes(2, "little") + SOL.to_bytes(8, "little")
    return Instruction(TOKENS, data, [AccountMeta(mint, False, True)])


def hook(mint: Pubkey) -> Instruction:
    data = bytes([36, 0]) + 2 * bytes(RICH.pubkey())
    return Instruction(TOKENS, data, [AccountMeta(mint, False, True)])


def frozen_from_the_start(mint: Pubkey) -> Instruction:
    return Instruction(TOKENS, bytes([28, 0, 2]), [AccountMeta(mint, False, True)])


EXTENSIONS = {
    "a fee on each transfer": (fee_on_transfer, 166 + 4 + 108),
    "a program called on each transfer": (hook, 166 + 4 + 64),
    "accounts that are frozen": (frozen_from_the_start, 166 + 4 + 1),
}


HELD_BYTES = dict(zip(EXTENSIONS, (166 + 4 + 8, 166 + 4 + 1, 165), strict=True))
"""An account of such a mint has a part of the extension in it."""


async def send(world: World, instructions: list[Instruction], *signers: Keypair) -> None:
    recent = await world.custody.providers.first(lambda rpc: rpc.latest_blockhash())
    message = Message.new_with_blockhash(
        instructions, RICH.pubkey(), Hash.from_string(str(recent.blockhash))
    )
    signed = bytes(VersionedTransaction(message, [RICH, *signers]))
    assert all(each.relayed for each in await world.custody.providers.send(signed))
    world.solana.control.advance(1)


def account(key: Keypair, space: int) -> Instruction:
    return create_account(
        CreateAccountParams(
            from_pubkey=RICH.pubkey(), to_pubkey=key.pubkey(), lamports=SOL // 10, space=space,
            owner=TOKENS,
        )
    )  # fmt: skip


@pytest.mark.parametrize("extension", EXTENSIONS)
async def test_f42_tokens_with_extensions_are_no_recipient_and_no_deposit(
    world: World, extension: str
) -> None:
    """F42: a real Token-2022 mint with an extension, an account of it that a person's address owns.

    I7: a withdrawal to either is given back before anything is signed; tokens are no deposit.
    """
    extend, space = EXTENSIONS[extension]
    addresses = await people(world, 3 * SOL)
    world.solana.control.advance(40)
    await post_deposits(world.custody)
    await world.airdrop(str(RICH.pubkey()), 3 * SOL)
    world.solana.control.advance(1)
    mint, held = (Keypair.from_seed(bytes([number] * 32)) for number in (21, 22))
    writable = AccountMeta(mint.pubkey(), False, True)
    authority = bytes(RICH.pubkey())
    made = Instruction(
        TOKENS, bytes([20, 6]) + authority + b"\x01" + authority, [writable]
    )  # InitializeMint2, with a freeze authority
    await send(world, [account(mint, space), extend(mint.pubkey()), made], mint)
    owned = Instruction(
        TOKENS, bytes([18]) + bytes(Pubkey.from_string(addresses[1])),
        [AccountMeta(held.pubkey(), False, True), AccountMeta(mint.pubkey(), False, False)],
    )  # fmt: skip
    await send(world, [account(held, HELD_BYTES[extension]), owned], held)
    if extend is not frozen_from_the_start:
        meta = [AccountMeta(key, sign, True) for key, sign in (
            (mint.pubkey(), False), (held.pubkey(), False), (RICH.pubkey(), True))]  # fmt: skip
        await send(world, [Instruction(TOKENS, bytes([7]) + SOL.to_bytes(8, "little"), meta)])
    entries = await world.value("SELECT count(*) FROM entries")

    world.solana.control.advance(40)
    assert await post_deposits(world.custody) == 0
    assert await world.value("SELECT count(*) FROM entries") == entries

    for number, recipient in enumerate((mint, held)):
        await withdraw(world, str(recipient.pubkey()), SOL)
        await world.execute("UPDATE withdrawals SET key = 'k' || $1 WHERE key = 'k'", str(number))

    async def given_back() -> bool:
        return await world.value("SELECT bool_and(state = 'RELEASED') FROM withdrawals") is True

    await world.until(given_back)
    assert await world.value("SELECT count(*) FROM attempts") == 0
    assert await on(world, "available:1") == 3 * SOL
    await world.ledger_is_chain()


class Liar(Rpc):
    """A provider that invents a deposit to one address: its balance, its place in the list."""

    def __init__(self, endpoint: Endpoint, victim: Address) -> None:
        super().__init__(endpoint, RpcSettings())
        self.victim = victim
        self.lies, self.newest = 0, 0

    async def _post(self, method: str, content: bytes) -> bytes:
        reply = json.loads(await super()._post(method, content))
        params = json.loads(content)["params"]
        if method == "getMultipleAccounts" and self.victim in params[0]:
            place = params[0].index(self.victim)
            told = reply["result"]["value"][place]
            reply["result"]["value"][place] = {**told, "lamports": told["lamports"] + 5 * SOL}
            self.newest = reply["result"]["context"]["slot"]
            self.lies += 1
        if method == "getSignaturesForAddress" and params[0] == self.victim:
            invented = {"signature": INVENTED, "slot": self.newest, "err": None, "memo": None,
                        "blockTime": 1, "confirmationStatus": "finalized"}  # fmt: skip
            reply["result"].insert(0, invented)
            self.lies += 1
        return json.dumps(reply).encode()


INVENTED = str(Keypair.from_seed(bytes([77] * 32)).sign_message(b"never happened"))


async def test_f45_a_deposit_told_falsely_or_ten_times_is_credited_as_the_chain_has_it(
    world: World,
) -> None:
    """F45: a provider invents a deposit; a true one is told ten times at once, and again; I7."""
    addresses = await people(world, SOL, SOL)
    world.solana.control.advance(40)
    await post_deposits(world.custody)
    urls = (world.solana.url, world.solana.second_url)
    liar = Liar(Endpoint("liar", urls[1]), addresses[1])
    honest = Rpc(Endpoint("honest", urls[0]), RpcSettings())
    async with Providers([honest, liar]) as providers:
        lied_to = replace(world.custody, providers=providers)
        for _ in range(10):
            await post_deposits(lied_to)
            world.solana.control.advance(2)
        assert liar.lies >= 20
        assert await on(world, "available:1") == SOL
        assert (
            await world.value("SELECT count(*) FROM deposits WHERE signature = $1", INVENTED) == 0
        )

    for number in (1, 2, 3):
        await world.airdrop(addresses[2], number * SOL)
    world.solana.control.advance(3)
    await world.execute("DELETE FROM cursors")
    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(post_deposits(world.custody))
    world.solana.control.advance(40)
    await world.execute("DELETE FROM cursors")
    await post_deposits(world.custody)
    assert (await on(world, "available:1"), await on(world, "available:2")) == (SOL, 7 * SOL)
    assert await world.value("SELECT count(*) FROM outbox WHERE payload ->> 'kind' ="
                             " 'deposit.posted' AND payload ->> 'user' = '2'") == 4  # fmt: skip
    await world.ledger_is_chain()


@pytest.mark.parametrize("moment", ["planned", "signed and lapsed"])
async def test_a_decided_room_takes_no_stake(world: World, moment: str) -> None:
    """A room is decided while a stake is on its way: it is not signed any more, and given back."""
    await people(world, 3 * SOL)
    world.solana.control.advance(40)
    await post_deposits(world.custody)
    await room(world, cut_in_ms=600_000)
    await stake(world, 1, "YES", SOL)
    signed = 0
    if moment == "signed and lapsed":
        for provider in (0, 1):
            world.solana.control.fault(provider, "swallowed", ["sendTransaction"])
        signed = await sign_due(world.custody)
        assert signed == 1
    await world.execute(
        "UPDATE rooms SET state = 'DECIDED', outcome = 'YES', decided_at = now_ms()"
    )
    world.solana.control.advance(400)
    world.solana.control.clear_faults()
    await post_fates(world.custody)

    assert await sign_due(world.custody) == 0
    await release_overdue(world.custody)

    assert await world.value("SELECT count(*) FROM attempts") == signed
    assert await world.value("SELECT state FROM stakes") == "RELEASED"
    assert (await on(world, "available:1"), await on(world, "held:1")) == (3 * SOL, 0)
    await world.ledger_is_chain()
