"""Bets: what people ask to stake, their one bet a room, and the stakes in it.

In        requests as people made them; what the rules took and refused.
Out       each request once, to whoever claims it; what a person has in a room.
Promises  a person has one bet a room, on one side; what was decided together is written
          together, one statement for many.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rooms.refusal import Refused
from rooms.room import Side
from rooms.units import Bps, Lamports, UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("bets")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks to stake."""

    id: int
    user: int
    room: int
    side: Side
    lamports: Lamports


@dataclass(frozen=True, slots=True)
class Bet:
    """A person's bet in a room, with all that is staked in it and may still count."""

    id: int
    side: Side
    lamports: Lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenStake:
    """A request that was allowed, as the stake that it becomes."""

    id: int
    asked: Asked
    weight_bps: Bps
    at: UnixMs


async def claim(connection: Connection, limit: int) -> list[Asked]:
    """Claim requests that nobody has decided, in the order of asking."""
    rows = await connection.fetch(SQL["claim"], limit)
    return [Asked(**{**row, "side": Side(row["side"])}) for row in rows]


async def fixed_value_feeds(connection: Connection, rooms: Iterable[int]) -> list[str]:
    """Name the feeds whose price now weighs a stake in one of ``rooms``."""
    return [row["feed"] for row in await connection.fetch(SQL["feeds"], list(rooms))]


async def standings(
    connection: Connection, pairs: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], Bet]:
    """Return the bet of each pair of room and user that has one."""
    wanted = list(pairs)
    rows = await connection.fetch(
        SQL["standings"], [room for room, _ in wanted], [user for _, user in wanted]
    )
    return {
        (row["room"], row["user"]): Bet(row["bet"], Side(row["side"]), row["lamports"])
        for row in rows
    }


async def bettors(connection: Connection, rooms: Iterable[int]) -> dict[int, int]:
    """Count the people who have a bet in each room."""
    wanted = list(rooms)
    rows = await connection.fetch(SQL["bettors"], wanted)
    return dict.fromkeys(wanted, 0) | {row["room"]: row["bettors"] for row in rows}


async def pools(connection: Connection, rooms: Iterable[int]) -> dict[int, int]:
    """Add up what is staked in each room, on its way too."""
    wanted = list(rooms)
    rows = await connection.fetch(SQL["pools"], wanted)
    return dict.fromkeys(wanted, 0) | {row["room"]: row["lamports"] for row in rows}


async def queues(connection: Connection, cuts: Iterable[UnixMs]) -> dict[UnixMs, int]:
    """Count the planned stakes that are signed before or with those of each cut."""
    rows = await connection.fetch(SQL["queues"], list(set(cuts)))
    return {row["cut_at"]: row["waiting"] for row in rows}


@dataclass(frozen=True, slots=True)
class Moment:
    """The database's clock, by which bets are in time, and who may not bet just now.

    Attributes:
        frozen: people a fork took a deposit from that they have used already.
        costly: people whose bets that came back have cost as much as they may in an hour.
    """

    now: UnixMs
    frozen: frozenset[int]
    costly: frozenset[int]


async def moment(connection: Connection, users: Iterable[int]) -> Moment:
    """Read what the moment is, for these people."""
    row = await connection.fetchrow(SQL["moment"], list(users))
    assert row is not None, "there is always a moment"
    return Moment(UnixMs(row["now"]), frozenset(row["frozen"]), frozenset(row["costly"]))


async def limit_returned_fees(connection: Connection, lamports: Lamports) -> None:
    """Let bets that come back cost so much a person and hour from now on."""
    await connection.execute(SQL["limit_returned_fees"], lamports)


async def stake_ids(connection: Connection, count: int) -> list[int]:
    """Take ids for stakes to come."""
    return [row["id"] for row in await connection.fetch(SQL["stake_ids"], count)]


async def insert(
    connection: Connection,
    taken: Sequence[TakenStake],
    known: Mapping[tuple[int, int], Bet],
) -> None:
    """Write stakes, and a bet for every person who had none in the room.

    Args:
        taken: in the order in which they were allowed.
        known: the bets that are there, by room and user.
    """
    if not taken:
        return
    ids = {pair: bet.id for pair, bet in known.items()}
    fresh = {
        (stake.asked.room, stake.asked.user): stake.asked.side.value
        for stake in taken
        if (stake.asked.room, stake.asked.user) not in ids
    }
    if fresh:
        rows = await connection.fetch(
            SQL["insert_bets"],
            [room for room, _ in fresh],
            [user for _, user in fresh],
            list(fresh.values()),
        )
        ids |= {(row["room"], row["user"]): row["bet"] for row in rows}
    await connection.execute(
        SQL["insert_stakes"],
        [stake.id for stake in taken],
        [ids[stake.asked.room, stake.asked.user] for stake in taken],
        [stake.asked.room for stake in taken],
        [stake.asked.user for stake in taken],
        [stake.asked.side.value for stake in taken],
        [stake.asked.lamports for stake in taken],
        [stake.weight_bps for stake in taken],
        taken[0].at,
    )


async def answer(
    connection: Connection,
    taken: Sequence[TakenStake],
    refused: Sequence[tuple[Asked, Refused]],
) -> None:
    """Note what became of each request."""
    await connection.execute(
        SQL["answer"],
        [stake.asked.id for stake in taken] + [asked.id for asked, _ in refused],
        [stake.id for stake in taken] + [None] * len(refused),
        [None] * len(taken)
        + [{"code": refusal.code, "sentence": refusal.sentence} for _, refusal in refused],
    )
