"""Restoring: says to an installation that its database was restored from a backup.

In        a reason, who it is; whether what waits for too long is to be set aside.
Out       everything closed until custody has read the chain back; lines for the person.
Promises  nothing is opened here: what is closed is opened by `rooms resume`, when all is well.
"""

from rich.console import Console

from cli.place import operator
from cli.settings import Settings
from storage import restores, set_aside
from storage.connections import open_connections, transaction


async def restore(settings: Settings, reason: str, *, give_up: bool) -> None:
    """Begin a restore, or say how far the one under way is.

    Args:
        settings: of the installation.
        reason: why.
        give_up: set aside what could not be placed, so that the restore can end.
    """
    console = Console()
    async with open_connections(settings.dsn, name="restore", size_max=2) as connections:
        async with transaction(connections) as connection:
            begun = await restores.begin(connection, reason, operator())
            waiting = await restores.waiting(connection)
            under_way = await restores.under_way(connection)
            if give_up and under_way is not None and under_way.is_read:
                for each in waiting:
                    why = each.waits_for or "it was not looked at yet"
                    await set_aside.set_aside(
                        connection, f"forgotten/{each.signature}", each.memo, why
                    )
                    room = restores.room_of(each.memo)
                    if room is not None:
                        await set_aside.set_aside(
                            connection, f"signing/room:{room}", each.memo, why
                        )
                    await restores.placed(connection, each.signature)
        if begun:
            console.print(
                "everything is [bold]closed[/]; custody reads the chain back as soon as it runs, "
                "and signs nothing before that. Ask again how far it is: `rooms restore`",
                soft_wrap=True,
            )
            return
        for each in waiting:
            what = "set aside" if give_up else "waits"
            console.print(
                f"[yellow]{what}[/] {each.signature} {each.memo}: {each.waits_for or 'its turn'}",
                soft_wrap=True, highlight=False,
            )  # fmt: skip
        if not waiting:
            console.print("nothing waits; the restore ends when the last attempt has its fate")
