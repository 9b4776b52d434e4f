"""What the bot shows is what the rows say: pools, wallets, bets and what they brought."""

import pytest_asyncio

from rooms.catalogue import CATALOGUE
from rooms.derived import derived_feed
from rooms.expression.form import formula
from rooms.room import Outcome, Side, State, VoidReason
from rooms.units import Lamports
from storage import cards, derivations, feeds
from storage.connections import Connection, Connections, transaction
from streams.bets import claim_bets
from tests.place import SOL, Place, made


@pytest_asyncio.fixture
async def place(connections: Connections) -> Place:
    place = await made(connections)
    for user in (1, 2, 3):
        await place.person(user, 2 * SOL, referrer=1 if user == 3 else None)
    await place.room(creator=3)
    for user, side, lamports in ((1, "YES", SOL), (2, "NO", SOL // 2), (1, "YES", SOL // 4)):
        await place.ask_bet(user, side, lamports)
        await claim_bets(place.money())
    return place


async def seen(place: Place, user: int) -> cards.RoomCard:
    async with place.connections.acquire() as connection:
        found = await cards.room(connection, 1, user)
    assert found is not None
    return found


async def land(place: Place, key: str, kind: str, user: int, lamports: int) -> None:
    """Write a transfer that has landed."""
    transfer = await place.value(
        "INSERT INTO transfers (key, kind, room_id, user_id, from_address, to_address, lamports,"
        " due_at, state) VALUES ($1, $2, 1, $3, 'a', 'b', $4, 1, 'LANDED') RETURNING id",
        key,
        kind,
        user,
        lamports,
    )
    attempt = await place.value(
        "INSERT INTO attempts (signature, raw, last_valid_height, context_slot, fee_payer, memo,"
        " state) VALUES ($1, '', 1, 1, 'f', 'm', 'LANDED') RETURNING id",
        f"signature of {key}",
    )
    await place.do("INSERT INTO attempt_transfers VALUES ($1, $2, false)", attempt, transfer)


async def test_a_room_is_seen_with_its_pool_and_ones_own_part(place: Place) -> None:
    ann, cy = await seen(place, 1), await seen(place, 3)
    assert (ann.yes.lamports, ann.no.lamports, ann.bettors) == (SOL + SOL // 4, SOL // 2, 2)
    assert (ann.own_side, ann.own_lamports) == (Side.YES, SOL + SOL // 4)
    assert (cy.own_side, cy.own_lamports) == (None, 0)
    assert ann.yes.weighed == 10_000 * (SOL + SOL // 4)
    assert ann.vault == "Vault1"


async def test_what_never_landed_is_not_in_the_pool(place: Place) -> None:
    await place.do("UPDATE stakes SET state = 'RELEASED' WHERE user_id = 2")
    await place.do("UPDATE stakes SET state = 'MISSED' WHERE lamports = $1", SOL // 4)
    ann = await seen(place, 1)
    assert (ann.yes.lamports, ann.no.lamports, ann.bettors) == (SOL, 0, 1)


async def test_the_sealed_pool_is_shown_once_there_is_one(place: Place) -> None:
    await place.do("UPDATE rooms SET state = 'LOCKED', sealed_at = 9, sealed_slot = 8,"
                   " sealed_yes = 7, sealed_no = 6")  # fmt: skip
    ann = await seen(place, 1)
    assert (ann.yes.lamports, ann.no.lamports, ann.sealed_at) == (7, 6, 9)


async def test_the_settlement_has_the_last_word_on_the_outcome(place: Place) -> None:
    await place.do("UPDATE rooms SET state = 'SETTLED', outcome = 'YES', decided_at = 1,"
                   " sealed_at = 1, sealed_yes = 1, sealed_no = 0")  # fmt: skip
    await place.do("INSERT INTO settlements VALUES (1, 'VOID', 'one_sided', 1, 0, '[]', 'ab', 1)")
    ann = await seen(place, 1)
    assert (ann.outcome, ann.void_reason) == (Outcome.VOID, VoidReason.ONE_SIDED)
    assert ann.evidence_hash == "ab"


async def test_a_wallet_says_where_everything_is(place: Place) -> None:
    await place.do("UPDATE stakes SET state = 'LANDED' WHERE lamports = $1", SOL)
    await place.do(
        "INSERT INTO transfers (key, kind, room_id, user_id, from_address, to_address, lamports,"
        " due_at) VALUES ('payout:1:1', 'payout', 1, 1, 'a', 'b', 5, 1)"
    )
    async with place.connections.acquire() as connection:
        ann = await cards.wallet(connection, 1)
        nobody = await cards.wallet(connection, 99)
    assert ann == cards.Wallet(
        address=ann.address,
        available=Lamports(2 * SOL - SOL - SOL // 4),
        held=Lamports(SOL + SOL // 4),
        in_rooms=Lamports(SOL),
        coming=Lamports(5),
        earned=Lamports(0),
    )
    assert ann.address == "Address1"
    assert (nobody.address, nobody.available) == (None, 0)


async def test_bets_are_listed_with_what_they_brought(place: Place) -> None:
    await place.do("UPDATE rooms SET state = 'PAID', outcome = 'YES', decided_at = 1,"
                   " sealed_at = 1, sealed_yes = 1, sealed_no = 1")  # fmt: skip
    await land(place, "payout:1:1", "payout", 1, 2 * SOL)
    async with place.connections.acquire() as connection:
        (ann,) = await cards.bets(connection, 1, won=True, offset=0, limit=5)
        (bo,) = await cards.bets(connection, 2, won=False, offset=0, limit=5)
        assert await cards.bets(connection, 2, won=True, offset=0, limit=5) == []
        assert await cards.bets(connection, 1, won=False, offset=1, limit=5) == []
    assert (ann.staked, ann.paid, ann.state) == (SOL + SOL // 4, 2 * SOL, State.PAID)
    assert ann.signature == "signature of payout:1:1"
    assert (bo.side, bo.paid, bo.signature) == (Side.NO, None, None)


async def test_history_names_the_transaction_of_each_change(place: Place) -> None:
    stake = await place.value("SELECT min(id) FROM stakes WHERE user_id = 1")
    await place.do("DELETE FROM transfers")
    await land(place, f"stake:{stake}", "stake", 1, SOL)
    async with place.connections.acquire() as connection:
        newest, older, oldest = await cards.history(connection, 1, offset=0, limit=5)
    assert [newest.lamports, older.lamports, oldest.lamports] == [-SOL // 4, -SOL, 2 * SOL]
    assert [newest.balance, older.balance] == [SOL - SOL // 4, SOL]
    assert older.signature == f"signature of stake:{stake}"
    assert newest.signature is None
    assert oldest.key.startswith("deposit:")


async def test_rooms_that_take_bets_are_listed_first_and_decided_ones_not(place: Place) -> None:
    await place.room(2, creator=1, lock_at=30_000)
    await place.room(3, creator=1, state="LOCKED")
    await place.room(4, creator=1, state="DRAFT")
    await place.room(5, creator=1, state="DECIDED", outcome="NO", decided_at=1)
    async with place.connections.acquire() as connection:
        assert await _listed(connection, 0, 10) == [2, 1, 3]
        assert await _listed(connection, 1, 1) == [1]
        assert await _listed(connection, 3, 1) == []


async def test_who_was_invited_is_counted(place: Place) -> None:
    async with place.connections.acquire() as connection:
        assert (await cards.invited(connection, 1)).people == 1
        assert (await cards.invited(connection, 2)).people == 0


async def _listed(connection: Connection, offset: int, limit: int) -> list[int]:
    found = await cards.open_rooms(connection, 1, offset=offset, limit=limit)
    return [card.room.id for card in found]


async def test_a_room_says_what_a_market_cap_is_also_one_that_a_condition_is_made_of(
    place: Place,
) -> None:
    names = ("BONK/USD", "supply:BONK", "mcap:BONK")
    async with transaction(place.connections) as connection:
        for name in names:
            await feeds.upsert(connection, CATALOGUE[name], standing=False)
        found = formula("mcap(BONK) > 2B and price(SOL) > 1")
        condition = derived_feed(found, await feeds.every(connection))
        await derivations.define(connection, condition)
    await place.room(2, feed="mcap:BONK")
    await place.room(3, feed=condition.name)
    said = (
        "mcap:BONK is its price times the total supply: all BONK on the chain now, locked ones too"
    )
    async with place.connections.acquire() as connection:
        shown = [await cards.room(connection, room, 1) for room in (1, 2, 3)]

    assert [card and card.meaning for card in shown] == ["", said, said]
