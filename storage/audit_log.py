"""Audit log: what people and processes did, written down after the fact by one writer.

In        acts and events that are committed; the head that is kept apart from the database.
Out       rows, each bound to the one before; the first one that is not what it was.
Promises  every act, and every event of `LOGGED`, gets one row; nothing is added to a log that was
          cut or changed before its kept head; the head is on the disk before it counts.
Why       an order that is kept in the transactions themselves would let only one commit at a time.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rooms.audit_log import BadRow, Head, LogRow, compare, follow, link
from rooms.event import Kind
from rooms.refusal import CannotGoOn
from storage import events
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("audit_log")

LOGGED: Final = frozenset(
    {
        Kind.ROOM_SEALED,
        Kind.ROOM_DECIDED,
        Kind.ROOM_SETTLED,
        Kind.ROOM_PAID,
        Kind.WITHDRAWAL_ACCEPTED,
        Kind.WITHDRAWAL_PAID,
        Kind.WITHDRAWAL_RELEASED,
    }
)
"""Events that the log repeats."""
BATCH: Final = 1_000


class BadHeadError(CannotGoOn):
    """The file with the log's head cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a log ends now.

    Attributes:
        event: the number of the last event in it.
    """

    head: Head
    event: int


async def note(connection: Connection, kind: str, subject: str, reason: str, who: str) -> None:
    """Write down what was done to the installation."""
    await connection.execute(SQL["note"], kind, subject, reason, who)


async def end(connection: Connection) -> End:
    """Return where the log ends."""
    row = await connection.fetchrow(SQL["end"])
    assert row is not None, "an aggregate has a row"
    head = Head(row["number"], row["hash"]) if row["number"] else Head()
    return End(head, row["event"])


async def check_head(connection: Connection, kept: Head | None) -> BadRow | None:
    """Compare the log with the head that was kept apart; only an empty log may have none."""
    now = await end(connection)
    if kept is None:
        if not now.head.number:
            return None
        return BadRow(
            1, f"the head that was kept apart is gone, and there are {now.head.number} rows"
        )
    there = await connection.fetchval(SQL["hash_at"], kept.number)
    return compare(kept, now.head, there)


async def hash_at(connection: Connection, number: int) -> str | None:
    """Return the hash of a row, or None when there is no such row."""
    hash_: str | None = await connection.fetchval(SQL["hash_at"], number)
    return hash_


async def append(connection: Connection, after: End, seen: int, limit: int) -> tuple[End, int]:
    """Add rows for new acts and events; return the new end, and up to which event was read.

    Must run in a transaction, and for one writer at a time.

    Args:
        connection: the transaction.
        after: where the log ends.
        seen: up to which event was read before; those that are not logged are passed over.
        limit: how many acts and events are read at most.
    """
    rows: list[LogRow] = []
    for act in await connection.fetch(SQL["new_acts"], limit):
        facts = {name: act[name] for name in ("subject", "reason", "who", "role")}
        rows.append(LogRow(0, act["at"], act["kind"], None, act["id"], facts))
    read = await events.after(connection, max(seen, after.event), limit)
    rows += [
        LogRow(0, each.payload["at"], each.payload["kind"], each.number, None, each.payload)
        for each in read
        if each.payload["kind"] in LOGGED
    ]
    head = after.head
    written: list[tuple[LogRow, str]] = []
    for each in rows:
        row = LogRow(head.number + 1, each.at, each.kind, each.event, each.act, each.facts)
        head = Head(row.number, link(head.hash, row))
        written.append((row, head.hash))
    await _write(connection, written)
    last = max((each.event or 0 for each in rows), default=0)
    return End(head, max(after.event, last)), read[-1].number if read else seen


async def verify(connection: Connection, after: Head, limit: int = BATCH) -> Head | BadRow:
    """Go along up to ``limit`` rows after a head; return where that leads, or the first bad row."""
    found = await connection.fetch(SQL["rows"], after.number, limit)
    rows = [
        (
            LogRow(r["number"], r["at"], r["kind"], r["event"], r["act"], r["facts"]),
            str(r["hash"]),
        )
        for r in found
    ]
    led = follow(after, rows)
    to = led.number if isinstance(led, Head) else led.number - 1
    unlike = await connection.fetchval(SQL["unlike"], after.number, to)
    if unlike is not None:
        return BadRow(unlike, f"row {unlike} and the event or act that it repeats are not alike")
    return led


async def verify_rows(connection: Connection) -> Head | BadRow:
    """Go along the whole log from its first row; return its end, or the first bad row."""
    head = Head()
    while True:
        led = await verify(connection, head)
        if isinstance(led, BadRow):
            return led
        if led == head:
            return head
        head = led


async def verify_all(connection: Connection, kept: Head | None) -> Head | BadRow:
    """Go along the whole log, and compare it with the head that was kept apart."""
    led = await verify_rows(connection)
    return led if isinstance(led, BadRow) else await check_head(connection, kept) or led


def read_head(path: Path) -> Head | None:
    """Read the head that is kept apart, or None when there is none.

    Raises:
        BadHeadError: when the file says something else.
    """
    if not path.exists():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        head = Head(int(said["number"]), str(said["hash"]))
        bytes.fromhex(head.hash)
    except (ValueError, KeyError, TypeError) as error:
        raise BadHeadError(
            f"{path} is not the head of an audit log ({error}): put back the right file, or let "
            "`rooms audit --adopt-head` make it anew"
        ) from None
    return head


def write_head(path: Path, head: Head) -> None:
    """Keep a head apart, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"number": head.number, "hash": head.hash}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def _write(connection: Connection, rows: Sequence[tuple[LogRow, str]]) -> None:
    if not rows:
        return
    await connection.execute(
        SQL["append"],
        [row.number for row, _ in rows],
        [row.at for row, _ in rows],
        [row.kind for row, _ in rows],
        [row.event for row, _ in rows],
        [row.act for row, _ in rows],
        [row.facts for row, _ in rows],
        [hash_ for _, hash_ in rows],
    )
