"""Tokens: the commands by which an operator adds a long-tail token's feeds.

Promises  what changes a feed is written into the audit log in the same transaction; whatever is
          refused is one clear line, an exit code that is not 0, and changes nothing.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cli.reason import Reason
from cli.running import run_until_told

if TYPE_CHECKING:
    from cli.settings import Settings
    from rooms.feed import Feed

app = typer.Typer(help="Add tokens that the catalogue does not have.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option("--data", help="Where everything is kept.")]


@app.command()
def add(
    token: Annotated[str, typer.Argument(help="Its name in capitals, such as PUMPY.")],
    source: Annotated[
        list[str], typer.Option(help="SOURCE=SYMBOL, such as jupiter=MINT; once for every source.")
    ],
    reason: Reason,
    liquidity: Annotated[
        list[str] | None,
        typer.Option(help="SOURCE=SYMBOL that tells what lies in its pools; caps its rooms."),
    ] = None,
    mint: Annotated[
        str | None, typer.Option(help="Its mint, for a market cap by the chain's supply.")
    ] = None,
    apart: Annotated[
        list[str] | None, typer.Option(help="A token account that does not circulate.")
    ] = None,
    quorum: Annotated[int, typer.Option(help="How many sources must agree.", min=1)] = 3,
    age: Annotated[
        int, typer.Option(help="A price older than so many seconds does not count.", min=1)
    ] = 10,
    volatility: Annotated[
        int, typer.Option(help="A year's standard deviation, in basis points.", min=1)
    ] = 20_000,
    data: Folder = Path(".rooms"),
) -> None:
    """Add a token's price, and as asked its liquidity, supply and market cap; twice is once."""
    from rooms.refusal import Impossible
    from rooms.token import token_feeds
    from rooms.units import Bps

    deep = {name: f"{symbol}#liquidity" for name, symbol in _pairs(liquidity or []).items()}
    if apart and mint is None:
        raise typer.BadParameter("it is taken off the supply of --mint", param_hint="--apart")
    try:
        made = token_feeds(
            token=token,
            symbols=_pairs(source),
            liquidity=deep,
            supply=None if mint is None else "-".join([mint, *(apart or [])]),
            quorum=quorum,
            age_ms_max=age * 1000,
            volatility_bps=Bps(volatility),
        )
    except Impossible as wrong:
        sys.exit(f"{wrong}; nothing was changed")
    run_until_told(_write(_settings(data), made, reason))


@app.command("list")
def show(data: Folder = Path(".rooms")) -> None:
    """Show every feed that rooms are made on, with its sources."""
    run_until_told(_show(_settings(data)))


def _pairs(told: list[str]) -> dict[str, str]:
    pairs = dict(each.partition("=")[::2] for each in told)
    if len(pairs) != len(told) or not all(pairs.values()):
        raise typer.BadParameter("say SOURCE=SYMBOL, each source once")
    return pairs


def _settings(data: Path) -> "Settings":
    from cli.place import settings_for_a_person

    return settings_for_a_person(data)


async def _write(settings: "Settings", made: list["Feed"], reason: str) -> None:
    from cli.place import operator
    from rooms.catalogue import CATALOGUE
    from rooms.refusal import CannotGoOn, Impossible
    from storage import audit_log, feeds
    from storage.connections import open_connections, transaction
    from streams.feeds.sources import SOURCES, made_with

    names = {feed.name for feed in made}
    ours = sorted(names & set(CATALOGUE))
    strange = sorted({name for feed in made for name in feed.symbols} - set(SOURCES))
    if ours:
        raise CannotGoOn(f"{', '.join(ours)} is in the catalogue; nothing was changed")
    if strange:
        raise CannotGoOn(f"no such source: {', '.join(strange)}; nothing was changed")
    async with (
        open_connections(settings.dsn, name="token", size_max=1) as connections,
        transaction(connections) as connection,
    ):
        others = [
            feed for feed in (await feeds.every(connection)).values() if feed.name not in names
        ]
        for feed in made:
            for other in others:
                shared = set(feed.symbols.items()) & set(other.symbols.items())
                if shared:
                    source, symbol = sorted(shared)[0]
                    raise CannotGoOn(
                        f"{symbol} at {source} is {other.name} already; nothing was changed"
                    )
            try:
                await feeds.upsert(connection, feed, standing=False, made_with=made_with(feed))
            except Impossible as wrong:
                raise CannotGoOn(f"{wrong}; nothing was changed") from None
            await audit_log.note(connection, "token", feed.name, reason, operator())
    _print(made)


async def _show(settings: "Settings") -> None:
    from storage import feeds
    from storage.connections import open_connections

    async with (
        open_connections(settings.dsn, name="token", size_max=1) as connections,
        connections.acquire() as connection,
    ):
        _print(list((await feeds.offered(connection)).values()))


def _print(shown: list["Feed"]) -> None:
    console = Console()
    for feed in shown:
        told = ", ".join(sorted(feed.symbols)) or f"{feed.price} × {feed.supply}"
        thin = " · rooms are capped by its liquidity" if feed.liquidity else ""
        console.print(
            f"[bold]{feed.name}[/]  {told} · {feed.guards.quorum} must agree{thin}",
            highlight=False,
            soft_wrap=True,
        )
