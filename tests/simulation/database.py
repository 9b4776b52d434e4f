"""Database: a real PostgreSQL in which every statement waits for its turn and may go wrong.

In        the product's own SQL, through what looks like asyncpg's connections to it.
Out       rows; lost connections before a statement and after it, so that no answer to a commit
          says whether it happened; bells that ring late, or not at all.
Promises  the database's clock is the virtual one; a connection that died leaves no transaction and
          no lock behind; each story begins with empty tables and numbers from 1.
Why       the faults lie between the product and the driver: the SQL, the locks, the triggers and
          what a transaction is are PostgreSQL's own.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg
import psycopg

from storage.connections import _prepare
from tests.simulation.lives import Killed, Life
from tests.simulation.turns import Deadlocked, Turns
from tests.simulation.weather import Weather

Result = TypeVar("Result")

EPOCH_MS = 1_790_000_000_000
SLOW_S_MAX = 3.0
RING_LATE_S_MAX = 0.3
_NOTIFY = re.compile(r"pg_notify\('(\w+)'")
_OF_THE_SERVER = re.compile("backend|pg_locks|pg_snapshot")
_BLANKS = re.compile(r"\s+")

CLOCK = """
CREATE OR REPLACE FUNCTION now_ms() RETURNS bigint
    LANGUAGE sql STABLE
    AS $$ SELECT pg_read_file('{path}')::bigint $$;
"""
"""A file, as it costs no statement to change it."""


class Away(asyncpg.ConnectionDoesNotExistError):
    """The connection was lost in the middle of an operation."""


class Closed(asyncpg.InterfaceError):
    """The connection is closed."""


@dataclass(slots=True)
class Session:
    """A real connection; ``busy`` is what it still does for somebody who has gone."""

    number: int
    real: "asyncpg.Connection[asyncpg.Record]"
    pid: int
    busy: "asyncio.Future[None] | None" = None


class Database:
    """A database of its own for one story after another."""

    def __init__(self, dsn: str, turns: Turns, clock: Path) -> None:
        self.dsn = dsn
        self._clock = clock.open("wb", buffering=0)
        clock.chmod(0o644)
        self.folder = clock.parent
        self._clock_path = clock
        self.turns = turns
        self.admin: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True)
        self.weather = Weather(Random())
        self._free: list[Session] = []
        self._told_ms = 0
        self._tables: list[str] = []
        self._limits: list[tuple[Any, ...]] = []
        self._recovering: set[asyncio.Task[None]] = set()
        self.connections: list[Connection] = []

    def prepare(self) -> None:
        """Let the database's clock be ours, once."""
        self.admin.execute(CLOCK.format(path=self._clock_path))
        rows = self.admin.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename NOT LIKE '%yoyo%' ORDER BY 1"
        )
        self._tables = [row[0] for row in rows]
        self._limits = self.admin.execute("SELECT * FROM withdrawal_limits ORDER BY 1").fetchall()

    def begin(self, weather: Weather) -> None:
        """Empty all tables, and put the settings in them back as they were at first."""
        self.weather = weather
        self._told_ms = 0
        self._free.sort(key=lambda session: -session.number)
        (self.folder / "audit-head").unlink(missing_ok=True)
        self.admin.execute(f"TRUNCATE {', '.join(self._tables)} RESTART IDENTITY CASCADE")
        # Written anew and not changed back: an update moves a row, and rows have their order.
        marks = ", ".join(["%s"] * len(self._limits[0]))
        self.admin.cursor().executemany(
            f"INSERT INTO withdrawal_limits VALUES ({marks})", self._limits
        )

    async def end(self) -> None:
        """Wait until nothing of a story is left."""
        for connection in list(self.connections):
            connection.lose()
        while self._recovering:
            await asyncio.wait(self._recovering)

    async def close(self) -> None:
        """Let go of the database."""
        for session in self._free:
            await session.real.close()
        self.admin.close()
        self._clock.close()

    def abandon(self) -> None:
        """End every connection from the server's side, whatever it does."""
        self.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        self.admin.close()
        self._clock.close()

    def blockers(self, session: int) -> Sequence[int]:
        """Return the sessions that this one waits for."""
        row = self.admin.execute("SELECT pg_blocking_pids(%s)", (session,)).fetchone()
        assert row is not None, "a function has a value"
        pids: list[int] = row[0]
        return pids

    def cancel(self, session: int) -> None:
        """Let the statement of this session fail."""
        self.admin.execute("SELECT pg_cancel_backend(%s)", (session,))

    def look(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Read outside of all turns: for those who check, not for those who are checked."""
        self.tell_clock()
        return self.admin.execute(query, arguments).fetchall()

    def tell_clock(self) -> None:
        """Let the database know what time it is."""
        now_ms = EPOCH_MS + self.turns.now_ms
        if now_ms != self._told_ms:
            os.pwrite(self._clock.fileno(), b"%d" % now_ms, 0)
            self._told_ms = now_ms

    def connections_of(self, life: Life, size_max: int = 4) -> "Connections":
        """Return the way to the database for one life."""
        return Connections(self, life, size_max)

    @asynccontextmanager
    async def one_connection(self, life: Life) -> "AsyncIterator[Connection]":
        """Give a connection that nobody else uses, for a lock or a listener that lives with it."""
        life.check()
        connection = Connection(self, life, self.take(), alone=True)
        try:
            yield connection
        finally:
            connection.lose()

    def lose_one(self, choice: int, told_late_s: float) -> bool:
        """Lose a connection that somebody has for a lock alone; they hear of it later."""
        alone = [each for each in self.connections if each.alone]
        if not alone:
            return False
        connection = alone[choice % len(alone)]
        self.turns.note(f"{connection.life.name} loses the connection of its lock")
        connection.lose(told_late_s)
        return True

    async def open(self, count: int) -> None:
        """Open so many real connections: none is opened in the middle of a story."""
        for number in range(count):
            real: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
                self.dsn, statement_cache_size=500, max_cached_statement_lifetime=0
            )
            await _prepare(real)
            self._free.append(Session(number, real, real.get_server_pid()))

    def end_silent(self, *arguments: object) -> int | None:
        """End who holds a lease in silence, by the virtual clock."""
        lease, silent_limit_s = arguments
        assert isinstance(silent_limit_s, float | int), "a silence has a limit"
        holders = self.admin.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0"
            " AND objid = %s::bigint::oid AND objsubid = 1",
            (lease,),
        ).fetchall()
        for each in list(self.connections):
            silent_s = self.turns.now_s - each.spoke_at_s
            if (each.session.pid,) in holders and silent_s > silent_limit_s:
                self.turns.note(f"{each.life.name} has said nothing for too long")
                each.lose()
                return each.session.number
        return None

    @asynccontextmanager
    async def aside(self) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
        """Give a real connection outside of all turns, for who checks."""
        session = self.take()
        try:
            self.tell_clock()
            yield session.real
        finally:
            self.give_back(session)

    def take(self) -> Session:
        """Take a real connection."""
        assert self._free, "there are enough connections for every process"
        return self._free.pop()

    def give_back(self, session: Session) -> None:
        """Give a real connection back that holds nothing."""
        self._free.append(session)

    def recover(self, session: Session) -> None:
        """Roll back what a lost connection left, as the server does when it notices."""

        async def roll_back() -> None:
            if session.busy is not None:
                await session.busy
                session.busy = None
            await self.turns.turn("server notices", session.pid)
            await self.turns.statement(
                session.pid,
                "the server notices",
                lambda: session.real.execute("ROLLBACK; SELECT pg_advisory_unlock_all()"),
            )
            self.give_back(session)

        task = asyncio.ensure_future(roll_back())
        self._recovering.add(task)
        task.add_done_callback(self._recovering.discard)

    def ring(self, channel: str) -> None:
        """Ring everybody who listens, unless the ring is lost."""
        for connection in list(self.connections):
            for heard, bell in list(connection.bells):
                if heard == channel and not self.weather.strikes("ring_lost"):
                    late_s = self.weather.random.uniform(0.0, RING_LATE_S_MAX)
                    asyncio.get_running_loop().call_later(late_s, connection.rung, heard, bell)


class Connections:
    """Look like a pool of asyncpg's."""

    def __init__(self, database: Database, life: Life, size_max: int) -> None:
        self._database = database
        self._life = life
        self._free = asyncio.Semaphore(size_max)

    @asynccontextmanager
    async def acquire(self) -> "AsyncIterator[Connection]":
        """Give a connection for as long as the block lasts."""
        async with self._free:
            self._life.check()
            connection = Connection(self._database, self._life, self._database.take())
            try:
                yield connection
            finally:
                connection.let_go()


@dataclass(eq=False)
class Connection:
    """Look like a connection of asyncpg's, as far as the product uses one."""

    database: Database
    life: Life
    session: Session
    alone: bool = False
    lost: bool = False
    spoke_at_s: float = 0.0
    depth: int = 0
    rings: list[str] = field(default_factory=list)
    bells: list[tuple[str, Callable[..., None]]] = field(default_factory=list)
    _enders: list[Callable[..., None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database.connections.append(self)
        self.life.ends.append(self.lose)

    async def fetch(
        self, query: str, *arguments: object, timeout: float | None = None
    ) -> "list[asyncpg.Record]":
        """Return all rows."""
        real = self.session.real
        return await self._do(query, arguments, timeout, lambda: real.fetch(query, *arguments))

    async def fetchrow(
        self, query: str, *arguments: object, timeout: float | None = None
    ) -> "asyncpg.Record | None":
        """Return the first row."""
        real = self.session.real
        return await self._do(query, arguments, timeout, lambda: real.fetchrow(query, *arguments))

    async def fetchval(self, query: str, *arguments: object, timeout: float | None = None) -> Any:  # noqa: ANN401 - as asyncpg
        """Return the first value of the first row."""
        if "pg_terminate_backend" in query:
            return self.database.end_silent(*arguments)
        real = self.session.real
        return await self._do(query, arguments, timeout, lambda: real.fetchval(query, *arguments))

    async def execute(self, query: str, *arguments: object, timeout: float | None = None) -> str:
        """Return what the server says was done."""
        real = self.session.real
        return await self._do(query, arguments, timeout, lambda: real.execute(query, *arguments))

    def transaction(self, *, isolation: str | None = None, readonly: bool = False) -> "Transaction":
        """Return a transaction to be entered."""
        return Transaction(self, isolation, readonly)

    async def add_listener(self, channel: str, bell: Callable[..., None]) -> None:
        """Hear a channel."""
        await self._do(f"LISTEN {channel}", (), None, None)
        self.bells.append((channel, bell))

    async def remove_listener(self, channel: str, bell: Callable[..., None]) -> None:
        """Hear it no more."""
        self.bells.remove((channel, bell))

    def add_termination_listener(self, ender: Callable[..., None]) -> None:
        """Call when the connection is lost."""
        self._enders.append(ender)

    def remove_termination_listener(self, ender: Callable[..., None]) -> None:
        """Do not call."""
        self._enders.remove(ender)

    def is_closed(self) -> bool:
        """Say whether the connection is lost."""
        return self.lost

    def rung(self, channel: str, bell: Callable[..., None]) -> None:
        """Ring a bell that may be gone by now."""
        if not self.lost and (channel, bell) in self.bells:
            bell(self, 0, channel, "")

    def lose(self, told_late_s: float = 0.0) -> None:
        """Lose the connection; the server notices, and who used it hears of it, perhaps later."""
        if self.lost:
            return
        self._leave()
        self.database.recover(self.session)
        for ender in self._enders:
            asyncio.get_running_loop().call_later(told_late_s, ender, self)

    def let_go(self) -> None:
        """Give the connection back."""
        if self.lost:
            return
        if self.depth or self.session.busy is not None:
            self.lose()
            return
        self._leave()
        self.database.give_back(self.session)

    def _leave(self) -> None:
        self.lost = True
        self.bells.clear()
        self.database.connections.remove(self)
        self.life.ends.remove(self.lose)

    async def _do(
        self,
        query: str,
        arguments: Sequence[object],
        timeout: float | None,
        work: Callable[[], Coroutine[Any, Any, Result]] | None,
    ) -> Result:
        async with asyncio.timeout(timeout):
            return await self._done(query, arguments, work)

    async def _done(
        self,
        query: str,
        arguments: Sequence[object],
        work: Callable[[], Coroutine[Any, Any, Result]] | None,
    ) -> Result:
        self.life.check()
        if self.lost:
            raise Closed("connection is closed")
        weather, turns, life = self.database.weather, self.database.turns, self.life
        await turns.turn(life.name, self.session.pid)
        self._check()
        if weather.strikes("statement_slow"):
            await asyncio.sleep(weather.random.uniform(0.0, SLOW_S_MAX))
            await turns.turn(life.name, self.session.pid)
            self._check()
        await self._trouble("before")
        result = None if work is None else await self._work(query, work)
        self.spoke_at_s = turns.now_s
        if turns.running:
            # The server's own numbers differ from run to run.
            told = "" if _OF_THE_SERVER.search(query) else f"{arguments!r} -> {result!r}"
            turns.note(f"{life.name} {_short(query)} {told}")
        self.rings += _NOTIFY.findall(query)
        if not self.depth or query == "COMMIT":
            self._ring()
        await self._trouble("after")
        return result  # type: ignore[return-value]

    async def _work(self, query: str, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        if self.session.busy is not None:
            await self.session.busy
            self.session.busy = None
        self.database.tell_clock()
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def whole() -> Result:
            try:
                return await work()
            finally:
                if not finished.done():
                    finished.set_result(None)

        try:
            what = f"{self.life.name}: {_short(query)}"
            return await self.database.turns.statement(self.session.pid, what, whole)
        except asyncio.CancelledError:
            # As asyncpg does: the server is asked to stop, and the connection waits for that. Only
            # where it is known to wait: whether what moves is stopped in time would be chance.
            self.session.busy = finished
            if self.life.lives and self.database.turns.is_waiting(self.session.pid):
                self.database.cancel(self.session.pid)
            raise
        except Deadlocked as circle:
            raise asyncpg.DeadlockDetectedError("deadlock detected") from circle

    def _check(self) -> None:
        self.life.check()
        if self.lost:
            raise Away("connection was closed in the middle of operation")

    def _ring(self) -> None:
        rings, self.rings = self.rings, []
        for channel in dict.fromkeys(rings):
            self.database.ring(channel)

    async def _trouble(self, when: str) -> None:
        weather, life = self.database.weather, self.life
        if weather.strikes(f"connection_lost_{when}"):
            self.database.turns.note(f"{life.name} loses its connection")
            self.lose()
            raise Away("connection was closed in the middle of operation")
        if life.spared:
            return
        if weather.strikes(f"killed_{when}"):
            self.database.turns.note(f"{life.name} is killed")
            await life.die()
        if weather.strikes(f"cancelled_{when}"):
            self.database.turns.note(f"{life.name} has a task cancelled")
            await life.cancel_one(weather.random.randrange(1_000))
            self._check()


class Transaction:
    """Look like a transaction of asyncpg's: committed by a good end, rolled back by any other."""

    def __init__(self, connection: Connection, isolation: str | None, readonly: bool) -> None:
        self._connection = connection
        level = f" ISOLATION LEVEL {isolation.replace('_', ' ').upper()}" if isolation else ""
        self._begin = f"BEGIN{level}{' READ ONLY' if readonly else ''}"

    async def __aenter__(self) -> Self:
        connection = self._connection
        assert not connection.depth, "the product has no transaction in a transaction"
        connection.depth = 1
        try:
            await connection.execute(self._begin)
        except BaseException:
            connection.lose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection = self._connection
        if not connection.life.lives:
            if error is None:
                raise Killed(connection.life.name)
            return
        if connection.lost:
            raise Closed("the underlying connection is closed")
        if error is None:
            try:
                await connection.execute("COMMIT")
            except BaseException:
                # asyncpg, too, gives such a connection up or rolls it back before it is used again.
                connection.lose()
                raise
            connection.depth = 0
            return
        connection.rings.clear()
        try:
            await connection.execute("ROLLBACK")
        except BaseException:
            connection.lose()
            raise
        connection.depth = 0


@lru_cache(maxsize=1_000)
def _short(query: str) -> str:
    return _BLANKS.sub(" ", query)[:70]
