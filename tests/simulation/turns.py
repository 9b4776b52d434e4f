"""Turns: an event loop in which one thing moves at a time, and the seed says which.

In        gates: places where somebody waits to touch the outside world; statements under way.
Out       the same order of everything for the same seed; a virtual time that passes when all wait.
Promises  while one acts nobody else does, so nothing depends on how fast anything answers; a
          statement that waits for another's lock is known to wait, and only who holds it moves on.
Why       a failure that cannot be repeated cannot be repaired.
"""

import asyncio
import selectors
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")
Events = list[tuple[selectors.SelectorKey, int]]
Poll = Callable[[float | None], Events]

LINES_KEPT = 4_000
TURNS_AT_ONE_MOMENT_MAX = 20_000
LOOK_FIRST_S = 0.002
LOOK_LAST_S = 0.05


class Stuck(Exception):
    """Nothing can move any more, or everything moves and no time passes."""


class Locks(Protocol):
    """What knows which sessions of the database wait for which."""

    def blockers(self, session: int) -> Sequence[int]:
        """Return the sessions that this one waits for."""

    def cancel(self, session: int) -> None:
        """Let the statement of this session fail."""


@dataclass(slots=True, eq=False)
class Gate:
    """Somebody who waits for the turn; ``session`` is the database session it would use."""

    who: str
    session: int | None
    opened: "asyncio.Future[None]"


@dataclass(slots=True, eq=False)
class Statement:
    """A statement that the database works on.

    Attributes:
        waits_for: sessions whose locks it needs; empty while it moves.
        deadlocked: whether it was chosen to fail, as it and others waited in a circle.
    """

    session: int
    what: str
    work: "asyncio.Task[Any]"
    answered: "asyncio.Future[None]"
    waits_for: Sequence[int] = ()
    has_waited: bool = False
    deadlocked: bool = False


@dataclass
class Turns:
    """Say who moves next, and keep what happened."""

    random: Random = field(default_factory=Random)
    now_s: float = 0.0
    running: bool = False
    verbose: bool = False
    locks: Locks | None = None
    turns: int = 0
    waits: int = 0
    statements: int = 0
    circles: list[str] = field(default_factory=list)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))

    def __post_init__(self) -> None:
        self._gates: list[Gate] = []
        self._statements: list[Statement] = []
        self._hash = blake2b(digest_size=16)
        self._since_time_passed = 0

    def begin(self, random: Random, locks: Locks) -> None:
        """Begin a story."""
        assert not self._gates, "nobody is left from another story"
        assert not self._statements, "nothing is left from another story"
        self.random, self.locks = random, locks
        self.now_s, self.turns, self.waits, self._since_time_passed = 0.0, 0, 0, 0
        self.statements, self.circles = 0, []
        self._hash = blake2b(digest_size=16)
        self.lines.clear()
        self.running = True

    def end(self) -> None:
        """Let everything be an ordinary loop again."""
        self.running = False

    @property
    def now_ms(self) -> int:
        """Return the virtual time since the story began."""
        return round(self.now_s * 1000)

    @property
    def digest(self) -> str:
        """Return a fingerprint of everything that happened so far."""
        return self._hash.hexdigest()

    def note(self, line: str) -> None:
        """Keep what happened: it must be the same whenever this seed is played."""
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        text = f"{self.now_s:9.3f} {line}"
        self.lines.append(text)
        if self.verbose:
            print(text, file=sys.stderr)  # noqa: T201 - asked for

    async def turn(self, who: str, session: int | None = None) -> None:
        """Wait until it is this one's turn."""
        if not self.running:
            return
        gate = Gate(who, session, asyncio.get_running_loop().create_future())
        self._gates.append(gate)
        try:
            await gate.opened
        except asyncio.CancelledError:
            if gate in self._gates:
                self._gates.remove(gate)
            raise

    async def statement(
        self, session: int, what: str, work: Callable[[], Coroutine[Any, Any, Result]]
    ) -> Result:
        """Have the database work, while nobody else moves; waits for locks are let pass.

        A caller that is cancelled leaves the statement to itself.
        """
        loop = asyncio.get_running_loop()
        task = loop.create_task(work())
        if not self.running:
            return await task
        statement = Statement(session, what, task, loop.create_future())
        self._statements.append(statement)
        self.statements += 1
        await statement.answered
        failure = task.exception()
        if statement.deadlocked and failure is not None:
            raise Deadlocked from failure
        return task.result()

    def is_waiting(self, session: int) -> bool:
        """Say whether this session's statement is known to wait for another's lock."""
        return any(each.waits_for for each in self._statements if each.session == session)

    def idle(self, poll: Poll, timeout: float | None) -> Events:
        """Let something happen, as everybody waits; the loop calls it when it has nothing to do."""
        if not self.running:
            return poll(None)
        look_s = LOOK_FIRST_S
        while moving := [each for each in self._statements if self._moves(each)]:
            # Who has waited for a lock often goes on waiting: look at once.
            events = poll(0 if all(each.has_waited for each in moving) else look_s)
            if events:
                return events
            look_s = min(look_s * 2, LOOK_LAST_S)
            for each in moving:
                self._look(each)
        if self._answer_one():
            return []
        if self._open_one():
            return []
        if timeout is None:
            raise Stuck("nobody waits for a turn or for a moment, and the story is not over")
        self.now_s += timeout
        self._since_time_passed = 0
        return []

    def _moves(self, statement: Statement) -> bool:
        return not statement.waits_for and not statement.work.done()

    def _look(self, statement: Statement) -> None:
        assert self.locks is not None, "a story has a database"
        statement.waits_for = tuple(sorted(set(self.locks.blockers(statement.session))))
        if not statement.waits_for:
            return
        if not statement.has_waited:
            self.waits += 1
        statement.has_waited = True
        waiting = {each.session: each for each in self._statements if each.waits_for}
        if self._in_a_circle(statement, waiting):
            # The last to close the circle fails, where the server would choose by its clock.
            statement.deadlocked, statement.waits_for = True, ()
            self.circles.append(statement.what)
            self.locks.cancel(statement.session)

    def _in_a_circle(self, statement: Statement, waiting: dict[int, Statement]) -> bool:
        seen: set[int] = set()
        ahead = list(statement.waits_for)
        while ahead:
            session = ahead.pop()
            if session == statement.session:
                return True
            if session in seen or session not in waiting:
                continue
            seen.add(session)
            ahead += waiting[session].waits_for
        return False

    def _answer_one(self) -> bool:
        # Who let another go on is answered before that other, however fast either was.
        for each in sorted(self._statements, key=lambda each: each.has_waited):
            if not each.work.done():
                continue
            self._statements.remove(each)
            for other in self._statements:
                # It may have held what they wait for: look again.
                other.waits_for = ()
            if each.answered.cancelled():
                _ = each.work.exception()
            else:
                each.answered.set_result(None)
            return True
        return False

    def _open_one(self) -> bool:
        able = self._gates
        holders = {session for each in self._statements for session in each.waits_for}
        if holders:
            able = [gate for gate in self._gates if gate.session in holders] or [
                gate for gate in self._gates if gate.session is None
            ]
        if not able:
            return False
        gate = self.random.choice(able) if len(able) > 1 else able[0]
        self._gates.remove(gate)
        self.turns += 1
        self._since_time_passed += 1
        if self._since_time_passed > TURNS_AT_ONE_MOMENT_MAX:
            raise Stuck("everything moves and no time passes")
        gate.opened.set_result(None)
        return True


class Deadlocked(Exception):
    """Two statements waited for each other, and this one had to fail."""


class _Selector(selectors.DefaultSelector):
    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    def select(self, timeout: float | None = None) -> Events:
        if timeout is not None and timeout <= 0:
            return []
        return self._turns.idle(super().select, timeout)


class TurnLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual and whose idle moments belong to `Turns`."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        super().__init__(_Selector(turns))

    def time(self) -> float:
        """Return the virtual time."""
        return self.turns.now_s

    def forget(self) -> None:
        """Let nothing happen later that an earlier story wanted."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        for handle in list(scheduled):
            handle._scheduled = False  # type: ignore[attr-defined]
            handle.cancel()
        scheduled.clear()
        # How many are cancelled says when the heap is cleaned, and that says which of two timers
        # of one moment comes first.
        self._timer_cancelled_count = 0
