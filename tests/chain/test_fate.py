"""No transaction is called dead that may live: a table of answers, and a story of 300 seeds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.fate import Asked, Reading, ask_fate, ask_fates, fate
from chain.rpc import HeightAt, SignatureStatus
from chain.standing import Standing, ask_standings
from chain.trouble import Unreachable
from rooms.transfer import Fate
from rooms.units import BlockHeight, Signature, Slot
from tests.chain.world import BORN_AT, FINALIZED_BEHIND, HEIGHT_BEHIND, World, keypair, two_nodes

ASKED = Asked(Signature("s"), BlockHeight(150), Slot(1_000))
LATE, EARLY = HeightAt(Slot(1_200), BlockHeight(151)), HeightAt(Slot(1_199), BlockHeight(150))
OK = SignatureStatus(Slot(1_100), "finalized", None)
ERROR = '{"InstructionError":[0,{"Custom":1}]}'

ANSWERS: dict[str, Reading | None] = {
    "silent": None,
    "early, absent": Reading("", EARLY, None, Slot(1_230), Slot(0)),
    "late, absent": Reading("", LATE, None, Slot(1_230), Slot(0)),
    "late, absent, just old enough": Reading("", LATE, None, Slot(1_200), Slot(1_000)),
    "late, absent, from a node behind": Reading("", LATE, None, Slot(1_199), Slot(0)),
    "late, absent, history lost": Reading("", LATE, None, Slot(1_230), Slot(1_001)),
    "late, absent, history unknown": Reading("", LATE, None, Slot(1_230), None),
    "final": Reading("", LATE, OK, Slot(1_230)),
    "confirmed": Reading("", EARLY, replace(OK, commitment="confirmed"), Slot(1_230)),
    "processed": Reading("", EARLY, replace(OK, commitment="processed"), Slot(1_230)),
    "final, failed": Reading("", LATE, replace(OK, error=ERROR), Slot(1_230)),
    "confirmed, failed": Reading(
        "", LATE, replace(OK, error=ERROR, commitment="confirmed"), Slot(1_230)
    ),
    "final, in another slot": Reading("", LATE, replace(OK, slot=Slot(1_101)), Slot(1_230)),
    "final, before its blockhash": Reading("", LATE, replace(OK, slot=Slot(1_000)), Slot(1_230)),
}

TABLE = """
silent                            | silent                           | UNKNOWN
early, absent                     | early, absent                    | UNKNOWN
early, absent                     | late, absent                     | UNKNOWN
late, absent                      | late, absent                     | LAPSED
late, absent                      | late, absent, just old enough    | LAPSED
late, absent                      | silent                           | UNKNOWN
late, absent                      | late, absent, from a node behind | UNKNOWN
late, absent                      | late, absent, history lost       | UNKNOWN
late, absent                      | late, absent, history unknown    | UNKNOWN
late, absent                      | processed                        | UNKNOWN
late, absent                      | confirmed                        | LANDED
late, absent                      | final                            | LANDED
late, absent                      | final, failed                    | UNKNOWN
processed                         | processed                        | UNKNOWN
processed                         | confirmed                        | LANDED
confirmed                         | silent                           | LANDED
confirmed                         | final                            | LANDED
final                             | silent                           | LANDED
final                             | final                            | LANDED finally
final                             | final, failed                    | UNKNOWN
final                             | final, in another slot           | UNKNOWN
final, before its blockhash       | final, before its blockhash      | UNKNOWN
confirmed, failed                 | confirmed, failed                | UNKNOWN
final, failed                     | confirmed, failed                | UNKNOWN
final, failed                     | silent                           | UNKNOWN
final, failed                     | final, failed                    | REFUSED
"""


@pytest.mark.parametrize("row", TABLE.strip().splitlines())
def test_a_fate_follows_from_what_two_providers_say(row: str) -> None:
    one, other, said = (part.strip() for part in row.split("|"))
    for pair in ((one, other), (other, one)):
        readings = [
            replace(reading, provider=name)
            for name, reading in zip("ab", (ANSWERS[each] for each in pair), strict=True)
            if reading is not None
        ]
        verdict = fate(ASKED, readings)
        assert verdict.fate.name + (" finally" if verdict.finalized else "") == (
            "REFUSED finally" if said == "REFUSED" else said
        ), verdict.why


def test_the_numbers_that_are_stored_never_change() -> None:
    assert {each.name: each.value for each in Fate} == {
        "LANDED": 1,
        "REFUSED": 2,
        "LAPSED": 3,
        "UNKNOWN": 4,
    }


@given(st.lists(st.sampled_from(sorted(ANSWERS)), max_size=4))
def test_more_providers_never_make_a_transaction_dead_that_one_has_seen(names: list[str]) -> None:
    readings = [
        replace(reading, provider=str(place))
        for place, reading in enumerate(ANSWERS[name] for name in names)
        if reading is not None
    ]
    verdict = fate(ASKED, readings)
    if any(reading.status is not None for reading in readings):
        assert verdict.fate is not Fate.LAPSED
    if verdict.fate in (Fate.LAPSED, Fate.REFUSED):
        assert len(readings) >= 2
    assert fate(ASKED, readings[::-1]) == verdict


# The story: a payer that may die at every wait, over a chain that moves at every wait.

HEIGHTS_VALID = 15
FINAL_BEHIND = 4
PASSES_MAX = 400


@dataclass
class Cluster:
    """One height a slot; every node sees it late by its own, changing lag."""

    random: Random
    height: int = 100
    waiting: dict[str, int] = field(default_factory=dict)
    landed: dict[str, int] = field(default_factory=dict)

    def send(self, attempt: str, last_valid: int) -> None:
        if attempt not in self.landed:
            self.waiting[attempt] = last_valid

    def move(self) -> None:
        for _ in range(self.random.choice([0, 0, 1, 12])):
            self.height += 1
            for attempt, last_valid in list(self.waiting.items()):
                if self.height > last_valid:
                    del self.waiting[attempt]
                elif self.random.random() < 0.04:
                    self.landed[attempt] = self.height
                    del self.waiting[attempt]

    def seen(self) -> int:
        """Say how far the node has come that happens to answer now."""
        return self.height - self.random.choice([0, 1, 40, 40])

    def final_height(self) -> HeightAt:
        seen = self.seen() - FINAL_BEHIND
        return HeightAt(Slot(seen), BlockHeight(seen))

    def status(self, attempt: str) -> tuple[Slot, SignatureStatus | None]:
        seen = self.seen()
        at = self.landed.get(attempt)
        if at is None or at > seen:
            return Slot(seen), None
        commitment = "finalized" if at <= seen - FINAL_BEHIND else "confirmed"
        return Slot(seen), SignatureStatus(Slot(at), commitment, None)  # type: ignore[arg-type]


@dataclass
class Book:
    """What survives the payer's death."""

    attempts: list[Asked] = field(default_factory=list)
    fates: dict[str, Fate] = field(default_factory=dict)


def as_written(cluster: Cluster, attempt: Asked, name: str) -> Iterator[Reading | None]:
    height = cluster.final_height()
    yield None
    status_slot, status = cluster.status(attempt.signature)
    yield None
    yield Reading(name, height, status, status_slot, Slot(0))


def status_before_height(cluster: Cluster, attempt: Asked, name: str) -> Iterator[Reading | None]:
    status_slot, status = cluster.status(attempt.signature)
    yield None
    height = cluster.final_height()
    yield None
    yield Reading(name, height, status, max(status_slot, height.slot), Slot(0))


def context_not_compared(cluster: Cluster, attempt: Asked, name: str) -> Iterator[Reading | None]:
    for reading in as_written(cluster, attempt, name):
        yield None if reading is None else replace(reading, status_slot=Slot(10**9))


def any_height_is_late(cluster: Cluster, attempt: Asked, name: str) -> Iterator[Reading | None]:
    for reading in as_written(cluster, attempt, name):
        late = HeightAt(Slot(0), BlockHeight(attempt.last_valid_height + 1))
        yield None if reading is None else replace(reading, height=late)


Read = Callable[[Cluster, Asked, str], Iterator[Reading | None]]


def one_pass(cluster: Cluster, book: Book, read: Read) -> Iterator[None]:
    latest = book.attempts[-1] if book.attempts else None
    if latest is None or book.fates.get(latest.signature) is Fate.LAPSED:
        seen = cluster.seen()
        latest = Asked(
            Signature(f"attempt {len(book.attempts)}"),
            BlockHeight(seen + HEIGHTS_VALID),
            Slot(seen - 1),
        )
        book.attempts.append(latest)
        yield
    cluster.send(latest.signature, latest.last_valid_height)
    yield
    readings: list[Reading] = []
    # Both providers are asked side by side: their first questions, then their second ones.
    for answers in zip(*(read(cluster, latest, name) for name in ("one", "other")), strict=True):
        readings = [reading for reading in answers if reading is not None]
        if not readings:
            yield
    verdict = fate(latest, readings)
    # A landing that one node saw is no end: the payer goes on asking until it is final.
    if verdict.fate is not Fate.LANDED or verdict.finalized:
        book.fates[latest.signature] = verdict.fate
    yield


def times_paid(seed: int, read: Read) -> int:
    random = Random(seed)
    cluster, book = Cluster(random), Book()
    for _ in range(PASSES_MAX):
        for _ in one_pass(cluster, book, read):
            cluster.move()
            if random.random() < 0.2:
                break  # The payer dies here and starts again from the book.
        if Fate.LANDED in book.fates.values() or len(cluster.landed) > 1:
            break
    return len(cluster.landed)


def test_a_payout_lands_exactly_once_whatever_dies_when() -> None:
    paid = {seed: times_paid(seed, as_written) for seed in range(300)}
    assert {seed: count for seed, count in paid.items() if count != 1} == {}


@pytest.mark.parametrize("broken", [status_before_height, context_not_compared, any_height_is_late])
def test_every_rule_of_the_reading_is_needed(broken: Read) -> None:
    twice = sum(times_paid(seed, broken) > 1 for seed in range(300))
    print(f"{broken.__name__}: {twice} of 300 seeds pay twice")  # noqa: T201
    assert twice > 0, "the story no longer notices when this rule is broken"


# The asking itself, against nodes that answer JSON-RPC.

PAYER, ANA = keypair(1), keypair(11).pubkey()


def asked_about(world: World, signature: Signature, heights: int = 10) -> Asked:
    height = BlockHeight(world.slot - HEIGHT_BEHIND + heights)
    return Asked(signature, height, Slot(world.slot - 1))


async def test_a_landing_is_told_with_its_fee_slot_and_time_and_then_becomes_final() -> None:
    world = World()
    _, _, providers = two_nodes(world)
    async with providers:
        signature = world.pay(PAYER, [(ANA, 5)], version=1)
        asked = asked_about(world, signature)
        seen = []
        for _ in range(FINALIZED_BEHIND + 1):
            told = await ask_fate(providers, asked)
            seen.append((told.fate.name, told.landing.finalized if told.landing else None))
            world.slot += 1
        assert seen == [("UNKNOWN", None), *[("LANDED", False)] * 7, ("LANDED", True)]
        assert told.landing is not None
        assert told.transaction is not None
        assert (told.landing.slot, told.landing.fee) == (1_000, 5_000)
        assert told.landing.block_time == (BORN_AT + 1_000) * 1_000
        assert told.transaction.received(str(ANA)) == 5  # type: ignore[arg-type]


async def test_a_refusal_is_told_when_two_have_finalized_it_with_its_fee() -> None:
    world = World()
    one, other, providers = two_nodes(world)
    async with providers:
        asked = asked_about(world, world.pay(PAYER, [(ANA, 5)], fails=True))
        world.slot += FINALIZED_BEHIND - 1
        assert (await ask_fate(providers, asked)).fate is Fate.UNKNOWN
        world.slot += 1
        other.behind = 1
        assert (await ask_fate(providers, asked)).fate is Fate.UNKNOWN
        other.behind = 0
        told = await ask_fate(providers, asked)
        assert (told.fate, told.error) == (Fate.REFUSED, ERROR)
        assert told.landing is not None
        assert told.landing.fee == 5_000
        one.trouble = Unreachable("one is gone")
        told = await ask_fate(providers, asked)
        assert told.fate is Fate.UNKNOWN
        assert "one is gone" in told.why


async def test_a_lapse_needs_both_providers_past_the_height_and_their_history() -> None:
    world = World()
    one, other, providers = two_nodes(world)
    async with providers:
        asked = asked_about(world, Signature("4" * 87), heights=10)

        async def told() -> str:
            return (await ask_fate(providers, asked)).fate.name

        world.slot += 10 + FINALIZED_BEHIND
        assert await told() == "UNKNOWN"
        world.slot += 1
        assert await told() == "LAPSED"
        for node in (one, other):
            node.behind = 1
            assert await told() == "UNKNOWN"
            node.behind = 0
            node.history_from = asked.context_slot + 1
            assert await told() == "UNKNOWN"
            node.history_from = 0
            node.trouble = Unreachable("gone")
            assert await told() == "UNKNOWN"
            node.trouble = None
        assert await told() == "LAPSED"


async def test_height_is_read_before_status_and_history_last() -> None:
    world = World()
    one, _, providers = two_nodes(world)
    async with providers:
        world.slot += 100
        await ask_fate(providers, Asked(Signature("4" * 87), BlockHeight(1), Slot(1)))
    assert one.asked == ["getEpochInfo", "getSignatureStatuses", "getFirstAvailableBlock"]


async def test_many_fates_are_asked_256_at_a_time() -> None:
    world = World()
    one, _, providers = two_nodes(world)
    async with providers:
        asked = [asked_about(world, world.pay(PAYER, [(ANA, 5)])) for _ in range(300)]
        world.slot += FINALIZED_BEHIND
        told = await ask_fates(providers, asked)
    assert {each.fate for each in told.values()} == {Fate.LANDED}
    assert len(told) == 300
    assert one.asked.count("getSignatureStatuses") == 2


async def test_a_status_that_its_own_block_contradicts_is_unknown() -> None:
    world = World()
    one, other, providers = two_nodes(world)
    async with providers:
        asked = asked_about(world, world.pay(PAYER, [(ANA, 5)]))
        world.slot += FINALIZED_BEHIND
        for node in (one, other):
            node.lies["getTransaction"] = lambda told: {**told, "slot": 1_001}
        assert (await ask_fate(providers, asked)).fate is Fate.UNKNOWN
        other.lies.clear()
        told = await ask_fate(providers, asked)
        assert told.fate is Fate.UNKNOWN
        assert "answered differently" in told.why


async def test_what_was_seen_at_one_confirmation_becomes_final_or_is_gone() -> None:
    world = World()
    one, other, providers = two_nodes(world)
    async with providers:
        stays = world.pay(PAYER, [(ANA, 5)])
        world.slot += FINALIZED_BEHIND
        goes = world.pay(PAYER, [(ANA, 6)])
        world.slot += 1
        seen = {stays: Slot(1_000), goes: Slot(1_000 + FINALIZED_BEHIND)}

        async def told() -> list[str]:
            return [each.name for each in (await ask_standings(providers, seen)).values()]

        assert await told() == ["FINAL", "WAITING"]
        world.fork()
        assert await told() == ["FINAL", "WAITING"]
        world.slot += FINALIZED_BEHIND - 1
        assert await told() == ["FINAL", "WAITING"]
        world.slot += 1
        assert await told() == ["FINAL", "GONE"]
        other.behind = 2
        assert await told() == ["FINAL", "WAITING"]
        other.behind, other.history_from = 0, 1_005
        assert await told() == ["WAITING", "GONE"]
        one.history_from = 1_005
        assert await told() == ["WAITING", "GONE"]
    assert [each.value for each in Standing] == [1, 2, 3]
