"""Money whose keys are in Turnkey: it is late, refuses, is wrong, and everybody is paid once."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from chain.signer import Wallet
from chain.trouble import Frozen, NotKnown
from chain.turnkey.api import TurnkeyApi
from chain.turnkey.policies import PolicyFacts, policies
from chain.turnkey.shapes import SIGN_TRANSACTION
from chain.turnkey.signer import SplitSigner, TurnkeySigner
from rooms.units import Lamports
from sandbox.turnkey.faults import Fault
from storage.connections import Connections
from storage.signing_requests import SigningRequests
from streams.deposits import post_deposits
from streams.receipts import post_fates
from streams.transfers import sign_due
from tests.chain.turnkey_town import SERVICE, TurnkeyTown, turnkey_town
from tests.streams.custody_world import SOL, World, custody_world, people, room, stake

ROUNDS_MAX = 60
CAP = Lamports(10 * SOL)


@dataclass(frozen=True)
class Place:
    """Custody on a chain of its own, and the organisation that holds its keys."""

    world: World
    town: TurnkeyTown

    def allow(self, payout_lamports_max: Lamports) -> None:
        """Install our policies with this cap, and no others."""
        organization = self.town.running.organization
        organization.drop_policies()
        facts = PolicyFacts(
            user=SERVICE,
            users=self.town.wallets[Wallet.USERS],
            vaults=(self.town.wallets[Wallet.VAULTS],),
            fee_payer=self.world.custody.operator.fee_payer,
            stake_lamports_max=CAP,
            payout_lamports_max=payout_lamports_max,
            floor_lamports_max=Lamports(2_000_000),
            version=1,
        )
        for each in policies(facts):
            organization.add_policy(each.intent)

    async def owe(self, *lamports: int) -> None:
        """Have so much due back from one vault to as many people."""
        world = self.world
        await people(world, *[each + SOL for each in lamports])
        world.solana.control.advance(40)
        await post_deposits(world.custody)
        await room(world, cut_in_ms=3_000)
        for user, each in enumerate(lamports, 1):
            await stake(world, user, "YES", each)

        async def missed() -> bool:
            return await world.value("SELECT bool_and(state = 'MISSED') FROM stakes") is True

        # What misses the cut goes back in full.
        await sign_due(world.custody)
        world.solana.control.advance(20)
        for _ in range(ROUNDS_MAX):
            await post_fates(world.custody)
            if await missed():
                return
            world.solana.control.advance(1)
        raise AssertionError("the stakes did not land")

    async def rounds(self, count: int) -> None:
        """Do custody's rounds; who has no answer for it makes it wait, as in its process."""
        for _ in range(count):
            await self.world.execute("UPDATE transfers SET not_before = 0")
            with contextlib.suppress(NotKnown):
                await sign_due(self.world.custody)
            self.world.solana.control.advance(12)
            await post_fates(self.world.custody)

    async def until_paid(self, count: int) -> None:
        """Do rounds until so many refunds have landed."""
        for _ in range(ROUNDS_MAX):
            if await self.paid() == count:
                return
            await self.rounds(1)
        raise AssertionError(f"{await self.paid()} of {count} were paid")

    async def paid(self) -> int:
        """Count the refunds that have landed."""
        found = await self.world.value(
            "SELECT count(*) FROM transfers WHERE kind = 'refund' AND state = 'LANDED'"
        )
        return int(str(found))

    async def available(self) -> list[int]:
        """Return what each person may bet."""
        rows = await self.world.connections.fetch(
            "SELECT balance FROM accounts WHERE name LIKE 'available:%' ORDER BY name"
        )
        return [row["balance"] for row in rows]

    def signings(self) -> int:
        """Count the signings that Turnkey was asked for, the same one once."""
        return self.town.running.organization.count(SIGN_TRANSACTION)


@pytest_asyncio.fixture
async def place(connections: Connections, tmp_path: Path) -> AsyncIterator[Place]:
    async with (
        turnkey_town(tmp_path / "turnkey") as town,
        custody_world(connections, tmp_path) as world,
        TurnkeyApi(town.settings(), town.clock) as api,
    ):
        theirs = TurnkeySigner(api, SigningRequests(connections), town.clock)
        custody = replace(world.custody, signer=SplitSigner(world.custody.signer, theirs))
        place = Place(replace(world, custody=custody), town)
        place.allow(CAP)
        yield place


BUSY: list[tuple[str, Sequence[Fault]]] = [
    ("F52 the answer is lost", [Fault("cut")]),
    ("F52 three answers in a row are lost", [Fault("cut")] * 3),
    ("F53 pending for long", [Fault("pending", looks=40)]),
    ("F53 people must approve", [Fault("status", status="ACTIVITY_STATUS_CONSENSUS_NEEDED")]),
    ("F53 failed", [Fault("status", status="ACTIVITY_STATUS_FAILED")]),
    ("F53 rejected", [Fault("status", status="ACTIVITY_STATUS_REJECTED")]),
    ("F54 asked too often", [Fault("error", http=429, name="RATE_LIMIT_EXCEEDED")] * 2),
    ("F54 the quota is used up", [Fault("error", http=403, name="SIGNING_QUOTA_EXCEEDED")] * 2),
    ("F54 away", [Fault("error", http=503)] * 4),
    ("garbage", [Fault("garbage")]),
]


@pytest.mark.parametrize("faults", [case[1] for case in BUSY], ids=[case[0] for case in BUSY])
async def test_f52_f53_f54_whatever_turnkey_answers_a_refund_is_paid_once(
    place: Place, faults: Sequence[Fault]
) -> None:
    """I5: what it did not sign waits and is not sent; what it signed twice lands once."""
    await place.owe(SOL // 2)
    place.town.running.faults.add(*faults)
    await place.rounds(1)
    if await place.paid() == 0:
        place.town.running.faults.waiting.clear()
        # An activity that ended is the same for the same bytes: a new blockhash makes another.
        place.town.clock.now += 60_000

    await place.until_paid(1)

    assert await place.available() == [SOL + SOL // 2]
    assert await place.world.value("SELECT count(*) FROM attempts WHERE state = 'LANDED'") == 2
    await place.world.ledger_is_chain()


async def test_f52_a_custody_that_died_before_the_answer_asks_for_the_same_activity(
    place: Place,
) -> None:
    """F52: the request was written down; another custody sends the same bytes."""
    await place.owe(SOL // 2)
    asked = place.signings()
    place.town.running.faults.add(*[Fault("cut")] * 3)
    with pytest.raises(NotKnown):
        await sign_due(place.world.custody)
    assert await place.world.value("SELECT count(*) FROM attempts") == 1, "the stake alone"
    async with TurnkeyApi(place.town.settings(), place.town.clock) as api:
        requests = SigningRequests(place.world.connections)
        after_death = TurnkeySigner(api, requests, place.town.clock)
        split = SplitSigner(place.world.custody.signer, after_death)
        await sign_due(replace(place.world.custody, signer=split))
    assert place.signings() == asked + 1, "the chain stood still, so the message is the same"

    await place.until_paid(1)
    await place.world.ledger_is_chain()


@pytest.mark.parametrize("off_ms", [10 * 60_000, -2 * 60 * 60_000])
async def test_f55_a_clock_that_is_off_pays_nobody_until_it_is_right(
    place: Place, off_ms: int
) -> None:
    """F55: it waits with an alarm; nothing is given up."""
    await place.owe(SOL // 2)
    place.town.running.faults.clock_off_ms = off_ms
    await place.rounds(1)  # the first answer tells of it
    asked = place.signings()
    await place.rounds(3)
    assert (await place.paid(), place.signings()) == (0, asked)
    place.town.running.faults.clock_off_ms = 0

    await place.until_paid(1)
    await place.world.ledger_is_chain()


@pytest.mark.parametrize("fault", ["flip", "stranger"])
async def test_f56_another_transaction_or_signer_freezes_and_is_never_sent(
    place: Place, fault: str
) -> None:
    """F56: what comes back is not what was asked for."""
    await place.owe(SOL // 2)
    there = len(place.world.solana.control.chain.history)
    place.town.running.faults.add(Fault(fault))
    with pytest.raises(Frozen):
        await sign_due(place.world.custody)
    place.world.solana.control.advance(5)
    assert len(place.world.solana.control.chain.history) == there
    assert await place.world.value("SELECT count(*) FROM attempts WHERE state = 'SIGNED'") == 0


async def test_f57_without_our_policies_nothing_leaves_and_with_them_it_does(place: Place) -> None:
    """F57: somebody takes our policies away; custody signs nothing, and loses nothing."""
    await place.owe(SOL // 2)
    place.town.running.organization.drop_policies()
    await place.rounds(2)
    assert await place.paid() == 0
    place.allow(CAP)

    await place.until_paid(1)
    await place.world.ledger_is_chain()


async def test_f36_one_that_the_policy_refuses_holds_up_none_of_its_batch(place: Place) -> None:
    """F36: three due from one vault, one above the cap; I5: the others are paid, once."""
    await place.owe(SOL // 2, 3 * SOL, SOL // 2)
    place.allow(Lamports(SOL))

    await place.until_paid(2)

    await place.rounds(2)
    assert await place.paid() == 2
    assert await place.available() == [SOL + SOL // 2, SOL, SOL + SOL // 2]
    place.allow(CAP)
    await place.until_paid(3)
    assert await place.available() == [SOL + SOL // 2, 4 * SOL, SOL + SOL // 2]
    await place.world.ledger_is_chain()


async def test_f40_a_fee_spike_is_offered_up_to_the_cap_and_no_more(place: Place) -> None:
    """F40: the estimate is a hundred times what it was; the network is paid the cap."""
    cap = Lamports(20_000)
    await place.owe(SOL // 2)
    custody = place.world.custody
    fees = replace(custody.fees, priority_fee_estimated=True, priority_fee_lamports_max=cap)
    for provider in (0, 1):
        place.world.solana.control.set_priority_price(provider, 100_000_000)
    place = Place(replace(place.world, custody=replace(custody, fees=fees)), place.town)

    await place.until_paid(1)

    paid = await place.world.value(
        "SELECT fee_lamports FROM attempts WHERE memo LIKE 'r1 back %' AND state = 'LANDED'"
    )
    assert paid == 10_000 + cap
    await place.world.ledger_is_chain()
