"""Receipts: what happened on chain becomes an entry only by what was planned, signed and found."""

import asyncpg
import pytest
import pytest_asyncio

from rooms import ledger
from rooms.units import Address, BlockHeight, Lamports, Signature, Slot
from storage import attempts
from storage import ledger as accounts
from storage.connections import Connection, Connections, transaction
from storage.leases import Lease, LeaseLostError, begin_epoch
from tests.place import SOL, Place, made

HERE, VAULT, PAYER = Address("Address1"), Address("Vault1"), Address("Payer")


@pytest_asyncio.fixture
async def place(connections: Connections) -> Place:
    """A stake of 5 lamports by person 1 in room 1, planned and signed as attempt 1."""
    place = await made(connections)
    await place.person(1, SOL)
    await place.room()
    await place.do(
        """
        INSERT INTO bets (room_id, user_id, side) VALUES (1, 1, 'YES');
        INSERT INTO stakes (bet_id, room_id, user_id, side, lamports, weight_bps, accepted_at)
        VALUES (1, 1, 1, 'YES', 5, 10000, 1);
        SELECT plan_stakes('{1}');
        """
    )
    async with transaction(connections) as connection:
        await accounts.post(
            connection,
            [
                ledger.hold("stake:1", 1, Lamports(5)),
                ledger.deposit(Signature("s"), PAYER, Lamports(SOL), ledger.HOUSE),
            ],
        )
        await sign(connection, epoch=0)
    return place


async def sign(connection: Connection, *, epoch: int) -> None:
    await attempts.write_down(
        connection,
        signature=Signature("mine"), raw=b"", last_valid_height=BlockHeight(1),
        context_slot=Slot(1), fee_payer=PAYER, memo="m", transfers=[1],
        floors=[(VAULT, Lamports(7))], epoch=epoch,
    )  # fmt: skip


async def end(place: Place, state: str, *, block_at: str = "cut_at", fee: int = 3) -> None:
    await place.do(
        f"UPDATE attempts SET state = $1, slot = 9, fee_lamports = $2,"
        f" block_at = (SELECT {block_at} FROM rooms)",
        state, fee,
    )  # fmt: skip


async def legs(place: Place, key: str) -> dict[str, int]:
    rows = await place.rows(
        "SELECT p.account, p.lamports FROM postings p JOIN entries e ON e.id = p.entry_id"
        " WHERE e.key = $1",
        key,
    )
    return {str(row["account"]): int(str(row["lamports"])) for row in rows}


@pytest.mark.parametrize(
    ("state", "block_at", "account"),
    [("LANDED", "cut_at", "pool:1"), ("MISSED", "cut_at + 1", "due:1")],
)
async def test_a_landed_stake_is_posted_as_it_was_planned(
    place: Place, state: str, block_at: str, account: str
) -> None:
    await end(place, "LANDED", block_at=block_at)
    await place.do("UPDATE transfers SET state = 'LANDED'")
    await place.do("UPDATE stakes SET state = $1", state)
    await place.do("SELECT post_receipts('{1}')")
    await place.do("SELECT post_receipts('{1}')")

    assert await legs(place, "fee:mine") == {f"chain:{PAYER}": -3, "house": -3}
    assert await legs(place, f"floor:mine:{VAULT}") == {
        f"chain:{PAYER}": -7, f"chain:{VAULT}": 7, "house": -7, f"floor:{VAULT}": 7,
    }  # fmt: skip
    assert await legs(place, "stake:1") == {
        f"chain:{HERE}": -5, f"chain:{VAULT}": 5, "held:1": -5, account: 5,
    }  # fmt: skip
    await place.books_agree()


@pytest.mark.parametrize(
    ("attempt", "transfer", "stake", "block_at"),
    [
        ("SIGNED", "LANDED", "LANDED", "cut_at"),
        ("LAPSED", "LANDED", "LANDED", "cut_at"),
        ("LANDED", "ATTEMPTED", "LANDED", "cut_at"),
        ("LANDED", "LANDED", "HELD", "cut_at"),
        ("LANDED", "LANDED", "LANDED", "cut_at + 1"),
        ("LANDED", "LANDED", "MISSED", "cut_at"),
    ],
)
async def test_what_the_rows_do_not_say_together_is_not_posted(
    place: Place, attempt: str, transfer: str, stake: str, block_at: str
) -> None:
    await end(place, attempt, block_at=block_at)
    await place.do("UPDATE transfers SET state = $1", transfer)
    await place.do("UPDATE stakes SET state = $1", stake)
    with pytest.raises(asyncpg.CheckViolationError):
        await place.do("SELECT post_receipts('{1}')")


async def test_what_was_refused_cost_its_fee_and_moved_nothing(place: Place) -> None:
    await end(place, "REFUSED")
    await place.do("SELECT post_receipts('{1}')")

    assert await legs(place, "fee:mine") == {f"chain:{PAYER}": -3, "house": -3}
    assert await legs(place, f"floor:mine:{VAULT}") == {}
    assert await legs(place, "stake:1") == {}


@pytest.mark.parametrize("attempt", ["SIGNED", "LANDED"])
async def test_what_may_still_move_or_has_moved_is_not_given_back(
    place: Place, attempt: str
) -> None:
    await end(place, attempt)
    await place.do("UPDATE transfers SET state = 'RELEASED'")
    await place.do("UPDATE stakes SET state = 'RELEASED'")
    with pytest.raises(asyncpg.CheckViolationError, match="not to be released"):
        await place.do("SELECT post_releases('{1}')")


async def test_what_lapsed_is_given_back_once(place: Place) -> None:
    await end(place, "LAPSED")
    await place.do("UPDATE transfers SET state = 'RELEASED'")
    await place.do("UPDATE stakes SET state = 'RELEASED'")
    await place.do("SELECT post_releases('{1}')")
    await place.do("SELECT post_releases('{1}')")

    assert await legs(place, "release:stake:1") == {"held:1": -5, "available:1": 5}
    await place.books_agree()


async def test_an_entry_has_the_same_fingerprint_whoever_makes_it(place: Place) -> None:
    await end(place, "LANDED")
    await place.do("UPDATE transfers SET state = 'LANDED'")
    await place.do("UPDATE stakes SET state = 'LANDED'")
    await place.do("SELECT post_receipts('{1}')")
    again = [
        ledger.fee(Signature("mine"), PAYER, Lamports(3)),
        ledger.floor_laid(Signature("mine"), PAYER, VAULT, Lamports(7)),
        ledger.stake(1, 1, 1, HERE, VAULT, Lamports(5), in_time=True),
    ]
    async with place.connections.acquire() as connection:
        assert await accounts.post(connection, again) == []


async def test_a_custody_that_another_followed_writes_no_signing_down(place: Place) -> None:
    await place.do("UPDATE attempts SET signature = 'other'")
    await place.do("UPDATE attempt_transfers SET live = false")
    await place.do("UPDATE transfers SET state = 'PLANNED'")
    async with place.connections.acquire() as connection:
        old = await begin_epoch(connection, Lease.CUSTODY)
        new = await begin_epoch(connection, Lease.CUSTODY)
        assert new > old
        for epoch in (0, old, new + 1):
            with pytest.raises(LeaseLostError):
                async with connection.transaction():
                    await sign(connection, epoch=epoch)
        await sign(connection, epoch=new)
