"""Money moves end to end over real JSON-RPC, and no fault of a provider pays twice or never."""

from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from random import Random

import pytest

from chain.deposits import sweep
from chain.fate import Asked, ask_fate
from chain.keystore import Keystore
from chain.providers import Providers
from chain.rpc import Rpc
from chain.settings import ChainSettings, DepositSettings, Endpoint, FeeSettings, RpcSettings
from chain.signer import KeyPath
from chain.standing import Standing, ask_standings
from chain.transactions import Batch, SignedTransaction, Transfer, sign_batch
from chain.trouble import Disagreement, Garbled, NotKnown, RateLimited, RpcRefused, Unreachable
from rooms.transfer import Fate
from rooms.units import Address, Lamports, Signature
from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana
from tests.chain.world import address, keypair

RICH = Lamports(10**12)
PAYOUT = Lamports(5_000_000)
FEES = FeeSettings()
ANA = address(keypair(11).pubkey())


@dataclass
class Town:
    """A running sandbox chain, the providers over it, and two funded addresses of ours."""

    solana: RunningSolana
    providers: Providers
    keystore: Keystore
    vault: Address
    fee_payer: Address

    def batch(self, recipients: Sequence[Address], memo: str = "r1 pay 7 1") -> Batch:
        transfers = tuple(Transfer(self.vault, each, PAYOUT) for each in recipients)
        return Batch(transfers=transfers, memo=memo, owner=self.vault, fee_payer=self.fee_payer)

    async def sign(self, batch: Batch) -> SignedTransaction:
        paths = {self.vault: KeyPath.vault(7), self.fee_payer: KeyPath.fee_payer()}
        recent = await self.providers.first(lambda rpc: rpc.latest_blockhash())
        return await sign_batch(self.keystore, batch, paths, recent, FEES)

    async def balance(self, place: Address) -> Lamports | None:
        _, lamports = await self.providers.first(lambda rpc: rpc.balances([place], "processed"))
        return lamports[place]


@pytest.fixture
async def town(keystore: Keystore) -> AsyncIterator[Town]:
    settings = SolanaSettings(
        port=0, second_port=0, control_port=0, manual=True, skip_one_in=7, finalized_slots=8
    )
    async with running_solana(settings) as solana:
        endpoints = (Endpoint("first", solana.url), Endpoint("second", solana.second_url))
        quick = RpcSettings(answer_ms_max=400)
        async with Providers.of(ChainSettings(endpoints, quick)) as providers:
            vault = await keystore.address(KeyPath.vault(7))
            fee_payer = await keystore.address(KeyPath.fee_payer())
            for place in (vault, fee_payer):
                solana.control.airdrop(place, RICH)
            solana.control.advance(20)
            yield Town(solana, providers, keystore, vault, fee_payer)


def asked(signed: SignedTransaction) -> Asked:
    return Asked(signed.signature, signed.last_valid_height, signed.context_slot)


async def test_sixty_winners_are_paid_in_one_transaction_and_it_becomes_final(town: Town) -> None:
    winners = [address(keypair(100 + number).pubkey()) for number in range(60)]
    signed = await town.sign(town.batch(winners))
    simulated = await town.providers.first(
        lambda rpc: rpc.simulate(signed.raw, signed.context_slot)
    )
    assert simulated.error is None
    assert simulated.compute_units is not None
    assert (await ask_fate(town.providers, asked(signed))).fate is Fate.UNKNOWN

    assert all(relay.relayed for relay in await town.providers.send(signed.raw))
    town.solana.control.advance(2)
    told = await ask_fate(town.providers, asked(signed))
    assert (told.fate, told.landing and told.landing.finalized) == (Fate.LANDED, False), told.why
    town.solana.control.advance(12)
    told = await ask_fate(town.providers, asked(signed))
    assert (told.fate, told.landing and told.landing.finalized) == (Fate.LANDED, True), told.why
    assert told.landing is not None
    assert told.transaction is not None
    assert told.landing.fee == 10_000
    assert told.transaction.memos_of(town.vault) == ("r1 pay 7 1",)
    assert [each.destination for each in told.transaction.moved] == winners
    assert {each.lamports for each in told.transaction.moved} == {PAYOUT}
    assert await town.balance(town.vault) == RICH - 60 * PAYOUT
    assert await town.balance(town.fee_payer) == RICH - 10_000
    assert all(relay.relayed for relay in await town.providers.send(signed.raw))
    town.solana.control.advance(3)
    assert await town.balance(winners[0]) == PAYOUT

    moment = await town.providers.final_moment()
    assert moment.slot > told.landing.slot
    assert moment.at >= told.landing.block_time


async def test_a_strangers_deposit_is_found_and_our_own_payout_is_none(town: Town) -> None:
    ours = await town.sign(town.batch([ANA]))
    await town.providers.send(ours.raw)
    town.solana.control.advance(1)
    strange = Signature(town.solana.control.airdrop(ANA, 7_000_000))
    town.solana.control.advance(1)

    async def own(signatures: Sequence[Signature]) -> AbstractSet[Signature]:
        return {ours.signature}.intersection(signatures)

    expected = {ANA: PAYOUT, town.vault: Lamports(RICH - PAYOUT)}
    found = await sweep(town.providers, expected, {}, own, DepositSettings())
    assert [(each.signature, each.lamports, each.finalized) for each in found.incoming] == [
        (strange, 7_000_000, False)
    ]
    assert (found.differing, found.cursors, found.stopped) == ((ANA,), {}, ())
    seen = {strange: found.incoming[0].slot}
    assert await ask_standings(town.providers, seen) == {strange: Standing.WAITING}

    town.solana.control.advance(12)
    found = await sweep(town.providers, expected, {}, own, DepositSettings())
    assert [each.finalized for each in found.incoming] == [True]
    assert found.cursors[ANA].signature == strange
    assert await ask_standings(town.providers, seen) == {strange: Standing.FINAL}
    expected[ANA] = Lamports(PAYOUT + 7_000_000)
    found = await sweep(town.providers, expected, found.cursors, own, DepositSettings())
    assert (found.incoming, found.differing) == ((), ())


async def test_what_was_never_sent_lapses_and_what_a_fork_took_may_land_again(town: Town) -> None:
    never, forked = [await town.sign(town.batch([ANA], memo)) for memo in ("r1 a", "r1 b")]
    await town.providers.send(forked.raw)
    town.solana.control.advance(2)
    assert (await ask_fate(town.providers, asked(forked))).fate is Fate.LANDED
    assert town.solana.control.fork(drop=[forked.signature]) == [forked.signature]
    assert (await ask_fate(town.providers, asked(forked))).fate is Fate.UNKNOWN
    await town.providers.send(forked.raw)
    town.solana.control.advance(160)
    told = await ask_fate(town.providers, asked(forked))
    assert (told.fate, told.landing and told.landing.finalized) == (Fate.LANDED, True), told.why
    told = await ask_fate(town.providers, asked(never))
    assert told.fate is Fate.LAPSED, told.why
    await town.providers.send(never.raw)
    town.solana.control.advance(12)
    assert await town.balance(ANA) == PAYOUT


async def test_a_provider_that_lies_about_a_landing_is_not_believed(town: Town) -> None:
    signed = await town.sign(town.batch([ANA]))
    town.solana.control.fault(0, "claimed")
    told = await ask_fate(town.providers, asked(signed))
    assert told.fate is Fate.UNKNOWN, told.why
    town.solana.control.clear_faults()

    await town.providers.send(signed.raw)
    town.solana.control.advance(170)
    town.solana.control.fault(0, "denied")
    told = await ask_fate(town.providers, asked(signed))
    assert (told.fate, told.landing and told.landing.finalized) == (Fate.LANDED, False), told.why
    town.solana.control.clear_faults()
    town.solana.control.fault(0, "forgotten")
    told = await ask_fate(town.providers, asked(signed))
    assert (told.fate, told.landing and told.landing.finalized) == (Fate.LANDED, True), told.why


async def test_heights_far_ahead_or_nodes_far_behind_make_nothing_lapse(town: Town) -> None:
    signed = await town.sign(town.batch([ANA]))
    town.solana.control.fault(0, "wrong_height")
    assert (await ask_fate(town.providers, asked(signed))).fate is Fate.UNKNOWN
    town.solana.control.clear_faults()
    town.solana.control.advance(170)
    town.solana.control.set_lag(1, 200)
    assert (await ask_fate(town.providers, asked(signed))).fate is Fate.UNKNOWN
    town.solana.control.set_lag(1, 0)
    assert (await ask_fate(town.providers, asked(signed))).fate is Fate.LAPSED


@pytest.mark.parametrize(
    ("fault", "trouble"),
    [
        ("error", RpcRefused),
        ("unavailable", Unreachable),
        ("throttled", RateLimited),
        ("silent", Unreachable),
        ("html", Garbled),
        ("truncated", Garbled),
        ("huge", Garbled),
    ],
)
async def test_every_fault_of_a_provider_has_its_name(
    town: Town, fault: str, trouble: type[NotKnown]
) -> None:
    town.solana.control.fault(0, fault)
    endpoint = Endpoint("first", town.solana.url)
    async with Rpc(endpoint, RpcSettings(answer_ms_max=300)) as rpc:
        with pytest.raises(trouble):
            await rpc.slot("finalized")
    with pytest.raises(Disagreement):
        await town.providers.agreed(lambda each: each.rent_minimum())


FAULTS = (
    "error",
    "unavailable",
    "throttled",
    "late",
    "swallowed",
    "html",
    "truncated",
    "wrong_signature",
    "denied",
    "claimed",
    "forgotten",
)


@pytest.mark.parametrize("seed", range(4))
async def test_a_payout_lands_once_whatever_its_providers_do(town: Town, seed: int) -> None:
    """The payer of design section 6: sign, write down, send again and again, judge, sign anew."""
    random = Random(seed)
    control = town.solana.control
    attempts: list[SignedTransaction] = []
    done: list[SignedTransaction] = []
    for _ in range(120):
        if random.random() < 0.5:
            control.clear_faults()
            for _ in range(random.randrange(3)):
                control.fault(random.randrange(2), random.choice(FAULTS), percent=60)
            control.set_lag(random.randrange(2), random.choice([0, 0, 3, 40]))
        if not attempts:
            try:
                attempts.append(await town.sign(town.batch([ANA])))
            except NotKnown:
                continue
        if random.random() < 0.7:
            await town.providers.send(attempts[-1].raw)
        control.advance(random.choice([1, 5, 40, 80]))
        told = await ask_fate(town.providers, asked(attempts[-1]))
        assert told.fate is not Fate.REFUSED
        if told.fate is Fate.LANDED and told.landing is not None and told.landing.finalized:
            done.append(attempts[-1])
            break
        if told.fate is Fate.LAPSED:
            try:
                attempts.append(await town.sign(town.batch([ANA])))
            except NotKnown:
                continue
    control.clear_faults()
    for provider in (0, 1):
        control.set_lag(provider, 0)
    control.advance(200)
    landed = [
        each
        for each in attempts
        if (await ask_fate(town.providers, asked(each))).fate is Fate.LANDED
    ]
    assert len(landed) == len(done) == 1, f"{seed=}: {len(landed)} of {len(attempts)} landed"
    assert await town.balance(ANA) == PAYOUT
