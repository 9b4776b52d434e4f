"""Pausing: closes and opens flags for a person, with a reason, and says what is still under way.

In        a flag, a reason, who it is.
Out       lines for the person; an act in the audit log.
Promises  a pause holds at once for everything that begins after it; nothing is resumed while the
          ledger shows a breach, unless the person says so; a resume of one flag opens no other.
"""

from typing import Final

from rich.console import Console

from cli.place import operator
from cli.settings import Settings
from rooms.refusal import CannotGoOn
from storage import audit, flags
from storage.connections import Connections, open_connections, transaction
from storage.flags import Flag

WAIT_MS: Final = 3_000
WHAT: Final = {
    Flag.BETS: "new bets",
    Flag.ROOMS: "new rooms",
    Flag.WITHDRAWALS: "withdrawals",
    Flag.SIGNING: "new signatures",
    Flag.ALL: "new bets, rooms, withdrawals and signatures",
}


class NotResumed(CannotGoOn):
    """The ledger shows a breach; the message says which and what to do."""


async def pause(settings: Settings, flag: Flag, reason: str) -> None:
    """Close a flag, and wait for what began before it."""
    console = Console()
    async with open_connections(settings.dsn, name="pause", size_max=2) as connections:
        async with transaction(connections) as connection:
            await flags.change(connection, flag, open=False, reason=reason, who=operator())
        console.print(
            f"{WHAT[flag]}: [bold]paused[/]; watching, deciding and posting go on", soft_wrap=True
        )
        if await flags.waited_out(connections, flag, limit_ms=WAIT_MS):
            console.print("nothing that began before is under way any more")
        else:
            console.print(
                f"[yellow]something that began before is still under way after {WAIT_MS // 1000} s"
                "[/]; a transaction that hangs is ended within a minute"
            )


async def resume(settings: Settings, flag: Flag, reason: str, *, despite: bool) -> None:
    """Open a flag, unless the ledger shows a breach.

    Args:
        settings: of the installation.
        flag: what to open.
        reason: why.
        despite: open it though the ledger shows a breach.

    Raises:
        NotResumed: when it shows one.
    """
    console = Console()
    async with open_connections(settings.dsn, name="resume", size_max=2) as connections:
        async with connections.acquire() as connection:
            found = await audit.whole(connection)
        if found and not despite:
            raise NotResumed(
                f"not resumed, the ledger shows: {'; '.join(each.what for each in found)}. "
                "`rooms audit` says more; --despite resumes all the same"
            )
        async with transaction(connections) as connection:
            await flags.change(connection, flag, open=True, reason=reason, who=operator())
        console.print(f"{WHAT[flag]}: [bold]open[/]")
        for closed in await _closed(connections):
            console.print(f"[yellow]still paused:[/] {WHAT[closed]}")


async def _closed(connections: Connections) -> list[Flag]:
    async with connections.acquire() as connection:
        known = await flags.known(connection)
    return [flag for flag in Flag if not known.get(flag, False)]
