"""Whatever strangers send is found once and exactly, whatever the nodes do meanwhile."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from chain.deposits import (
    Cursor,
    Incoming,
    Ours,
    Stop,
    Stopped,
    Sweep,
    agreed_history,
    differing,
    incoming_of,
    sweep,
)
from chain.providers import Providers
from chain.reading import LandedTransaction, Moved
from chain.rpc import ListedSignature
from chain.settings import DepositSettings
from chain.trouble import Unreachable
from rooms.units import Address, Lamports, Signature, Slot, UnixMs
from tests.chain.world import (
    BORN_AT,
    FINALIZED_BEHIND,
    Node,
    World,
    address,
    keypair,
    lamports_at,
    two_nodes,
)

STRANGER, OWN = keypair(20), keypair(21)
ANA, BO, CY = (keypair(number).pubkey() for number in (11, 12, 13))
PEOPLE = (ANA, BO, CY)


@dataclass
class Ledger:
    """What a caller keeps: what lies where, how far it read, and which signatures are its own."""

    expected: dict[Address, Lamports]
    own: set[Signature] = field(default_factory=set)
    cursors: dict[Address, Cursor] = field(default_factory=dict)
    credited: dict[tuple[Signature, Address], Incoming] = field(default_factory=dict)
    settings: DepositSettings = field(default_factory=DepositSettings)

    @property
    def ours(self) -> Ours:
        async def tell(signatures: Sequence[Signature]) -> AbstractSet[Signature]:
            return self.own.intersection(signatures)

        return tell

    async def sweep(self, providers: Providers) -> Sweep:
        found = await sweep(providers, self.expected, self.cursors, self.ours, self.settings)
        for each in found.incoming:
            key = each.signature, each.address
            if key not in self.credited:
                brought = each.lamports + each.other_lamports
                self.expected[each.address] = Lamports(self.expected[each.address] + brought)
            else:
                before = self.credited[key]
                assert replace(before, finalized=True) == replace(each, finalized=True)
            self.credited[key] = each
        self.cursors |= found.cursors
        return found


def ledger(**changes: int) -> Ledger:
    return Ledger({address(each): Lamports(0) for each in PEOPLE})


async def test_a_deposit_is_usable_at_one_confirmation_and_final_later() -> None:
    world = World()
    _, _, providers = two_nodes(world)
    book = ledger()
    async with providers:
        assert (await book.sweep(providers)).differing == ()
        signature = world.pay(STRANGER, [(ANA, 5), (BO, 3), (ANA, 6)], version=1)
        assert (await book.sweep(providers)).incoming == ()
        world.slot += 1
        found = await book.sweep(providers)
        assert [
            (each.signature, each.address, each.lamports, each.finalized) for each in found.incoming
        ] == [(signature, address(ANA), 11, False), (signature, address(BO), 3, False)]
        assert found.incoming[0].block_time == (BORN_AT + 1_000) * 1_000
        assert (found.cursors, found.stopped) == ({}, ())
        assert (await book.sweep(providers)).differing == ()

        world.slot += FINALIZED_BEHIND
        world.pay(STRANGER, [(ANA, 1)])
        world.slot += 1
        found = await book.sweep(providers)
        assert [(each.lamports, each.finalized) for each in found.incoming] == [
            (11, True),
            (1, False),
        ]
        assert found.cursors == {address(ANA): Cursor(signature, Slot(1_000))}


async def test_our_own_transfers_and_failed_ones_are_no_deposits() -> None:
    world = World()
    one, _, providers = two_nodes(world)
    book = ledger()
    async with providers:
        ours = world.pay(OWN, [(ANA, 50)])
        book.own.add(ours)
        world.pay(STRANGER, [(ANA, 7)], fails=True)
        world.pay(STRANGER, [(ANA, 8)])
        world.slot += 1
        found = await book.sweep(providers)
        assert [each.lamports for each in found.incoming] == [8]
        # Our own one is not even read: whoever sent it knows what it did.
        assert one.asked.count("getTransaction") == 1


async def test_called_transfers_and_lamports_from_elsewhere_come_in_whole() -> None:
    world = World()
    _, _, providers = two_nodes(world)
    book = ledger()
    async with providers:
        world.pay(STRANGER, [(ANA, 5)], calls=[(ANA, 7), (BO, 2)], extra=[(ANA, 9), (CY, 4)])
        world.slot += 1
        found = await book.sweep(providers)
        assert [(each.lamports, each.other_lamports) for each in found.incoming] == [
            (12, 9),
            (2, 0),
            (0, 4),
        ]
        assert (await book.sweep(providers)).differing == ()


async def test_an_unknown_version_stops_its_address_alone_and_is_not_skipped() -> None:
    world = World()
    one, other, providers = two_nodes(world)
    book = ledger()
    async with providers:
        before = world.pay(STRANGER, [(ANA, 1)])
        world.slot += 1
        strange = world.pay(STRANGER, [(ANA, 2)])
        world.slot += 1
        world.pay(STRANGER, [(ANA, 3), (BO, 4)])
        world.slot += FINALIZED_BEHIND
        for node in (one, other):
            node.versions[strange] = 2
        for _ in range(2):
            found = await book.sweep(providers)
            assert [each.lamports for each in found.incoming if each.address == address(ANA)] in (
                [1],
                [],
            )
            [stopped] = found.stopped
            assert (stopped.address, stopped.stop) == (address(ANA), Stop.UNKNOWN_VERSION)
            assert stopped.alarms
            assert strange in stopped.why
            assert book.cursors[address(ANA)] == Cursor(before, Slot(1_000))
        assert book.expected[address(BO)] == 4
        for node in (one, other):
            node.versions.clear()
        found = await book.sweep(providers)
        assert [each.lamports for each in found.incoming] == [2, 3]


async def test_lamports_that_leave_by_a_stranger_are_an_alarm() -> None:
    world = World()
    _, _, providers = two_nodes(world)
    thief = keypair(11)
    assert thief.pubkey() == ANA
    world.balances[ANA] = 100_000
    book = ledger()
    book.expected[address(ANA)] = Lamports(100_000)
    async with providers:
        world.pay(thief, [(BO, 50_000)])
        world.slot += 1
        found = await book.sweep(providers)
        assert [(each.address, each.lamports) for each in found.incoming] == [(address(BO), 50_000)]
        [stopped] = found.stopped
        assert (stopped.address, stopped.stop) == (address(ANA), Stop.LEFT_BY_STRANGER)
        assert stopped.alarms


async def test_one_provider_alone_credits_nothing_and_moves_no_cursor() -> None:
    world = World()
    one, other, providers = two_nodes(world)
    book = ledger()
    async with providers:
        signature = world.pay(STRANGER, [(ANA, 5)])
        world.slot += FINALIZED_BEHIND
        other.trouble = Unreachable("other is gone")
        found = await book.sweep(providers)
        assert (found.incoming, found.cursors) == ((), {})
        assert [(each.stop, each.alarms) for each in found.stopped] == [(Stop.NOT_KNOWN, False)]
        assert "other is gone" in found.stopped[0].why

        one.trouble = Unreachable("one is gone")
        found = await book.sweep(providers)
        assert [each.stop for each in found.stopped] == [Stop.NOT_KNOWN] * 3

        one.trouble = other.trouble = None
        other.hidden.add(signature)
        found = await book.sweep(providers)
        assert (found.incoming, found.cursors) == ((), {})
        assert "differently" in found.stopped[0].why

        other.hidden.clear()
        assert [each.lamports for each in (await book.sweep(providers)).incoming] == [5]


async def test_a_lie_about_an_amount_credits_nothing() -> None:
    world = World()
    one, _, providers = two_nodes(world)
    book = ledger()
    async with providers:
        world.pay(STRANGER, [(ANA, 5)])
        world.slot += FINALIZED_BEHIND
        one.lies["getTransaction"] = lambda told: {
            **told,
            "meta": {**told["meta"], "postBalances": [9] * len(told["meta"]["postBalances"])},
        }
        found = await book.sweep(providers)
        assert (found.incoming, found.cursors) == ((), {})
        assert "answered differently" in found.stopped[0].why


async def test_a_long_history_is_read_in_pages_and_in_portions() -> None:
    world = World()
    one, _, providers = two_nodes(world)
    book = ledger()
    book.settings = DepositSettings(transactions_max=12)
    async with providers:
        for number in range(1_050):
            signature = world.pay(STRANGER, [(ANA, 1)])
            if number % 35:
                book.own.add(signature)
                book.expected[address(ANA)] = Lamports(book.expected[address(ANA)] + 1)
            world.slot += 1
        world.slot += FINALIZED_BEHIND
        found = await book.sweep(providers)
        assert (len(found.incoming), found.stopped) == (12, ())
        assert one.asked.count("getSignaturesForAddress") == 2
        await book.sweep(providers)
        assert book.expected[address(ANA)] == 1_044
        await book.sweep(providers)
        assert book.expected[address(ANA)] == 1_050
        assert (await book.sweep(providers)).differing == ()

        book.settings = DepositSettings(pages_max=1)
        book.cursors.clear()
        world.pay(STRANGER, [(ANA, 1)])
        world.slot += 1
        found = await book.sweep(providers)
        assert [(each.stop, each.alarms) for each in found.stopped] == [(Stop.TOO_LONG, True)]


def test_more_transferred_than_arrived_is_an_alarm_and_no_credit() -> None:
    sender, place = address(STRANGER.pubkey()), address(ANA)
    transaction = LandedTransaction(
        signature=Signature("s"),
        slot=Slot(7),
        block_time=UnixMs(7_000),
        error=None,
        fee=Lamports(5_000),
        fee_payer=sender,
        signers=(sender,),
        moved=(Moved(sender, place, Lamports(5), called=False),),
        memos=(),
        changes=((place, 5),),
    )
    brought = incoming_of(place, transaction, finalized=True)
    assert isinstance(brought, Incoming)
    assert (brought.lamports, brought.other_lamports) == (5, 0)
    less = incoming_of(place, replace(transaction, changes=((place, 4),)), finalized=True)
    assert isinstance(less, Stopped)
    assert less.stop is Stop.LEFT_BY_STRANGER
    assert incoming_of(address(BO), transaction, finalized=True) is None


def listed(*texts: str) -> list[ListedSignature]:
    """Read such as "7:a:final", newest first, as nodes list them."""
    return [
        ListedSignature(
            Signature(name),
            Slot(int(slot)),
            "finalized" if grade == "final" else "confirmed",
            None,
        )
        for slot, name, grade in (text.split(":") for text in texts)
    ]


def test_two_histories_count_as_far_as_they_are_alike() -> None:
    one = listed("9:d:seen", "8:c:final", "7:b:final", "7:a:final")
    other = listed("8:c:seen", "7:a:final", "7:b:final")
    history, alike = agreed_history([one, other], None)
    assert [(each.signature, each.commitment) for each in history] == [
        ("a", "finalized"),
        ("b", "finalized"),
        ("c", "confirmed"),
    ]
    assert not alike
    history, alike = agreed_history([one, one], Slot(7))
    assert ([each.signature for each in history], alike) == (["c", "d"], True)
    history, alike = agreed_history([listed("7:a:final"), listed("7:b:final")], None)
    assert (history, alike) == ((), False)


@pytest.mark.parametrize(
    ("expected", "there", "differs"),
    [(5, 5, False), (5, 6, True), (5, 4, True), (0, None, False), (5, None, True), (0, 1, True)],
)
def test_an_address_differs_when_something_else_lies_there(
    expected: int, there: int | None, *, differs: bool
) -> None:
    place = Address("a")
    found = differing(
        {place: Lamports(expected)}, {place: None if there is None else Lamports(there)}
    )
    assert found == ((place,) if differs else ())


@pytest.mark.parametrize(
    ("there", "differs"), [(5, False), (12, False), (2, False), (13, True), (1, True), (8, True)]
)
def test_what_our_own_transfers_on_their_way_explain_is_no_difference(
    there: int, *, differs: bool
) -> None:
    place = Address("a")
    found = differing({place: Lamports(5)}, {place: Lamports(there)}, {place: frozenset({7, -3})})
    assert found == ((place,) if differs else ())


def test_an_address_that_was_not_read_does_not_differ() -> None:
    assert differing({Address("a"): Lamports(5)}, {}) == ()


# The law: strangers and we ourselves move money, nodes lag and fall silent, the chain goes on.

legs = st.lists(st.tuples(st.sampled_from(PEOPLE), st.integers(1, 10**6)), min_size=1, max_size=3)
deposits = st.tuples(
    st.just("deposit"), legs, legs | st.just([]), st.sampled_from(["legacy", 0, 1]), st.booleans()
)
steps = st.one_of(
    deposits,
    st.tuples(st.just("ours"), legs, st.booleans()),
    st.tuples(st.just("post"), st.just(0)),
    st.tuples(st.just("slots"), st.integers(1, 12)),
    st.tuples(st.just("sweep"), st.just(0)),
    st.tuples(st.just("lag"), st.integers(0, 1), st.sampled_from([0, 1, 3, 20])),
    st.tuples(st.just("silent"), st.integers(0, 1), st.booleans()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=25))
async def test_all_that_strangers_sent_is_credited_exactly_once(
    story: list[tuple[object, ...]],
) -> None:
    world = World()
    nodes, book = list[Node](), ledger()
    *both, providers = two_nodes(world)
    nodes = both
    sent: dict[tuple[Signature, Address], int] = {}
    unposted: list[list[tuple[Pubkey, int]]] = []

    def post() -> None:
        while unposted:
            for key, lamports in unposted.pop():
                place = address(key)
                book.expected[place] = Lamports(book.expected[place] + lamports)

    async with providers:
        for step in story:
            match step:
                case "deposit", list(top), list(calls), int() | str() as version, bool(fails):
                    name = world.pay(STRANGER, top, calls=calls, version=version, fails=fails)
                    for key, lamports in [] if fails else [*top, *calls]:
                        sent[name, address(key)] = sent.get((name, address(key)), 0) + lamports
                case "ours", list(top), bool(fails):
                    book.own.add(world.pay(OWN, top, fails=fails))
                    if not fails:
                        unposted.append(top)
                case "post", _:
                    post()
                case "slots", int(count):
                    world.slot += count
                case "sweep", _:
                    await book.sweep(providers)
                case "lag", int(which), int(behind):
                    nodes[which].behind = behind
                case "silent", int(which), bool(silent):
                    nodes[which].trouble = Unreachable("silent") if silent else None
        for node in nodes:
            node.behind, node.trouble = 0, None
        post()
        world.slot += FINALIZED_BEHIND
        await book.sweep(providers)
        found = await book.sweep(providers)

    credited = {key: each.lamports + each.other_lamports for key, each in book.credited.items()}
    assert credited == sent
    assert all(each.other_lamports == 0 for each in book.credited.values())
    assert book.expected == {address(key): lamports_at(world, key) for key in PEOPLE}
    assert (found.differing, found.stopped) == ((), ())
