"""Second factors: what a person proves before lamports leave: a PIN, and an authenticator.

Holds     the PIN's hash, the name of the authenticator's secret, how often either was wrong.
Promises  whoever reads this database learns neither; wrong ones are counted in the transaction
          that judges them, so that none is free.
"""

from dataclasses import dataclass
from typing import Final

from rooms.units import UnixMs
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("second_factors")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor:
    """What a person proves with.

    Attributes:
        authenticator: names its secret; None when there is none.
        code_step: the half minute of the last code that counted.
        locked_until: nothing is accepted before.
        now: the database's clock.
    """

    pin_hash: str
    authenticator: str | None
    code_step: int
    failures: int
    locked_until: UnixMs
    now: UnixMs


async def find(connection: Connection, user: int) -> SecondFactor | None:
    """Read what a person proves with, and lock it; None when no PIN was chosen."""
    row = await connection.fetchrow(SQL["find"], user)
    return SecondFactor(**row) if row else None


async def choose_pin(connection: Connection, user: int, pin_hash: str) -> None:
    """Keep the hash of a new PIN."""
    await connection.execute(SQL["choose_pin"], user, pin_hash)


async def add_authenticator(connection: Connection, user: int, name: str, step: int) -> None:
    """Keep the name of a new authenticator, whose code of this half minute was right."""
    await connection.execute(SQL["add_authenticator"], user, name, step)


async def note_failure(connection: Connection, user: int, *, most: int, lock_ms: int) -> int:
    """Count a wrong one; lock at the last that may be; return how many in a row, 0 if locked."""
    failures: int = await connection.fetchval(SQL["note_failure"], user, most, lock_ms)
    return failures


async def note_code(connection: Connection, user: int, step: int) -> None:
    """Note that the code of this half minute counted, so that it never does again."""
    await connection.execute(SQL["note_code"], user, step)


async def note_success(connection: Connection, user: int) -> None:
    """Forget how often a person was wrong."""
    await connection.execute(SQL["note_success"], user)


async def lock(connection: Connection, user: int, lock_ms: int) -> None:
    """Accept nothing from a person for so long."""
    await connection.execute(SQL["lock"], user, lock_ms)
