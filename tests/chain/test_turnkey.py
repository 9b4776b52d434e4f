"""Keys in Turnkey: signed once whatever goes wrong, believed only when checked (F52 to F57)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV1, TransactionConfig, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from chain.keystore import Keystore
from chain.programs import MEMO_PROGRAM
from chain.signer import KeyPath, Wallet
from chain.transactions import Batch, Transfer, sign_batch
from chain.trouble import Frozen, SignerBusy, SignerRefused
from chain.turnkey.api import TurnkeyApi
from chain.turnkey.pace import Breaker, Bucket
from chain.turnkey.policies import Wanted, differences
from chain.turnkey.settings import ApiKey
from chain.turnkey.shapes import LIST_POLICIES, SIGN_TRANSACTION, PoliciesAnswer, Policy
from chain.turnkey.signer import SplitSigner, TurnkeySigner
from rooms.units import Address, Lamports, UnixMs
from sandbox.turnkey.faults import Fault
from tests.chain.turnkey_town import (
    CAP,
    FEE_PAYER,
    FEES,
    FLOOR_MAX,
    RECENT,
    TurnkeyTown,
    api_key,
    other,
    turnkey_town,
)
from tests.chain.world import keypair

ANA = KeyPath.user(7_100_000_001)
VAULT = KeyPath.vault(2**61 + 5)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[TurnkeyTown]:
    async with turnkey_town(tmp_path) as running:
        yield running


def message(
    source: Address, legs: list[tuple[Address, Address, int]], *extra: Instruction
) -> bytes:
    instructions = [
        transfer(
            TransferParams(
                from_pubkey=Pubkey.from_string(payer),
                to_pubkey=Pubkey.from_string(to),
                lamports=lamports,
            )
        )
        for payer, to, lamports in legs
    ]
    owner = AccountMeta(Pubkey.from_string(source), is_signer=True, is_writable=False)
    memo = Instruction(MEMO_PROGRAM, b"r1 stake 1 1 Y", [owner])
    return to_bytes_versioned(
        MessageV1.try_compile(
            keypair(901).pubkey(),
            [*instructions, memo, *extra],
            RECENT_HASH,
            TransactionConfig(compute_unit_limit=60_000, loaded_accounts_data_size_limit=1_000_000),
        )
    )


RECENT_HASH = VersionedTransaction.default().message.recent_blockhash


async def stake(town: TurnkeyTown, signer: TurnkeySigner, lamports: int = 5_000_000) -> bytes:
    """Return the message of a person's stake into a vault."""
    ana = await signer.address(ANA)
    return message(ana, [(ana, await signer.address(VAULT), lamports)])


async def test_a_path_has_one_address_whoever_asks_and_however_often(town: TurnkeyTown) -> None:
    async with town.signer() as first:
        address = await first.address(ANA)
        assert await first.address(VAULT) != address
    async with town.signer() as second:
        assert await second.address(ANA) == address
    assert town.running.organization.count("ACTIVITY_TYPE_CREATE_WALLET_ACCOUNTS") == 2


async def test_a_transaction_is_signed_by_turnkey_and_its_fee_payer_by_custody(
    town: TurnkeyTown, keystore: Keystore
) -> None:
    async with town.signer() as theirs:
        signer = SplitSigner(keystore, theirs)
        fee_payer = await signer.address(KeyPath.fee_payer())
        vault = await signer.address(VAULT)
        town.running.organization.drop_policies()
        town.install()
        batch = Batch(
            transfers=tuple(Transfer(vault, other(n), Lamports(1_000 + n)) for n in range(60)),
            memo="r1 pay 7 1",
            owner=vault,
            fee_payer=fee_payer,
        )
        paths = {vault: VAULT, fee_payer: KeyPath.fee_payer()}
        signed = await sign_batch(signer, batch, paths, RECENT, FEES)
    assert all(VersionedTransaction.from_bytes(signed.raw).verify_with_results())
    assert town.running.organization.count(SIGN_TRANSACTION) == 1


async def test_an_answer_that_was_cut_off_is_asked_for_again_with_the_same_bytes(
    town: TurnkeyTown,
) -> None:
    """F52: the activity was accepted, its answer lost."""
    async with town.signer() as signer:
        content = await stake(town, signer)
        town.running.faults.add(Fault("cut"))
        [signature] = await signer.sign(content, [ANA])
    assert Signature.from_bytes(signature).verify(
        Pubkey.from_string(await signer.address(ANA)), content
    )
    assert town.running.organization.count(SIGN_TRANSACTION) == 1


async def test_a_signer_that_died_after_writing_down_asks_for_the_same_activity(
    town: TurnkeyTown,
) -> None:
    async with town.signer() as signer:
        content = await stake(town, signer)
        town.running.faults.add(*[Fault("cut")] * 3)
        with pytest.raises(SignerBusy):
            await signer.sign(content, [ANA])
    town.clock.now += 1_000
    async with town.signer() as after_death:
        await after_death.sign(content, [ANA])
    assert town.running.organization.count(SIGN_TRANSACTION) == 1


async def test_a_request_too_old_to_be_sent_again_is_made_anew(town: TurnkeyTown) -> None:
    async with town.signer() as signer:
        content = await stake(town, signer)
        town.running.faults.add(*[Fault("error")] * 3)
        with pytest.raises(SignerBusy):
            await signer.sign(content, [ANA])
        town.clock.now += 2 * 60 * 60_000
        await signer.sign(content, [ANA])
    assert town.running.organization.count(SIGN_TRANSACTION) == 1


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault("pending", looks=3), None),
        (Fault("pending", looks=1_000), SignerBusy),
        (Fault("status", status="ACTIVITY_STATUS_CONSENSUS_NEEDED"), SignerBusy),
        (Fault("status", status="ACTIVITY_STATUS_AUTHENTICATORS_NEEDED"), SignerBusy),
        (Fault("status", status="ACTIVITY_STATUS_FAILED"), SignerRefused),
        (Fault("status", status="ACTIVITY_STATUS_REJECTED"), SignerRefused),
        (Fault("error", http=429, name="RATE_LIMIT_EXCEEDED"), SignerBusy),
        (Fault("error", http=403, name="SIGNING_QUOTA_EXCEEDED"), SignerBusy),
        (Fault("error", http=403, name="API_OPERATIONS_DISABLED"), SignerBusy),
        (Fault("error", http=403, name="REQUEST_NOT_AUTHORIZED"), SignerRefused),
        (Fault("error", http=400, name="INVALID_TRANSACTION"), SignerRefused),
        (Fault("error", http=401, name="SIGNATURE_INVALID"), SignerRefused),
        (Fault("error", http=400), SignerRefused),
        (Fault("error", http=503), None),
        (Fault("garbage"), SignerBusy),
        (Fault("flip"), Frozen),
        (Fault("stranger"), Frozen),
    ],
    ids=lambda each: (
        f"{each.kind} {each.status or each.name or each.http}" if isinstance(each, Fault) else None
    ),
)
async def test_every_answer_has_its_consequence(
    town: TurnkeyTown, fault: Fault, outcome: type[Exception] | None
) -> None:
    """F53, F54 and F56: waits, is refused, or freezes; never another transaction."""
    async with town.signer() as signer:
        content = await stake(town, signer)
        town.running.faults.add(fault)
        if outcome is None:
            assert len(await signer.sign(content, [ANA])) == 1
        else:
            with pytest.raises(outcome):
                await signer.sign(content, [ANA])


async def test_an_expired_key_is_followed_by_the_second(town: TurnkeyTown) -> None:
    """F54: rotation."""
    async with town.signer() as signer:
        content = await stake(town, signer)
        town.running.organization.expire(town.keys[0].public)
        await signer.sign(content, [ANA])
        town.running.organization.expire(town.keys[1].public)
        with pytest.raises(SignerBusy, match="every Turnkey API key has expired"):
            await signer.sign(await stake(town, signer, 6_000_000), [ANA])


@pytest.mark.parametrize("off_ms", [10 * 60_000, -2 * 60 * 60_000, 61_000])
async def test_a_clock_that_is_off_stops_signing(town: TurnkeyTown, off_ms: int) -> None:
    """F55."""
    async with town.signer() as signer:
        content = await stake(town, signer)
        town.running.faults.clock_off_ms = off_ms
        # Its own refusal, or its answer's date, is how we learn of it.
        for _ in range(2):
            try:
                await signer.sign(content, [ANA])
            except (SignerRefused, SignerBusy) as refusal:
                last = str(refusal)
        assert "clock" in last
        town.running.faults.clock_off_ms = 0
        await signer.address(KeyPath.user(5))
        await signer.sign(content, [ANA])


async def test_a_rate_that_is_passed_is_waited_out_and_nothing_is_signed_twice(
    tmp_path: Path,
) -> None:
    async with turnkey_town(tmp_path) as town, town.signer(requests_per_minute=60_000) as signer:
        content = await stake(town, signer)
        with pytest.raises(SignerBusy):
            town.running.faults.add(Fault("error", http=429, name="RATE_LIMIT_EXCEEDED"))
            await signer.sign(content, [ANA])
        await signer.sign(content, [ANA])
        assert town.running.organization.count(SIGN_TRANSACTION) == 1


async def test_a_service_in_trouble_is_left_alone_for_a_while(town: TurnkeyTown) -> None:
    async with town.signer(failures_max=3, rest_ms=5_000) as signer:
        content = await stake(town, signer)
        town.running.faults.add(*[Fault("error", http=500)] * 9)
        with pytest.raises(SignerBusy, match="did not answer"):
            await signer.sign(content, [ANA])
        with pytest.raises(SignerBusy, match="left alone"):
            await signer.sign(content, [ANA])
        assert len(list(town.running.faults)) == 6, "nothing was asked while it rests"
        town.running.faults.waiting.clear()
        town.clock.now += 5_001
        await signer.sign(content, [ANA])


TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
SYSTEM = Pubkey.from_string("11111111111111111111111111111111")
A, B = "other 1", "other 2"
OWN, PAYER = "own", "fee payer"

POLICY_CASES: list[tuple[str, Wallet, list[tuple[str, str, int]], str, bool]] = [
    # what, wallet, transfers, another instruction, allowed
    ("a stake", Wallet.USERS, [(OWN, A, 5)], "", True),
    ("a stake of the cap", Wallet.USERS, [(OWN, A, CAP)], "", True),
    ("a stake above the cap", Wallet.USERS, [(OWN, A, CAP + 1)], "", False),
    (
        "a stake with two floors",
        Wallet.USERS,
        [(PAYER, OWN, 9), (PAYER, A, 9), (OWN, A, 5)],
        "",
        True,
    ),
    ("a floor that is none", Wallet.USERS, [(PAYER, A, FLOOR_MAX + 1), (OWN, A, 5)], "", False),
    ("two transfers of a person", Wallet.USERS, [(OWN, A, 5), (OWN, B, 5)], "", False),
    ("no transfer at all", Wallet.USERS, [], "", False),
    ("only a floor", Wallet.USERS, [(PAYER, OWN, 9)], "", False),
    ("a stake and a token transfer", Wallet.USERS, [(OWN, A, 5)], "token", False),
    ("a stake and a new owner", Wallet.USERS, [(OWN, A, 5)], "assign", False),
    ("a payout", Wallet.VAULTS, [(OWN, A, 5)], "", True),
    ("payouts of sixty", Wallet.VAULTS, [(OWN, f"other {n}", 5) for n in range(60)], "", True),
    ("a payout above the cap", Wallet.VAULTS, [(OWN, A, 5), (OWN, B, CAP + 1)], "", False),
    ("no payout at all", Wallet.VAULTS, [], "", False),
    ("a share from the treasury", Wallet.OPERATOR, [(OWN, A, 5), (OWN, B, 5)], "", True),
]


@pytest.mark.parametrize(
    ("wallet", "transfers", "extra", "allowed"),
    [case[1:] for case in POLICY_CASES],
    ids=[case[0] for case in POLICY_CASES],
)
async def test_the_policies_allow_what_custody_does_and_nothing_else(
    town: TurnkeyTown,
    wallet: Wallet,
    transfers: list[tuple[str, str, int]],
    extra: str,
    allowed: bool,
) -> None:
    """F57: judged by the server, from the policies that we print."""
    path = KeyPath(wallet, 5)
    async with town.signer() as signer:
        own = await signer.address(path)
        named = {OWN: own, PAYER: FEE_PAYER} | {f"other {n}": other(n + 1) for n in range(60)}
        legs = [(named[payer], named[to], lamports) for payer, to, lamports in transfers]
        owner = AccountMeta(Pubkey.from_string(own), is_signer=True, is_writable=True)
        extras = {
            "": [],
            "token": [Instruction(TOKEN, b"\x03" + bytes(8), [owner, owner, owner])],
            "assign": [Instruction(SYSTEM, b"\x01\x00\x00\x00" + bytes(32), [owner])],
        }[extra]
        content = message(own, legs, *extras)
        if allowed:
            await signer.sign(content, [path])
        else:
            with pytest.raises(SignerRefused, match="REQUEST_NOT_AUTHORIZED"):
                await signer.sign(content, [path])


async def test_without_policies_nothing_is_signed(town: TurnkeyTown) -> None:
    async with town.signer() as signer:
        content = await stake(town, signer)
        town.running.organization.drop_policies()
        with pytest.raises(SignerRefused):
            await signer.sign(content, [ANA])


async def test_installed_policies_that_drift_are_told(town: TurnkeyTown) -> None:
    """F57."""
    wanted = [
        Wanted("ours", "EFFECT_ALLOW", "1 == 1", ""),
        Wanted("deny", "EFFECT_DENY", "1 == 2", ""),
    ]
    same = [
        Policy("1", "ours", "EFFECT_ALLOW", "1 == 1"),
        Policy("2", "deny", "EFFECT_DENY", "1 == 2"),
    ]
    assert list(differences(wanted, same)) == []
    assert list(differences(wanted, same[:1])) == ["missing: deny"]
    [told] = differences(wanted, [Policy("1", "ours", "EFFECT_ALLOW", "1 == 3"), same[1]])
    assert "1 == 3" in told
    [told] = differences(wanted, [*same, Policy("3", "all", "EFFECT_ALLOW", "")])
    assert told == "not ours, and allows something: all"
    async with TurnkeyApi(town.settings(), town.clock) as api:
        listed = await api.query(LIST_POLICIES, {}, PoliciesAnswer)
    assert {each.policy_name for each in listed.policies} >= {"rooms: stakes and withdrawals"}


async def test_a_stamp_is_over_the_exact_bytes(town: TurnkeyTown) -> None:
    async with TurnkeyApi(town.settings(), town.clock) as api:
        stamp = api._stampers[0].stamp('{"organizationId":"x"}')
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{town.running.url}/public/v1/query/whoami",
            content=b'{"organizationId":"y"}',
            headers={stamp.stamp_header_name: stamp.stamp_header_value},
        )
    assert answer.status_code == 401
    assert answer.json()["details"][0]["turnkeyErrorCode"] == "SIGNATURE_INVALID"


async def test_no_private_key_is_in_a_repr_an_error_or_a_log(town: TurnkeyTown) -> None:
    private = town.keys[0].private
    with structlog.testing.capture_logs() as logs:
        async with town.signer(failures_max=1) as signer:
            content = await stake(town, signer)
            town.running.faults.add(*[Fault("error", http=500)] * 3)
            with pytest.raises(SignerBusy) as caught:
                await signer.sign(content, [ANA])
    said = f"{town.settings()!r} {caught.value!r} {logs!r} {signer!r}"
    assert private not in said


def test_a_key_that_is_no_key_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="66 hex letters"):
        ApiKey("02ab", "00")
    assert api_key(7) == api_key(7)


@given(
    st.integers(1, 6_000),
    st.integers(1, 20),
    st.lists(st.integers(0, 5_000), min_size=1, max_size=60),
)
def test_a_bucket_lets_no_more_through_than_its_rate_and_one_burst(
    per_minute: int, burst: int, gaps_ms: list[int]
) -> None:
    bucket, at = Bucket(per_minute, burst), 0
    sent: list[int] = []
    for gap_ms in gaps_ms:
        at += gap_ms
        at += bucket.take(UnixMs(at))
        sent.append(at)
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            span_ms = sent[last] - sent[first]
            assert last - first + 1 <= burst + 1 + span_ms * per_minute // 60_000


def test_a_breaker_rests_after_failures_in_a_row_only() -> None:
    breaker = Breaker(failures_max=2, rest_ms=100)
    breaker.failed(UnixMs(0))
    breaker.succeeded()
    breaker.failed(UnixMs(1))
    assert breaker.rest(UnixMs(1)) == 0
    breaker.failed(UnixMs(2))
    assert breaker.rest(UnixMs(3)) == 99
    assert breaker.rest(UnixMs(102)) == 0


async def test_two_who_sign_the_same_at_once_make_one_activity(town: TurnkeyTown) -> None:
    async with town.signer() as one, town.signer() as two:
        content = await stake(town, one)
        await two.address(ANA)
        first, second = await asyncio.gather(one.sign(content, [ANA]), two.sign(content, [ANA]))
    assert first == second
    assert town.running.organization.count(SIGN_TRANSACTION) == 1
