"""A decided and sealed pool is divided once, to the lamport, and everything about it planned."""

import asyncio
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec
import pytest

from rooms import ledger
from rooms.canonical import content_hash, plain_of
from rooms.crossing import Crossing
from rooms.evidence import evidence_of
from rooms.feed import Guards
from rooms.index_price import IndexPrice
from rooms.room import Comparator
from rooms.units import Address, Lamports, Value
from rooms.verification import verify
from storage import crossings
from storage import evidence as evidence_rows
from storage import ledger as accounts
from storage.connections import transaction
from storage.leases import Lease, held
from streams.settlements import claim_paid, claim_settlements
from streams.wake import drain
from tests.place import SOL, TREASURY, Place
from tests.rooms.bundles import price

Row = dict[str, Any]


async def settle(place: Place) -> int:
    return await drain([lambda: claim_settlements(place.money())])


async def stake(
    place: Place, number: int, user: int, side: str, lamports: int, *, room: int = 1,
    weight: int = 10_000, state: str = "LANDED",
) -> None:  # fmt: skip
    """Put a stake into a room as if it had been taken and had landed."""
    await place.do(
        "INSERT INTO bets (room_id, user_id, side) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        room, user, side,
    )  # fmt: skip
    await place.do(
        "INSERT INTO stakes (id, bet_id, room_id, user_id, side, lamports, weight_bps, accepted_at,"
        " state) SELECT $1, id, room_id, user_id, side, $2, $3, 1, $4 FROM bets"
        " WHERE room_id = $5 AND user_id = $6",
        number, lamports, weight, state, room, user,
    )  # fmt: skip
    held = Lamports(lamports)
    entries = [ledger.hold(f"stake:{number}", user, held)]
    if state in ("LANDED", "MISSED"):
        own, vault = Address(f"Address{user}"), Address(f"Vault{room}")
        landed = state == "LANDED"
        entries.append(ledger.stake(number, user, room, own, vault, held, in_time=landed))
    async with transaction(place.connections) as connection:
        await accounts.post(connection, entries)


async def decide(
    place: Place, outcome: str, room: int = 1, *, reason: str | None = None, sealed: bool = True
) -> None:
    await place.do(
        "UPDATE rooms r SET state = 'DECIDED', outcome = $2, void_reason = $3"
        ", decided_at = now_ms(), target = coalesce(target, 20400), base = 20000"
        ", sealed_at = CASE WHEN $4 THEN now_ms() END, sealed_slot = 5"
        ", sealed_yes = s.yes, sealed_no = s.no"
        " FROM (SELECT coalesce(sum(lamports) FILTER (WHERE side = 'YES'), 0) AS yes,"
        "              coalesce(sum(lamports) FILTER (WHERE side = 'NO'), 0) AS no"
        "       FROM stakes WHERE room_id = $1 AND state = 'LANDED') s WHERE r.id = $1",
        room, outcome, reason, sealed,
    )  # fmt: skip


async def planned(place: Place, room: int = 1) -> dict[str, int]:
    rows = await place.rows(
        "SELECT key, lamports FROM transfers WHERE room_id = $1 ORDER BY key", room
    )
    return {row["key"]: row["lamports"] for row in rows}


@pytest.fixture
async def place(place: Place) -> Place:
    await place.person(1)  # the creator
    await place.person(2, 9 * SOL)
    await place.person(3, 9 * SOL, referrer=2)
    await place.person(4, 9 * SOL)
    await place.room()
    return place


async def test_winners_share_what_the_losers_staked_less_the_fees(place: Place) -> None:
    await stake(place, 1, 2, "YES", 3 * SOL)
    await stake(place, 2, 3, "YES", SOL)
    await stake(place, 3, 4, "NO", 2 * SOL)
    await stake(place, 4, 3, "YES", SOL, state="MISSED")
    await decide(place, "YES")
    assert await settle(place) == 1

    protocol, host = 40_000_000, 20_000_000
    prize = 2 * SOL - protocol - host
    referral = 15 * protocol * SOL // (100 * 6 * SOL)
    assert await planned(place) == {
        "payout:1:2": 3 * SOL + prize * 3 // 4,
        "payout:1:3": SOL + prize // 4,
        "shares:1": protocol + host,
    }
    [division] = await place.rows("SELECT * FROM settlements")
    assert (division["outcome"], division["pool"]) == ("YES", 6 * SOL)
    assert division["house"] == protocol - referral
    assert division["shares"] == [[1, host], [2, referral]]
    assert await place.value("SELECT state FROM rooms") == "SETTLED"
    assert await place.balance(ledger.pool(1)) == 0
    # The missed stake is due back as well; its refund was planned when it landed.
    assert await place.balance(ledger.due(1)) == 7 * SOL
    assert [(told["kind"], told.get("user")) for told in await place.told()] == [
        ("room.settled", None), ("bet.won", 2), ("bet.won", 3), ("bet.lost", 4),
    ]  # fmt: skip
    settled, won, _, lost = await place.told()
    assert settled["evidence_hash"] == division["evidence_hash"]
    assert (settled["pool"], settled["payouts"]) == (str(6 * SOL), 2)
    assert (won["staked"], won["lamports"]) == (str(3 * SOL), str(3 * SOL + prize * 3 // 4))
    assert lost["staked"] == str(2 * SOL)
    assert await place.woken() == ["custody"]
    await place.books_agree()


async def test_transfers_lead_from_the_vault_to_the_addresses_on_record(place: Place) -> None:
    await stake(place, 1, 2, "YES", SOL)
    await stake(place, 2, 4, "NO", SOL)
    await decide(place, "NO")
    await settle(place)
    rows = await place.rows("SELECT key, from_address, to_address, kind, user_id FROM transfers")
    assert {row["key"]: tuple(row.values())[1:] for row in rows} == {
        "payout:1:4": ("Vault1", "Address4", "payout", 4),
        "shares:1": ("Vault1", TREASURY, "shares", None),
    }


async def test_a_room_without_fees_sends_nothing_to_the_treasury(place: Place) -> None:
    await place.room(2, protocol_fee_bps=0, host_fee_bps=0)
    await stake(place, 1, 2, "YES", SOL, room=2)
    await stake(place, 2, 4, "NO", SOL, room=2)
    await decide(place, "YES", 2)
    await settle(place)
    assert await planned(place, 2) == {"payout:2:2": 2 * SOL}


async def test_weights_divide_the_prize(place: Place) -> None:
    await place.room(2, move_bps=None, target=20_400, protocol_fee_bps=0, host_fee_bps=0)
    await stake(place, 1, 2, "YES", SOL, room=2, weight=30_000)
    await stake(place, 2, 3, "YES", SOL, room=2, weight=10_000)
    await stake(place, 3, 4, "NO", SOL, room=2, weight=500)
    await decide(place, "YES", 2)
    await settle(place)
    assert await planned(place, 2) == {
        "payout:2:2": SOL + SOL * 3 // 4, "payout:2:3": SOL + SOL // 4,
    }  # fmt: skip


async def test_a_void_gives_every_stake_back(place: Place) -> None:
    await stake(place, 1, 2, "YES", SOL)
    await stake(place, 2, 2, "YES", SOL // 2)
    await stake(place, 3, 4, "NO", SOL)
    await decide(place, "VOID", reason="gap")
    await settle(place)
    assert await planned(place) == {"refund:1": SOL, "refund:2": SOL // 2, "refund:3": SOL}
    assert await place.balance(ledger.pool(1)) == 0
    [told] = await place.told()
    assert (told["outcome"], told["reason"], told["payouts"]) == ("VOID", "gap", 3)
    await place.books_agree()


@pytest.mark.parametrize(
    ("sides", "reason"),
    [(["YES", "YES"], "one_sided"), (["NO", "NO"], "one_sided"), (["YES"], "too_few_bettors")],
)
async def test_a_pool_that_is_no_contest_is_void_whatever_the_price_did(
    place: Place, sides: list[str], reason: str
) -> None:
    for number, side in enumerate(sides, 1):
        await stake(place, number, number + 1, side, SOL)
    await decide(place, "YES")
    await settle(place)
    assert await planned(place) == {f"refund:{number + 1}": SOL for number in range(len(sides))}
    assert await place.rows("SELECT state, outcome, void_reason FROM rooms") == [
        {"state": "SETTLED", "outcome": "VOID", "void_reason": reason}
    ]


async def test_a_room_that_nobody_bet_in_is_paid_at_once(place: Place) -> None:
    await decide(place, "NO")
    await settle(place)
    assert await planned(place) == {}
    assert await place.value("SELECT state FROM rooms") == "PAID"
    assert [told["kind"] for told in await place.told()] == ["room.settled", "room.paid"]
    assert [told["seq"] for told in await place.told()] == [1, 2]


async def test_a_room_is_paid_when_its_last_transfer_has_ended(place: Place) -> None:
    await stake(place, 1, 2, "YES", SOL)
    await decide(place, "NO")
    await settle(place)
    assert await claim_paid(place.money()) == 0
    await place.do("UPDATE transfers SET state = 'LANDED'")
    assert await claim_paid(place.money()) == 1
    assert await claim_paid(place.money()) == 0
    assert len(await place.told("room.paid")) == 1


@pytest.mark.parametrize("missing", ["seal", "decision", "treasury"])
async def test_a_room_waits_for_its_seal_its_decision_and_a_treasury(
    place: Place, missing: str
) -> None:
    await stake(place, 1, 2, "YES", SOL)
    if missing != "decision":
        await decide(place, "YES", sealed=missing != "seal")
    if missing == "treasury":
        await place.do("TRUNCATE addresses CASCADE")
    assert await settle(place) == 0


async def test_workers_at_once_divide_each_room_once(place: Place) -> None:
    for room in range(10, 40):
        await place.room(room)
        await stake(place, 2 * room, 2, "YES", 10_000_000, room=room)
        await stake(place, 2 * room + 1, 4, "NO", 10_000_000, room=room)
        await decide(place, "YES", room)
    money = place.money(settled_max=2)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(drain([lambda: claim_settlements(money)]))
    assert await place.value("SELECT count(*) FROM settlements") == 30
    assert await place.value("SELECT count(*) FROM transfers WHERE kind = 'payout'") == 30
    await place.books_agree()


@pytest.mark.parametrize("what", ["seal", "ledger"])
async def test_a_room_whose_sums_differ_is_set_aside_and_holds_nobody_up(
    place: Place, what: str
) -> None:
    await place.room(2)
    for room in (1, 2):
        await stake(place, 2 * room, 2, "YES", SOL, room=room)
        await stake(place, 2 * room + 1, 4, "NO", SOL, room=room)
        await decide(place, "YES", room)
    if what == "seal":
        await place.do("UPDATE rooms SET sealed_yes = sealed_yes + 1 WHERE id = 1")
    else:
        await place.do("UPDATE stakes SET state = 'LANDED', lamports = lamports - 1 WHERE id = 2")
        await place.do("UPDATE rooms SET sealed_yes = sealed_yes - 1 WHERE id = 1")
    assert await settle(place) == 2
    assert await settle(place) == 0
    assert await place.column("SELECT state FROM rooms ORDER BY id") == ["DECIDED", "SETTLED"]
    assert await place.column("SELECT origin FROM set_aside") == ["rooms/1"]
    assert await planned(place) == {}


async def test_the_evidence_says_all_and_names_nobody(place: Place) -> None:
    room = await crossed(place)
    assert await settle(place) == 1
    text, kept = await evidence_of_room(place)

    assert await place.value("SELECT evidence_hash FROM settlements") == kept == content_hash(text)
    bundle = plain_of(text)
    assert [each.fault for each in verify(bundle, kept) if each.fault] == []
    evidence = evidence_of(bundle)
    assert (evidence.vault, evidence.treasury) == ("Vault1", "Treasury")
    assert [(stake.address, stake.signature) for stake in evidence.stakes] == [
        ("Address2", "landed1"), ("Address4", "landed2"),
    ]  # fmt: skip
    assert (evidence.base, evidence.crossing) == (room.base, room.crossing)
    assert [span.seconds for span in evidence.spans] == [1, 1, 1]
    assert [segment.hash for segment in evidence.segments] == ["ab" * 32]
    assert [paid.address for paid in evidence.division.payouts] == ["Address2"]
    for word in ("creator", "user", '"p"'):
        assert word not in text


async def test_evidence_is_written_once_and_never_changed(place: Place) -> None:
    await crossed(place)
    await settle(place)
    for statement in ("UPDATE evidence SET hash = 'x'", "DELETE FROM evidence"):
        with pytest.raises(asyncpg.RestrictViolationError, match="append only"):
            await place.do(statement)


async def test_a_settlement_waits_for_the_last_of_its_evidence_and_not_for_ever(
    place: Place, dsn: str
) -> None:
    await stake(place, 1, 2, "YES", SOL)
    await stake(place, 2, 4, "NO", SOL)
    await decide(place, "NO")
    await place.do("UPDATE rooms SET noted_at = now_ms()")
    waits = place.money(evidence_wait_ms=60_000)
    at = await place.value("SELECT decided_at FROM rooms")
    async with held(dsn, Lease.RECORDER):
        await second(place, (at - 1) // 1000 * 1000 - 1000)
        await segment(place, at - 1, "cd" * 32)
        assert await claim_settlements(waits) == 0
        await segment(place, at)
        assert await claim_settlements(waits) == 0
        await second(place, (at - 1) // 1000 * 1000)
        assert await claim_settlements(waits) == 1

    await place.room(3)
    await stake(place, 5, 2, "YES", SOL, room=3)
    await decide(place, "NO", 3)
    later = at + 60_000
    await place.do("UPDATE rooms SET noted_at = now_ms(), decided_at = $1 WHERE id = 3", later)
    await second(place, (later - 1) // 1000 * 1000)
    async with held(dsn, Lease.RECORDER):
        assert await claim_settlements(waits) == 0
    # Nobody records any more: no segment will come.
    assert await claim_settlements(waits) == 1

    await place.room(2)
    await stake(place, 3, 2, "YES", SOL, room=2)
    await decide(place, "YES", 2)
    await place.do("UPDATE rooms SET noted_at = now_ms() - 60000 WHERE id = 2")
    assert await claim_settlements(waits) == 1


@dataclass
class Crossed:
    base: IndexPrice
    crossing: Crossing


async def crossed(place: Place) -> Crossed:
    """Have room 1 cross its target, with everything that shows it."""
    await stake(place, 1, 2, "YES", SOL)
    await stake(place, 2, 4, "NO", SOL)
    await place.do(
        "UPDATE stakes SET signature = 'landed' || id, landed_slot = 4,"
        " landed_at = (SELECT cut_at FROM rooms)"
    )
    watch = await place.value("SELECT watch_at FROM rooms") // 1000 * 1000
    await place.do("UPDATE rooms SET watch_at = $1", watch)
    at = watch + 3_400
    base = price(watch + 50, 20_000)
    found = Crossing(
        room=1, comparator=Comparator.UP, target=Value(20_400), before=price(at - 90, 20_399),
        price=price(at, 20_400),
    )  # fmt: skip
    for start in range(watch, watch + 3_000, 1_000):
        await second(place, start)
    await segment(place, at)
    await decide(place, "YES")
    await place.do(
        "UPDATE rooms SET decided_at = $1, base_evidence = $2, noted_at = 1, guards = $3",
        at, msgspec.to_builtins(base), msgspec.to_builtins(Guards()),
    )  # fmt: skip
    await place.do("INSERT INTO coverage VALUES (1, $1, $2, 0, 0)", watch, at)
    async with place.connections.acquire() as connection:
        await crossings.store(connection, [found])
    return Crossed(base, found)


async def second(place: Place, at: int) -> None:
    await place.do(
        "INSERT INTO feed_seconds (feed, second_at, low, high, last, changes, log_position, memory)"
        " VALUES ('SOL/USD', $1, 20000, 20399, 20100, 2, $1, '{}')", at,
    )  # fmt: skip


async def segment(place: Place, to_at: int, named: str = "ab" * 32) -> None:
    await place.do(
        "INSERT INTO segments (hash, feed, partition, minute_at, from_at, to_at, first_offset,"
        " last_offset, messages, file) VALUES ($1, 'SOL/USD', 0, 0, 1, $2, 3, 9, 4, 'f')",
        named, to_at,
    )  # fmt: skip


async def evidence_of_room(place: Place, room: int = 1) -> tuple[str, str]:
    async with place.connections.acquire() as connection:
        found = await evidence_rows.of(connection, room)
    assert found is not None
    return found[1], found[0]
