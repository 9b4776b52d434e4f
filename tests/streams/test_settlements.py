"""A decided and sealed pool is divided once, to the lamport, and everything about it planned."""

import asyncio
from dataclasses import asdict
from typing import Any

import pytest

from rooms import ledger
from rooms.evidence import evidence_hash
from rooms.feed import Guards
from rooms.units import Address, Lamports
from storage import ledger as accounts
from storage.connections import transaction
from streams.settlements import claim_paid, claim_settlements
from streams.wake import drain
from tests.place import SOL, TREASURY, Place

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
    await stake(place, 1, 2, "YES", SOL)
    await stake(place, 2, 4, "NO", SOL)
    await place.do(
        "INSERT INTO crossings (room_id, at, source_at, value, evidence)"
        " VALUES (1, 7, 6, 20400, '{\"ticks\": []}')"
    )
    await decide(place, "YES")
    room = (await place.rows("SELECT * FROM rooms"))[0]
    await settle(place)
    rule = (
        "feed", "scale", "comparator", "move_bps", "opened_at", "lock_at", "cut_at", "watch_at",
        "deadline_at", "target_wait_ms", "gap_ms_max", "protocol_fee_bps", "host_fee_bps",
    )  # fmt: skip
    bets = await place.column("SELECT id FROM bets ORDER BY id")
    bundle = {
        "room": {
            **{name: room[name] for name in rule},
            "id": "1", "base": "20000", "target": "20400",
            "held_ms": 0, "is_live": False, "pool_lamports_max": None,
            "guards": asdict(Guards()),
        },
        "decided_at": room["decided_at"],
        "crossing": {"at": 7, "source_at": 6, "value": 20400, "evidence": {"ticks": []}},
        "stakes": [
            {"id": "1", "bet": str(bets[0]), "address": "Address2", "side": "YES",
             "lamports": str(SOL), "weight_bps": 10_000},
            {"id": "2", "bet": str(bets[1]), "address": "Address4", "side": "NO",
             "lamports": str(SOL), "weight_bps": 10_000},
        ],
        "division": {
            "outcome": "YES", "reason": None, "pool": str(2 * SOL),
            "payouts": [{"bet": str(bets[0]), "lamports": str(SOL + SOL * 97 // 100)}],
            "refunds": [], "shares": str(SOL // 100), "house": str(SOL * 2 // 100),
        },
    }  # fmt: skip
    assert await place.value("SELECT evidence_hash FROM settlements") == evidence_hash(bundle)
