"""Evidence: what a settlement follows from, gathered room by room and kept whole.

In        decided and sealed rooms; bundles.
Out       what the log, the recording and the chain say of each room; a bundle's text again.
Promises  what is read is what was written, byte for byte; a bundle is written once.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from rooms.coverage import Coverage
from rooms.evidence import (
    Counted,
    LandedStake,
    Made,
    MadeOf,
    RecordedSegment,
    Seal,
    Span,
    gathered,
    span_ms,
)
from rooms.index_price import IndexPrice
from rooms.pool import Stake
from rooms.refusal import must
from rooms.units import Address, Bps, Lamports, Signature, Slot, UnixMs
from storage import segments
from storage.connections import Connection
from storage.feeds import guards_from_json
from storage.sql import queries

SQL: Final = queries("evidence")
COUNTED_BEFORE_MS: Final = 60_000
COUNTED_AFTER_MS: Final = 2_000
"""What a tick was counted with may be a little older; a second is closed a little later."""

LEVEL: Final = 3
"""Signatures do not get smaller with more work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What of a room's watch is to be shown.

    Attributes:
        from_at: its beginning, or the last price before an early crossing; to the decision.
    """

    room: int
    feed: str
    from_at: UnixMs
    to_at: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """What log, recording and chain say of a room."""

    vault: Address
    treasury: Address
    made: Made | None
    caps: tuple[Counted, ...]
    base: IndexPrice | None
    coverage: Coverage | None
    seal: Seal
    spans: tuple[Span, ...]
    segments: tuple[RecordedSegment, ...]
    landings: Mapping[int, tuple[UnixMs, Slot, Signature]]

    def stakes(
        self, stakes: Sequence[Stake], addresses: Mapping[int, Address]
    ) -> tuple[LandedStake, ...]:
        """Return stakes with their places on the chain."""
        return tuple(
            LandedStake(
                id=stake.id,
                bet=stake.bet,
                address=addresses[stake.user],
                side=stake.side,
                lamports=stake.lamports,
                weight_bps=Bps(stake.weight_bps),
                is_referred=stake.referrer is not None,
                landed_at=self.landings[stake.id][0],
                slot=self.landings[stake.id][1],
                signature=self.landings[stake.id][2],
            )
            for stake in stakes
        )


async def gather(connection: Connection, watched: Sequence[Watched]) -> dict[int, Witnessed]:
    """Read what is known of rooms; rooms that share a watch share the reading of it."""
    ids = [each.room for each in watched]
    landings: dict[int, dict[int, tuple[UnixMs, Slot, Signature]]] = {room: {} for room in ids}
    for row in await connection.fetch(SQL["landings"], ids):
        landings[row["room_id"]][row["id"]] = (
            UnixMs(row["landed_at"] or 0),
            Slot(row["landed_slot"] or 0),
            Signature(row["signature"] or ""),
        )
    places = {row["id"]: row for row in await connection.fetch(SQL["places"], ids)}
    names = sorted({each.feed for each in watched})
    made = await _made(connection, names)
    caps = await connection.fetch(SQL["caps"], names)
    read: dict[tuple[str, int, int], Any] = {}
    found: dict[int, Witnessed] = {}
    for each in watched:
        key = each.feed, each.from_at, each.to_at
        if key not in read:
            read[key] = await _watch(connection, each)
        spans, recorded = read[key]
        place = places[each.room]
        must(place["vault"] and place["treasury"], "a sealed room has a vault and a treasury")
        base = place["base_evidence"]
        found[each.room] = Witnessed(
            vault=Address(place["vault"]),
            treasury=Address(place["treasury"]),
            made=made.get(each.feed),
            caps=await _caps(
                connection, each, [cap for cap in caps if cap["of_feed"] == each.feed]
            ),
            base=None if base is None else msgspec.convert(base, IndexPrice),
            coverage=None
            if place["since_at"] is None
            else Coverage(
                place["since_at"], place["until_at"], place["missing_ms"], place["longest_gap_ms"]
            ),
            seal=Seal(
                slot=Slot(place["sealed_slot"] or 0),
                yes=Lamports(place["sealed_yes"]),
                no=Lamports(place["sealed_no"]),
            ),
            spans=spans,
            segments=recorded,
            landings=landings[each.room],
        )
    return found


async def store(connection: Connection, bundles: Sequence[tuple[int, str, str]]) -> None:
    """Keep bundles: room, hash and canonical text each."""
    await connection.execute(
        SQL["store"],
        [room for room, _, _ in bundles],
        [hash_ for _, hash_, _ in bundles],
        [zlib.compress(text.encode(), LEVEL) for _, _, text in bundles],
    )


async def of(connection: Connection, room: int) -> tuple[str, str] | None:
    """Return a room's hash and bundle, or None when it is not settled."""
    row = await connection.fetchrow(SQL["of"], room)
    return None if row is None else (row["hash"], zlib.decompress(row["bundle"]).decode())


async def _watch(
    connection: Connection, watched: Watched
) -> tuple[tuple[Span, ...], tuple[RecordedSegment, ...]]:
    from_at, to_at = watched.from_at // 1000 * 1000, watched.to_at
    long_ms = span_ms(from_at, to_at)
    rows = await connection.fetch(SQL["spans"], watched.feed, from_at, to_at, long_ms)
    spans = tuple(Span(**row, until=UnixMs(row["at"] + long_ms)) for row in rows)
    recorded = await segments.of_stretch(connection, watched.feed, watched.from_at, to_at)
    return spans, gathered(recorded)


async def _caps(
    connection: Connection, watched: Watched, rows: Sequence[Any]
) -> tuple[Counted, ...]:
    """Return how many each market cap counted during a watch, and just before and after it."""
    around = watched.from_at - COUNTED_BEFORE_MS, watched.to_at + COUNTED_AFTER_MS
    found = []
    for row in rows:
        counts = await connection.fetch(SQL["counts"], row["supply"], *around)
        found.append(
            Counted(
                cap=row["cap"],
                scale=row["scale"],
                price_scale=row["price_scale"],
                supply=row["supply"],
                supply_scale=row["supply_scale"],
                guards=guards_from_json(row["guards"]),
                counts=tuple(msgspec.convert(each["price"], IndexPrice) for each in counts),
            )
        )
    return tuple(found)


async def _made(connection: Connection, feeds: Sequence[str]) -> dict[str, Made]:
    """Return how those of these feeds that are derived are made."""
    expressions: dict[str, str] = {}
    inputs: dict[str, list[MadeOf]] = {}
    for row in await connection.fetch(SQL["made"], feeds):
        expressions[row["name"]] = row["expression"]
        inputs.setdefault(row["name"], []).append(
            MadeOf(feed=row["input"], scale=row["scale"], guards=guards_from_json(row["guards"]))
        )
    return {
        name: Made(expression=expression, inputs=tuple(inputs[name]))
        for name, expression in expressions.items()
    }
