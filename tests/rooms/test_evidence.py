"""The evidence of a settlement is one text, whatever the order, that names nobody."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.evidence import evidence, evidence_hash
from rooms.feed import Guards
from rooms.pool import Stake
from rooms.room import Comparator, Outcome, Room, Side
from rooms.settlement import settle
from rooms.units import Address, Bps, Lamports, UnixMs, Value

NOW = UnixMs(1_700_000_000_000)
ROOM = Room(
    id=2**61 + 1, creator=8_111_222_333, feed="SOL/USD", scale=2, comparator=Comparator.UP,
    move_bps=Bps(200), target=Value(2**60 + 1), opened_at=NOW, lock_at=UnixMs(NOW + 1),
    cut_at=UnixMs(NOW + 2), watch_at=UnixMs(NOW + 3), deadline_at=UnixMs(NOW + 4),
    target_wait_ms=1, gap_ms_max=1, protocol_fee_bps=Bps(200), host_fee_bps=Bps(100),
    stake_lamports_min=Lamports(1), stake_lamports_max=Lamports(2**60), seats=None,
    volatility_bps=Bps(1), guards=Guards(),
)  # fmt: skip
STAKES = [
    Stake(1, 1, 8_111_222_444, Side.YES, Lamports(2**55 + 1)),
    Stake(2, 2, 8_111_222_555, Side.NO, Lamports(7), referrer=8_111_222_666),
    Stake(3, 1, 8_111_222_444, Side.YES, Lamports(5)),
]
ADDRESSES = {user: Address(f"Address{user % 1000}") for user in (8_111_222_444, 8_111_222_555)}
CROSSING = {"at": NOW, "source_at": NOW, "value": 5, "evidence": {"b": 1, "a": [1, 2]}}


def bundle(stakes: list[Stake], **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - as it takes
    division = settle(
        stakes, Outcome.YES, None, host=ROOM.creator, protocol_fee_bps=Bps(200),
        host_fee_bps=Bps(100),
    )  # fmt: skip
    facts: dict[str, Any] = {
        "base": Value(9), "decided_at": NOW, "crossing": CROSSING, "stakes": stakes,
        "addresses": ADDRESSES, "settlement": division, **changes,
    }  # fmt: skip
    return evidence(facts.pop("room", ROOM), **facts)


@given(st.permutations(STAKES))
def test_the_order_of_the_stakes_does_not_matter(stakes: list[Stake]) -> None:
    assert evidence_hash(bundle(stakes)) == evidence_hash(bundle(STAKES))


@pytest.mark.parametrize(
    "changes",
    [
        {"room": replace(ROOM, target=Value(2**60))},
        {"room": replace(ROOM, guards=Guards(quorum=2))},
        {"base": Value(10)},
        {"decided_at": UnixMs(NOW + 1)},
        {"crossing": None},
        {"crossing": {**CROSSING, "evidence": {"a": [2, 1], "b": 1}}},
        {"addresses": {**ADDRESSES, 8_111_222_555: Address("Other")}},
    ],
)
def test_another_fact_gives_another_hash(changes: dict[str, Any]) -> None:
    assert evidence_hash(bundle(STAKES, **changes)) != evidence_hash(bundle(STAKES))


def test_a_stake_more_gives_another_hash() -> None:
    assert evidence_hash(bundle(STAKES[:2])) != evidence_hash(bundle(STAKES))


def test_it_names_nobody_and_bends_no_number() -> None:
    said = str(bundle(STAKES))
    assert "8111222" not in said
    numbers: list[int] = []

    def look(part: object) -> None:
        match part:
            case bool():
                pass
            case int():
                numbers.append(part)
            case dict():
                for each in part.values():
                    look(each)
            case list():
                for each in part:
                    look(each)

    look(bundle(STAKES))
    assert max(numbers) < 2**53


def test_the_hash_is_that_of_plain_sorted_json() -> None:
    # printf '{"a":["é",1],"b":null}' | sha256sum
    expected = "e7b73c1dc558b94aafd8654cc4cfb57f6bce68dd229b0f15120aaf4ccb51060a"
    assert evidence_hash({"b": None, "a": ["é", 1]}) == expected
