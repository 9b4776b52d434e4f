"""Play: one seed from its beginning to heal, drain and check, on a server of its own.

In        a seed.
Out       what went wrong in it, how often, and what is not as it must be; its fingerprint.
Promises  the same seed has the same fingerprint, alone or among others.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from sandbox.postgres import PostgresSettings, ensure_database, running_postgres
from storage.migrate import migrate
from tests.simulation import checks
from tests.simulation.database import Database
from tests.simulation.played import Played
from tests.simulation.story import Story
from tests.simulation.turns import Stuck, TurnLoop, Turns
from tests.simulation.world import World, own_connections

DATABASE = "simulation"
SESSIONS = 48
DRAIN_S_MAX = 600.0
DRAIN_LOOK_S = 5.0
WATCH_EVERY_S = 7.0
MEMORY = Path("/dev/shm")


class Stage:
    """A server and a loop for stories, one after another."""

    def __init__(self, settings: PostgresSettings, *, verbose: bool = False) -> None:
        self._settings = settings
        self._verbose = verbose
        self._set_up()

    def play(self, seed: int) -> Played:
        """Play a seed."""
        began = time.perf_counter()
        faults: list[str] = []
        world: World | None = None
        try:
            with _quiet():
                world = self._loop.run_until_complete(self._play(seed, faults))
        except Stuck as stuck:
            faults.append(f"I4: {stuck}")
        except Exception:  # noqa: BLE001 - one seed that cannot be played must not hide the others
            faults.append(traceback.format_exc())
        turns = self._turns
        played = Played(
            seed=seed,
            faults=tuple(faults),
            digest=turns.digest,
            struck=dict(world.weather.struck) if world else {},
            reached=checks.reached(world) if world else {},
            transactions=len(world.solana.chain.history) if world else 0,
            statements=turns.statements,
            turns=turns.turns,
            lock_waits=turns.waits,
            deaths=world.deaths if world else 0,
            virtual_s=turns.now_s,
            real_s=time.perf_counter() - began,
        )
        if faults:
            # What a broken story has left is not taken into the next.
            self._tear_down()
            self._set_up()
        return played

    def close(self) -> None:
        """Let go of everything."""
        self._loop.run_until_complete(self._database.close())
        self._loop.close()

    def _set_up(self) -> None:
        self._turns = Turns(verbose=self._verbose)
        self._loop = TurnLoop(self._turns)
        asyncio.set_event_loop(self._loop)
        clock = self._settings.data_dir / "simulated_clock"
        # A socket file answers sooner than loopback.
        settings = self._settings
        dsn = f"postgresql://postgres@/{DATABASE}?host={settings.data_dir}&port={settings.port}"
        self._database = Database(dsn, self._turns, clock)
        self._database.prepare()
        self._loop.run_until_complete(self._database.open(SESSIONS))

    def _tear_down(self) -> None:
        self._turns.end()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._database.abandon()
        self._loop.forget()
        self._loop.close()

    async def _play(self, seed: int, faults: list[str]) -> World:
        turns = self._turns
        world = World.of(seed, turns, self._database)
        story = Story.of(world)
        with own_connections(world):
            await story.prepare()
            keepers = [
                asyncio.ensure_future(world.keep(name, build))
                for name, build in world.processes().items()
            ]
            market = asyncio.ensure_future(world.market.run())
            watch = asyncio.ensure_future(_watch(world))
            try:
                await story.play()
                await story.heal()
                faults += await _drained(world)
            except Exception as wrong:  # noqa: BLE001 - whatever the product raised is a finding
                faults.append(f"the story ended with {wrong!r}")
            world.over = True
            for life in world.lives.values():
                life.kill()
            market.cancel()
            watch.cancel()
            await asyncio.wait([*keepers, market, watch])
            for task in (*keepers, market, watch):
                if not task.cancelled() and (error := task.exception()) is not None:
                    world.broken.append(error)
            await self._database.end()
        turns.end()
        self._loop.forget()
        faults += [_told(each) for each in world.broken]
        if not world.broken:
            faults += checks.faults(world)
            faults += await checks.audited(world)
        return world


async def _watch(world: World) -> None:
    while True:
        await asyncio.sleep(WATCH_EVERY_S)
        for fault in checks.at_any_moment(world):
            world.fail(fault)


async def _drained(world: World) -> list[str]:
    """Wait until everything has come to its end, and name what has not."""
    loop = asyncio.get_running_loop()
    until = loop.time() + DRAIN_S_MAX
    while left := checks.waiting(world):
        if loop.time() > until:
            return [f"I4: {each} has not come to its end" for each in left]
        if world.broken:
            return []
        await asyncio.sleep(DRAIN_LOOK_S)
    return []


def _told(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {place}: {error}"


@contextmanager
def _quiet() -> Iterator[None]:
    kept: dict[str, Any] = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**kept)


@contextmanager
def stage(port: int, *, verbose: bool = False) -> Iterator[Stage]:
    """Start a server for stories, in memory where there is a file system of memory."""
    folder = MEMORY if MEMORY.is_dir() else None
    with TemporaryDirectory(prefix="rooms-simulation-", dir=folder) as place:
        settings = PostgresSettings(
            data_dir=Path(place) / "data",
            port=port,
            options={
                "unix_socket_directories": str(Path(place) / "data"),
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
                "wal_level": "minimal",
                "max_wal_senders": "0",
                "max_wal_size": "4GB",
                "checkpoint_timeout": "1d",
                "autovacuum": "off",
                "track_counts": "off",
                "track_activities": "off",
                "update_process_title": "off",
                "jit": "off",
                "plan_cache_mode": "force_generic_plan",
                # A circle of locks is found by who says whose turn it is.
                "deadlock_timeout": "1h",
                "max_connections": "100",
            },
        )
        with running_postgres(settings):
            ensure_database(settings, DATABASE)
            migrate(settings.dsn(DATABASE))
            made = Stage(settings, verbose=verbose)
            try:
                yield made
            finally:
                made.close()
