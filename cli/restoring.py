"""Restoring: says that the database was restored from a backup, and how far the restore is.

In        a reason, who it is; or nothing but the question.
Out       everything closed until custody has read the chain back; lines for the person.
Promises  to ask changes nothing; nothing is opened here: what is closed is opened by
          `rooms resume`, when all is well.
"""

from datetime import UTC, datetime

from rich.console import Console

from cli.place import operator
from cli.settings import Settings
from rooms.units import UnixMs
from storage import restores, set_aside
from storage.connections import Connection, open_connections, transaction
from storage.restores import Forgotten

_ASK = "Ask how far it is: `rooms restore`"


async def begin(settings: Settings, reason: str) -> None:
    """Begin a restore, unless one is under way.

    Args:
        settings: of the installation.
        reason: why.
    """
    async with (
        open_connections(settings.dsn, name="restore", size_max=1) as connections,
        transaction(connections) as connection,
    ):
        begun = await restores.begin(connection, reason, operator())
    if begun:
        _print(
            "everything is [bold]closed[/]; custody reads the chain back as soon as it runs, "
            f"and signs nothing before that. {_ASK}"
        )
    else:
        _print(f"one is under way already; nothing was changed. {_ASK}")


async def tell(settings: Settings) -> None:
    """Say whether a restore is under way or when the last ended, and what to do; change nothing."""
    async with (
        open_connections(settings.dsn, name="restore", size_max=1) as connections,
        transaction(connections) as connection,
    ):
        last = await restores.last(connection)
        waiting = await restores.waiting(connection)
    if last is None:
        _print(
            "no restore was ever begun here; after a backup was restored: "
            '`rooms restore --begin --reason "…"`'
        )
    elif last.done_at is not None:
        _print(
            f"none is under way; the last one ended at {_utc(last.done_at)}. What is closed stays "
            'closed: `rooms audit`; when it adds up, `rooms resume all --reason "…"`'
        )
    elif last.read_at is None:
        _print(
            f"one is under way since {_utc(last.begun_at)}: custody has not read the whole chain "
            "back yet, and signs nothing; it has to run"
        )
    else:
        _print(f"one is under way since {_utc(last.begun_at)}; the chain was read back")
        _print_waiting(waiting, "waits")
        if waiting:
            _print("what never gets its place: `rooms restore --set-aside`, so that it can end")
        else:
            _print("nothing waits; it ends when the last attempt has its fate")


async def give_up(settings: Settings) -> None:
    """Set aside what could not be placed, so that the restore can end."""
    async with (
        open_connections(settings.dsn, name="restore", size_max=1) as connections,
        transaction(connections) as connection,
    ):
        under_way = await restores.under_way(connection)
        is_read = under_way is not None and under_way.is_read
        waiting = await restores.waiting(connection) if is_read else []
        for each in waiting:
            await _set_aside(connection, each)
    if not is_read:
        _print(f"no restore is under way that has read the chain; nothing was changed. {_ASK}")
        return
    _print_waiting(waiting, "set aside")
    if not waiting:
        _print("nothing waits; the restore ends when the last attempt has its fate")


async def _set_aside(connection: Connection, each: Forgotten) -> None:
    why = each.waits_for or "it was not looked at yet"
    await set_aside.set_aside(connection, f"forgotten/{each.signature}", each.memo, why)
    room = restores.room_of(each.memo)
    if room is not None:
        await set_aside.set_aside(connection, f"signing/room:{room}", each.memo, why)
    await restores.placed(connection, each.signature)


def _print_waiting(waiting: list[Forgotten], what: str) -> None:
    for each in waiting:
        _print(
            f"[yellow]{what}[/] {each.signature} {each.memo}: {each.waits_for or 'its turn'}",
        )


def _print(line: str) -> None:
    Console().print(line, soft_wrap=True, highlight=False)


def _utc(at: UnixMs) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
