"""What we sign lands on a real Solana runtime as planned; what cannot land is never signed."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.message import MessageV0, MessageV1, from_bytes_versioned, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from chain.keystore import Keystore
from chain.settings import FeeSettings
from chain.signer import KeyPath
from chain.transactions import (
    BYTES_MAX,
    MEMO_BYTES_MAX,
    Batch,
    RecentBlockhash,
    SignedTransaction,
    Transfer,
    Unbuildable,
    message_bytes,
    sign_batch,
    signature_of,
)
from chain.trouble import Frozen
from rooms.units import Address, BlockHeight, Lamports, Slot

FEES = FeeSettings()
FEES_V0 = FeeSettings(version=0)
VAULT = KeyPath.vault(7)
FEE_PAYER = KeyPath.fee_payer()
RICH = 10**12
PAYOUT = Lamports(5_000_000)
MEMO = "r1 pay 1152921504606846976 1152921504606846977"


class Chain:
    """A LiteSVM with a vault, a fee payer, and the paths of their keys."""

    def __init__(self, vault: Address, fee_payer: Address) -> None:
        self.svm = LiteSVM()
        self.vault, self.fee_payer = vault, fee_payer
        self.paths = {vault: VAULT, fee_payer: FEE_PAYER}
        for address in (vault, fee_payer):
            self.svm.airdrop(Pubkey.from_string(address), RICH)

    @property
    def recent(self) -> RecentBlockhash:
        return RecentBlockhash(str(self.svm.latest_blockhash()), BlockHeight(150), Slot(0))

    def balance(self, address: Address) -> int:
        return self.svm.get_balance(Pubkey.from_string(address)) or 0

    def batch(self, recipients: Sequence[Address], memo: str = MEMO) -> Batch:
        transfers = tuple(Transfer(self.vault, each, PAYOUT) for each in recipients)
        return Batch(transfers=transfers, memo=memo, owner=self.vault, fee_payer=self.fee_payer)

    def land(self, signed: SignedTransaction) -> TransactionMetadata | FailedTransactionMetadata:
        return self.svm.send_transaction(VersionedTransaction.from_bytes(signed.raw))


@pytest.fixture
async def chain(keystore: Keystore) -> Chain:
    return Chain(await keystore.address(VAULT), await keystore.address(FEE_PAYER))


def people(count: int) -> list[Address]:
    return [Address(str(Pubkey.new_unique())) for _ in range(count)]


@pytest.mark.parametrize(("fees", "count"), [(FEES, 60), (FEES, 1), (FEES_V0, 16), (FEES_V0, 1)])
async def test_every_winner_of_a_full_batch_is_paid(
    keystore: Keystore, chain: Chain, fees: FeeSettings, count: int
) -> None:
    winners = people(count)
    signed = await sign_batch(keystore, chain.batch(winners), chain.paths, chain.recent, fees)
    landed = chain.land(signed)
    assert isinstance(landed, TransactionMetadata), landed
    assert [chain.balance(each) for each in winners] == [PAYOUT] * count
    assert chain.balance(chain.vault) == RICH - PAYOUT * count
    fee = RICH - chain.balance(chain.fee_payer)
    assert fee == landed.fee() == 10_000
    units = fees.compute_units_base + fees.compute_units_per_transfer * count
    assert landed.compute_units_consumed() <= units
    print(f"version {fees.version}: {count} payouts, {fee / count:.1f} lamports each")  # noqa: T201
    if count == 60:
        assert fee // count <= 180


@pytest.mark.parametrize("fees", [FEES, FEES_V0])
async def test_the_signed_bytes_say_what_was_planned(
    keystore: Keystore, chain: Chain, fees: FeeSettings
) -> None:
    batch = chain.batch(people(2))
    signed = await sign_batch(keystore, batch, chain.paths, chain.recent, fees)
    read = VersionedTransaction.from_bytes(signed.raw)
    assert read.version() == fees.version
    assert signed.signature == signature_of(signed.raw) == str(read.signatures[0])
    assert signed.signers == (chain.fee_payer, chain.vault)
    assert signed.blockhash == str(read.message.recent_blockhash) == chain.recent.blockhash
    assert (signed.last_valid_height, signed.context_slot) == (150, 0)
    memo = read.message.instructions[-1]
    assert bytes(memo.data) == MEMO.encode()
    assert [str(read.message.account_keys[index]) for index in memo.accounts] == [chain.vault]
    assert message_bytes(batch, signed.blockhash, fees) == to_bytes_versioned(read.message)


async def test_signing_the_same_again_gives_the_same_bytes(
    keystore: Keystore, chain: Chain
) -> None:
    batch, recent = chain.batch(people(3)), chain.recent
    first = await sign_batch(keystore, batch, chain.paths, recent, FEES)
    assert await sign_batch(keystore, batch, chain.paths, recent, FEES) == first


async def test_identical_twins_are_two_transactions_because_of_their_memos(
    keystore: Keystore, chain: Chain
) -> None:
    [winner] = people(1)
    recent = chain.recent
    twins = [
        await sign_batch(keystore, chain.batch([winner], memo), chain.paths, recent, FEES)
        for memo in ("r1 back 1", "r1 back 2")
    ]
    assert twins[0].signature != twins[1].signature
    for twin in twins:
        assert isinstance(chain.land(twin), TransactionMetadata)
    assert chain.balance(winner) == 2 * PAYOUT


async def test_the_same_bytes_land_once(keystore: Keystore, chain: Chain) -> None:
    [winner] = people(1)
    signed = await sign_batch(keystore, chain.batch([winner]), chain.paths, chain.recent, FEES)
    assert isinstance(chain.land(signed), TransactionMetadata)
    again = chain.land(signed)
    assert isinstance(again, FailedTransactionMetadata)
    assert "AlreadyProcessed" in str(again.err())
    assert chain.balance(winner) == PAYOUT


async def test_a_floor_and_a_stake_travel_together(keystore: Keystore, chain: Chain) -> None:
    user = await keystore.address(KeyPath.user(5))
    rent = Lamports(chain.svm.minimum_balance_for_rent_exemption(0))
    chain.svm.airdrop(Pubkey.from_string(user), 10**9)
    chain.paths[user] = KeyPath.user(5)
    [new_vault] = people(1)
    batch = Batch(
        transfers=(
            Transfer(chain.fee_payer, new_vault, rent),
            Transfer(chain.fee_payer, user, rent),
            Transfer(user, new_vault, Lamports(10**9)),
        ),
        memo="r1 stake 7 8 Y",
        owner=user,
        fee_payer=chain.fee_payer,
    )
    signed = await sign_batch(keystore, batch, chain.paths, chain.recent, FEES)
    assert isinstance(chain.land(signed), TransactionMetadata)
    assert (chain.balance(user), chain.balance(new_vault)) == (rent, 10**9 + rent)


async def test_a_priority_fee_is_offered_within_its_cap(keystore: Keystore, chain: Chain) -> None:
    batch, recent = chain.batch(people(1)), chain.recent
    fees = replace(FEES, priority_fee_lamports_max=Lamports(7_000))
    message = from_bytes_versioned(
        message_bytes(batch, recent.blockhash, fees, Lamports(7_000), 90_000)
    )
    assert isinstance(message, MessageV1)
    assert (message.config.priority_fee, message.config.compute_unit_limit) == (7_000, 90_000)
    with pytest.raises(Unbuildable, match="7001 lamports is outside 0 to 7000"):
        message_bytes(batch, recent.blockhash, fees, Lamports(7_001))

    older = replace(fees, version=0)
    signed = await sign_batch(keystore, batch, chain.paths, recent, older, Lamports(7_000), 90_000)
    assert isinstance(chain.land(signed), TransactionMetadata)
    paid = RICH - chain.balance(chain.fee_payer) - 10_000
    assert 6_900 <= paid <= 7_000


A, B, C = people(3)


def planned(
    *transfers: tuple[Address, Address, int], memo: str = "r1", owner: Address = A
) -> Batch:
    return Batch(
        transfers=tuple(Transfer(s, d, Lamports(lamports)) for s, d, lamports in transfers),
        memo=memo,
        owner=owner,
        fee_payer=C,
    )


def test_what_makes_no_sense_is_refused_before_anybody_signs() -> None:
    rules: tuple[tuple[str, Callable[[], Batch]], ...] = (
        ("at least one transfer", lambda: planned()),
        ("at least one lamport", lambda: planned((A, B, 0))),
        ("at least one lamport", lambda: planned((A, B, -5))),
        ("at least one lamport", lambda: planned((A, B, 2**63))),
        ("from one address to another", lambda: planned((A, A, 5))),
        ("pays the same destination twice", lambda: planned((A, B, 5), (A, B, 6))),
        ("owner of money that moves", lambda: planned((A, B, 5), owner=B)),
        ("has a memo", lambda: planned((A, B, 5), memo="")),
        ("printable ASCII", lambda: planned((A, B, 5), memo="r1 späť")),
        ("printable ASCII", lambda: planned((A, B, 5), memo="r1\nr2")),
        ("at most 119 bytes", lambda: planned((A, B, 5), memo="x" * (MEMO_BYTES_MAX + 1))),
    )
    for rule, build in rules:
        with pytest.raises(Unbuildable, match=rule):
            build()


def test_what_does_not_fit_is_refused_and_never_cut() -> None:
    blockhash = str(Hash.new_unique())

    def to(count: int, memo: str = "r1") -> Batch:
        return planned(*((A, each, 5) for each in people(count)), memo=memo)

    with pytest.raises(Unbuildable, match="at most 60 transfers"):
        message_bytes(to(61), blockhash, FEES)
    with pytest.raises(Unbuildable, match="at most 16 transfers"):
        message_bytes(to(17), blockhash, FEES_V0)
    with pytest.raises(Unbuildable, match="bytes do not fit"):
        message_bytes(to(16, "x" * MEMO_BYTES_MAX), blockhash, FEES_V0)
    message_bytes(to(60, "x" * MEMO_BYTES_MAX), blockhash, FEES)

    strange = planned(*((A, each, 5) for each in people(59)), (B, people(1)[0], 5))
    with pytest.raises(Unbuildable, match="at most 64 addresses"):
        message_bytes(strange, blockhash, FEES)
    with pytest.raises(Unbuildable, match="is not an address"):
        message_bytes(planned((A, Address("nobody"), 5)), blockhash, FEES)
    with pytest.raises(Unbuildable, match="is not a blockhash"):
        message_bytes(planned((A, B, 5)), "yesterday", FEES)


def test_the_largest_batches_are_within_the_networks_size() -> None:
    blockhash = str(Hash.new_unique())
    for fees, count in ((FEES, 60), (FEES_V0, 16)):
        batch = planned(*((A, each, 5) for each in people(count)), memo=MEMO)
        assert len(message_bytes(batch, blockhash, fees)) + 2 * 64 + 1 <= BYTES_MAX[fees.version]


async def test_a_signer_without_a_path_is_refused(keystore: Keystore, chain: Chain) -> None:
    batch = chain.batch(people(1))
    with pytest.raises(Unbuildable, match="has to sign and has no key path"):
        await sign_batch(keystore, batch, {chain.vault: VAULT}, chain.recent, FEES)


class Liar:
    """A signer that does something other than asked."""

    def __init__(self, keystore: Keystore, lie: str) -> None:
        self.keystore, self.lie = keystore, lie

    async def address(self, path: KeyPath) -> Address:
        return await self.keystore.address(path)

    async def sign(self, message: bytes, paths: Sequence[KeyPath]) -> tuple[bytes, ...]:
        if self.lie == "another message":
            return await self.keystore.sign(message + b"!", paths)
        signatures = await self.keystore.sign(message, paths)
        return {
            "another order": signatures[::-1],
            "one too few": signatures[:1],
            "another signer": (signatures[0], signatures[0]),
            "cut short": (signatures[0], signatures[1][:63]),
            "nothing": (signatures[0], bytes(64)),
        }[self.lie]


@pytest.mark.parametrize(
    "lie",
    ["another message", "another order", "one too few", "another signer", "cut short", "nothing"],
)
async def test_a_signature_that_was_not_asked_for_freezes_signing(
    keystore: Keystore, chain: Chain, lie: str
) -> None:
    batch = chain.batch(people(1))
    with pytest.raises(Frozen, match="the signer gave"):
        await sign_batch(Liar(keystore, lie), batch, chain.paths, chain.recent, FEES)


def test_fee_settings_that_break_their_own_cap_are_refused() -> None:
    with pytest.raises(ValueError, match="at most its cap"):
        FeeSettings(priority_fee_lamports=Lamports(2), priority_fee_lamports_max=Lamports(1))


def test_version_0_reads_back_as_version_0() -> None:
    message = message_bytes(planned((A, B, 5)), str(Hash.new_unique()), FEES_V0)
    assert isinstance(from_bytes_versioned(message), MessageV0)


@pytest.mark.parametrize(
    ("price", "transfers", "offered"),
    [
        # micro-lamports a compute unit; 60,000 units and 300 a transfer; at most 500,000 lamports
        (0, 1, 0),
        (1, 1, 1),
        (10_000, 1, 603),
        (10_000, 60, 780),
        (120_000, 1, 7_236),
        (12_000_000, 1, 500_000),
        (10**15, 60, 500_000),
    ],
)
def test_an_estimated_priority_fee_is_rounded_up_and_keeps_to_its_cap(
    price: int, transfers: int, offered: int
) -> None:
    """F40: a price that rises a hundredfold offers the cap, and no more."""
    assert FeeSettings().priority_fee(price, transfers) == offered
