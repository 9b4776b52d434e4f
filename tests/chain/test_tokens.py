"""Tokens move on a real token program as planned, and a mint with a trap is never taken."""

import base64
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import pytest
from solders.pubkey import Pubkey

from chain.deposits import Cursor, Sweep, sweep
from chain.fate import Asked, ask_fate
from chain.keystore import Keystore
from chain.providers import Providers
from chain.settings import ChainSettings, DepositSettings, Endpoint, FeeSettings
from chain.signer import KeyPath
from chain.token_gates import mint_gate, token_recipient_gate
from chain.tokens import Token, Trap, judge_mint, read_holding, token_account
from chain.transactions import (
    TOKEN_TRANSFERS_MAX,
    Batch,
    SignedTransaction,
    TokenOpening,
    TokenTransfer,
    Transfer,
    Unbuildable,
    sign_batch,
)
from chain.wire import StoredAccount
from rooms.refusal import Refused
from rooms.transfer import Fate
from rooms.units import Address, Lamports, Signature
from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana
from sandbox.solana.tokens import mint_key
from tests.chain.world import address, keypair

RICH = Lamports(10**12)
USDC = 1_000_000
ANA, BO = (address(keypair(number).pubkey()) for number in (11, 12))
CLASSIC = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
NEWER = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
MINT = address(mint_key(b"another").pubkey())
FEES = FeeSettings()
FEES_V0 = FeeSettings(version=0)


@dataclass
class Town:
    """A running sandbox chain with a minted token, and a vault that holds 1,000 of it."""

    solana: RunningSolana
    providers: Providers
    keystore: Keystore
    vault: Address
    fee_payer: Address
    token: Token

    @property
    def place(self) -> Address:
        return token_account(self.vault, self.token)

    async def rent(self) -> Lamports:
        bytes_ = self.token.account_bytes
        return await self.providers.first(lambda rpc: rpc.rent_minimum(bytes_))

    def pay(self, owner: Address, amount: int) -> TokenTransfer:
        return TokenTransfer(
            self.token, self.vault, self.place, token_account(owner, self.token), amount
        )

    async def sign(
        self,
        tokens: Sequence[TokenTransfer],
        fees: FeeSettings = FEES,
        opens: Sequence[Address] = (),
    ) -> SignedTransaction:
        rent = await self.rent()
        batch = Batch(
            transfers=tuple(
                Transfer(self.fee_payer, token_account(each, self.token), rent) for each in opens
            ),
            openings=tuple(TokenOpening(self.token, each) for each in opens),
            tokens=tuple(tokens),
            memo="r1 pay 1152921504606846976 1152921504606846977",
            owner=self.vault,
            fee_payer=self.fee_payer,
        )
        paths = {self.vault: KeyPath.vault(7), self.fee_payer: KeyPath.fee_payer()}
        recent = await self.providers.first(lambda rpc: rpc.latest_blockhash())
        return await sign_batch(self.keystore, batch, paths, recent, fees)

    async def held(self, owner: Address) -> int | None:
        place = token_account(owner, self.token)
        _, found = await self.providers.first(lambda rpc: rpc.stored([place], "processed", 166))
        holding = read_holding(found[place], self.token)
        return None if holding is None else holding.amount


@pytest.fixture
async def town(keystore: Keystore) -> AsyncIterator[Town]:
    settings = SolanaSettings(port=0, second_port=0, control_port=0, manual=True)
    async with running_solana(settings) as solana:
        endpoints = (Endpoint("first", solana.url), Endpoint("second", solana.second_url))
        async with Providers.of(ChainSettings(endpoints)) as providers:
            vault = await keystore.address(KeyPath.vault(7))
            fee_payer = await keystore.address(KeyPath.fee_payer())
            solana.control.airdrop(fee_payer, RICH)
            solana.control.airdrop_token(vault, 1_000 * USDC)
            solana.control.advance(20)
            mint = Address(str(solana.control.chain.mint))
            token = await mint_gate(providers, "USDC", mint)
            yield Town(solana, providers, keystore, vault, fee_payer, token)


async def test_the_mint_is_read_as_it_is(town: Town) -> None:
    assert town.token == Token("USDC", town.token.mint, 6, Address(CLASSIC))
    assert town.token.account_bytes == 165
    assert await town.held(town.vault) == 1_000 * USDC
    assert await town.held(ANA) is None


@pytest.mark.parametrize(("fees", "most"), [(FEES, 50), (FEES_V0, 10)])
async def test_a_full_batch_pays_every_winner_and_opens_the_accounts_it_must(
    town: Town, fees: FeeSettings, most: int
) -> None:
    assert TOKEN_TRANSFERS_MAX[fees.version] == most
    winners = [address(keypair(100 + number).pubkey()) for number in range(most - 1)]
    for each in winners[1:]:
        town.solana.control.airdrop_token(each, 5)
    town.solana.control.advance(2)
    signed = await town.sign(
        [town.pay(each, 7 * USDC) for each in winners], fees, opens=[winners[0]]
    )
    simulated = await town.providers.first(
        lambda rpc: rpc.simulate(signed.raw, signed.context_slot)
    )
    assert simulated.error is None, simulated.logs
    await town.providers.send(signed.raw)
    town.solana.control.advance(15)
    asked = Asked(signed.signature, signed.last_valid_height, signed.context_slot)
    told = await ask_fate(town.providers, asked)
    assert told.fate is Fate.LANDED, told.why
    assert told.transaction is not None
    read = told.transaction
    assert [each.destination for each in read.tokens_moved] == [
        token_account(each, town.token) for each in winners
    ]
    assert {(each.mint, each.authority, each.amount) for each in read.tokens_moved} == {
        (town.token.mint, town.vault, 7 * USDC)
    }
    assert read.token_change(town.place, town.token.mint) == -7 * USDC * len(winners)
    opened = token_account(winners[0], town.token)
    assert [(each.destination, each.lamports) for each in read.moved] == [
        (opened, await town.rent())
    ]
    assert [await town.held(each) for each in winners[:2]] == [7 * USDC, 7 * USDC + 5]
    assert read.memos_of(town.vault) != ()


async def test_a_batch_too_large_for_a_transaction_is_never_signed(town: Town) -> None:
    many = [address(keypair(100 + number).pubkey()) for number in range(51)]
    with pytest.raises(Unbuildable):
        await town.sign([town.pay(each, 1) for each in many])


async def test_an_account_costs_what_was_planned_whoever_sent_a_lamport_there(town: Town) -> None:
    signed = await town.sign([town.pay(ANA, 5)], opens=[ANA])
    # Between our signing and its landing, somebody sends to where the account will be.
    town.solana.control.airdrop(token_account(ANA, town.token), 1_000_000)
    await town.providers.send(signed.raw)
    town.solana.control.advance(2)
    landed = await town.providers.first(lambda rpc: rpc.landed(signed.signature, "confirmed"))
    assert landed.error is None
    assert [(each.source, each.lamports) for each in landed.moved] == [
        (town.fee_payer, await town.rent())
    ]
    assert await town.held(ANA) == 5


async def nobodys(_: Sequence[Signature]) -> AbstractSet[Signature]:
    return frozenset()


async def test_a_deposit_of_tokens_is_found_once_and_counted_as_tokens(town: Town) -> None:
    strange = Signature(town.solana.control.airdrop_token(ANA, 9 * USDC))
    sent = await town.sign([town.pay(ANA, 3 * USDC)])
    await town.providers.send(sent.raw)
    town.solana.control.advance(15)
    place = token_account(ANA, town.token)

    async def look(expected: int, cursors: dict[Address, Cursor]) -> Sweep:
        return await sweep(
            town.providers, {place: Lamports(expected)}, cursors, nobodys, DepositSettings(),
            token=town.token,
        )  # fmt: skip

    found = await look(0, {})
    assert [
        (each.signature, each.address, each.lamports, each.other_lamports, each.finalized)
        for each in found.incoming
    ] == [
        (strange, place, 9 * USDC, 0, True),
        (sent.signature, place, 3 * USDC, 0, True),
    ]
    assert found.stopped == ()
    found = await look(12 * USDC, dict(found.cursors))
    assert (found.incoming, found.differing) == ((), ())


async def test_tokens_are_no_lamports_and_lamports_no_tokens(town: Town) -> None:
    town.solana.control.airdrop_token(ANA, 9 * USDC)
    town.solana.control.advance(15)
    wallet = await sweep(town.providers, {ANA: Lamports(0)}, {}, nobodys, DepositSettings())
    assert (wallet.incoming, wallet.differing) == ((), ())


@pytest.mark.parametrize("owner", [ANA, BO])
async def test_an_outside_wallet_without_an_account_is_told_what_to_do(
    town: Town, owner: Address
) -> None:
    town.solana.control.airdrop_token(BO, 1)
    town.solana.control.advance(2)
    if owner == BO:
        await token_recipient_gate(town.providers, owner, town.token)
    else:
        with pytest.raises(Refused) as refused:
            await token_recipient_gate(town.providers, owner, town.token)
        assert refused.value.code == "no_token_account"


def mint_body(*extensions: tuple[int, bytes]) -> bytes:
    """Write a mint of Token-2022: the base, padding, what it is, and its extensions."""
    base = (1).to_bytes(4, "little") + bytes(32) + bytes(8) + bytes([6, 1]) + bytes(36)
    assert len(base) == 82
    if not extensions:
        return base
    body = base + bytes(165 - 82) + b"\x01"
    for kind, value in extensions:
        body += kind.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value
    return body


def stored(body: bytes, owner: str = NEWER) -> StoredAccount:
    return StoredAccount(1, owner, False, (base64.b64encode(body).decode(), "base64"), len(body))


def test_a_mint_with_harmless_extensions_is_taken() -> None:
    body = mint_body((18, bytes(64)), (19, bytes(90)))
    token = judge_mint("NEW", MINT, stored(body))
    assert (token.program, token.decimals, token.account_bytes) == (NEWER, 6, 170)


TRAPS = [
    (1, bytes(108), "fee"),
    (3, bytes(32), "closed"),
    (4, bytes(65), "confidential"),
    (6, b"\x02", "frozen"),
    (9, b"", "cannot be transferred"),
    (10, bytes(52), "grow"),
    (12, bytes(32), "take tokens out"),
    (14, bytes(64), "program"),
    (16, bytes(129), "hides"),
    (25, bytes(56), "shown"),
    (26, bytes(33), "stopped"),
    (99, b"", "never read"),
]


@pytest.mark.parametrize(("kind", "value", "why"), TRAPS)
def test_a_mint_with_a_trap_is_refused_also_behind_a_harmless_extension(
    kind: int, value: bytes, why: str
) -> None:
    with pytest.raises(Trap, match=why):
        judge_mint("BAD", MINT, stored(mint_body((18, bytes(64)), (kind, value))))


@pytest.mark.parametrize(
    "account",
    [
        None,
        stored(mint_body(), owner="11111111111111111111111111111111"),
        stored(bytes(82), owner=CLASSIC),
        stored(bytes(165), owner=CLASSIC),
        stored(mint_body((18, bytes(64))), owner=CLASSIC),
        stored(mint_body((18, bytes(64)))[:-10]),
    ],
)
def test_what_is_no_mint_is_no_token(account: StoredAccount | None) -> None:
    with pytest.raises(Trap):
        judge_mint("BAD", MINT, account)


def test_an_account_that_another_may_move_is_not_plain() -> None:
    token = Token("USDC", MINT, 6, Address(CLASSIC))
    own = bytes(Pubkey.from_string(ANA))
    head = bytes(Pubkey.from_string(MINT)) + own + (7).to_bytes(8, "little")
    delegate = (1).to_bytes(4, "little") + own
    none = bytes(36)
    rest = bytes(12) + bytes(8)
    cases = {
        "plain": (head + none + b"\x01" + rest + none, True),
        "frozen": (head + none + b"\x02" + rest + none, False),
        "delegated": (head + delegate + b"\x01" + rest + none, False),
        "closable": (head + none + b"\x01" + rest + delegate, False),
    }
    for name, (body, plain) in cases.items():
        holding = read_holding(stored(body, owner=CLASSIC), token)
        assert holding is not None, name
        assert (holding.owner, holding.amount, holding.is_plain) == (ANA, 7, plain), name
