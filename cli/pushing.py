"""Pushing: the commands by which a push feed is registered and a value is sent to it.

Promises  what changes a feed is written into the audit log in the same transaction; a private key
          stays in its file; whatever is refused is one clear line and an exit code that is not 0.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cli.ports import HOST
from cli.reason import Reason
from cli.running import run_until_told
from rooms.push import PREFIX

if TYPE_CHECKING:
    import httpx

    from cli.settings import Settings
    from rooms.feed import Feed
    from storage.connections import Connection

app = typer.Typer(help="Register and send values that are signed: docs/pushing.md.")

Name = Annotated[str, typer.Argument(help="The feed's name, without push:")]
Folder = Annotated[Path, typer.Option("--data", help="Where everything is kept.")]


@app.command()
def key(
    file: Annotated[Path, typer.Argument(help="A file that is not there yet.")],
) -> None:
    """Make a signer's key in a file of its own, and print the public key."""
    from streams.signatures import BadKeyFile, make_key

    try:
        made = make_key(file)
    except BadKeyFile as trouble:
        sys.exit(str(trouble))
    Console().print(made.public_hex, soft_wrap=True, highlight=False)


@app.command()
def add(
    name: Name,
    signer: Annotated[
        list[str], typer.Option(help="NAME=PUBLIC KEY, in hex; once for every signer.")
    ],
    reason: Reason,
    unit: Annotated[str, typer.Option(help="What one is: USD, points, degrees …")] = "points",
    scale: Annotated[int, typer.Option(help="Decimal places, for good.", min=0, max=12)] = 2,
    quorum: Annotated[int, typer.Option(help="How many signers must agree.", min=1)] = 1,
    age: Annotated[
        int, typer.Option(help="A value older than so many seconds does not count.", min=1)
    ] = 60,
    spread: Annotated[
        int, typer.Option(help="Signers further apart hold it back; basis points.", min=1)
    ] = 100,
    volatility: Annotated[
        int, typer.Option(help="A year's standard deviation, in basis points.", min=1)
    ] = 10_000,
    data: Folder = Path(".rooms"),
) -> None:
    """Register a push feed, or change its signers and guards; never its scale."""
    from rooms.push import push_feed
    from rooms.refusal import Impossible
    from rooms.units import Bps

    signers = dict(each.partition("=")[::2] for each in signer)
    if len(signers) != len(signer):
        raise typer.BadParameter("every signer has a name of his own", param_hint="--signer")
    try:
        feed = push_feed(
            name=name, unit=unit, scale=scale, signers=signers, quorum=quorum,
            age_ms_max=age * 1000, spread_bps_max=Bps(spread), volatility_bps=Bps(volatility),
        )  # fmt: skip
    except Impossible as wrong:
        sys.exit(f"{wrong}; nothing was changed")
    told = f"{feed.name}: signers {', '.join(signers)}, quorum {quorum}"
    run_until_told(_register(_settings(data), feed, f"{told}; {reason}"))


@app.command()
def revoke(
    name: Name,
    signer: Annotated[str, typer.Argument(help="Whose values are not taken any more.")],
    reason: Reason,
    data: Folder = Path(".rooms"),
) -> None:
    """Take a signer out of a feed; with fewer than the quorum it is silent."""
    run_until_told(_revoke(_settings(data), PREFIX + name, signer, reason))


@app.command("list")
def show(data: Folder = Path(".rooms")) -> None:
    """Show every push feed with its signers."""
    run_until_told(_show(_settings(data)))


@app.command()
def send(
    name: Name,
    value: Annotated[str, typer.Argument(help="Plain decimal text, such as 12.5")],
    signer: Annotated[str, typer.Option(help="The name under which the key is registered.")],
    file: Annotated[Path, typer.Option("--key", help="The file of the private key.")],
    sequence: Annotated[
        int | None, typer.Option(help="Above the last one; the time unless said.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Where pushes are taken; the stack in --data unless said.")
    ] = None,
    data: Folder = Path(".rooms"),
) -> None:
    """Sign a value with the time now and send it."""
    import httpx

    from cli.clock import now_ms
    from rooms.push import Push
    from streams.pushes import PATH
    from streams.signatures import BadKeyFile, read_key, signed_body

    try:
        signing = read_key(file)
    except BadKeyFile as trouble:
        sys.exit(str(trouble))
    url = (_pushes_here(data) if url is None else url).rstrip("/")
    now = now_ms()
    push = Push(
        feed=PREFIX + name, signer=signer, value=value, at=now,
        sequence=now if sequence is None else sequence,
    )  # fmt: skip
    body = signed_body(push, signing)
    try:
        answer = httpx.post(f"{url}{PATH}", json=body, timeout=10, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as trouble:
        sys.exit(f"{url} cannot be reached: {trouble}")
    if answer.status_code != httpx.codes.ACCEPTED:
        sys.exit(f"not taken ({answer.status_code}): {_sentence(answer)}")
    Console().print(f"taken: {push.feed} {value}, sequence {push.sequence}", highlight=False)


def _pushes_here(folder: Path) -> str:
    port = _settings(folder).push_port
    if port is None:
        sys.exit("no pushes are taken here: set ROOMS_PUSH_PORT, or say where with --url")
    return f"http://{HOST}:{port}"


def _signers(feed: "Feed") -> str:
    return "1 signer" if len(feed.symbols) == 1 else f"{len(feed.symbols)} signers"


def _sentence(answer: "httpx.Response") -> str:
    try:
        return str(answer.json()["error"]["sentence"])
    except (ValueError, LookupError, TypeError):
        return answer.reason_phrase


async def _register(settings: "Settings", feed: "Feed", reason: str) -> None:
    from storage.connections import open_connections, transaction

    async with (
        open_connections(settings.dsn, name="push", size_max=1) as connections,
        transaction(connections) as connection,
    ):
        await write(connection, feed, reason)
    places = f"{feed.scale} decimal {'place' if feed.scale == 1 else 'places'}"
    Console().print(
        f"[bold]{feed.name}[/] in {feed.unit}, {places}: "
        f"{_signers(feed)}, {feed.guards.quorum} must agree",
        highlight=False,
        soft_wrap=True,
    )


async def _revoke(settings: "Settings", name: str, signer: str, reason: str) -> None:
    from rooms.refusal import CannotGoOn
    from storage import feeds
    from storage.connections import open_connections, transaction

    async with (
        open_connections(settings.dsn, name="push", size_max=1) as connections,
        transaction(connections) as connection,
    ):
        feed = (await feeds.named(connection, [name])).get(name)
        if feed is None or signer not in feed.symbols:
            raise CannotGoOn(f"{name} knows no signer {signer}; `rooms push list` shows them")
        left = {each: hexed for each, hexed in feed.symbols.items() if each != signer}
        await write(connection, replace(feed, symbols=left), f"revoked {signer}; {reason}")
    Console().print(f"{name} takes nothing from {signer} any more; left: {len(left)}")


async def write(connection: "Connection", feed: "Feed", reason: str) -> None:
    """Write a push feed down, and the act into the audit log.

    Raises:
        CannotGoOn: when the feed cannot be so; nothing is changed then.
    """
    from cli.place import operator
    from rooms.refusal import CannotGoOn, Impossible
    from storage import audit_log, feeds

    try:
        await feeds.upsert(connection, feed, standing=True)
    except Impossible as wrong:
        raise CannotGoOn(f"{wrong}; nothing was changed") from None
    await audit_log.note(connection, "push", feed.name, reason, operator())


async def _show(settings: "Settings") -> None:
    from storage import feeds
    from storage.connections import open_connections

    async with (
        open_connections(settings.dsn, name="push", size_max=1) as connections,
        connections.acquire() as connection,
    ):
        known = await feeds.every(connection)
    console = Console()
    found = [feed for name, feed in known.items() if name.startswith(PREFIX)]
    for feed in found:
        console.print(
            f"[bold]{feed.name}[/] in {feed.unit}: {feed.guards.quorum} of {len(feed.symbols)} "
            f"must agree, at most {feed.guards.tick_age_ms_max // 1000} s old",
            highlight=False,
        )
        for signer, hexed in sorted(feed.symbols.items()):
            console.print(f"  {signer} {hexed}", highlight=False, soft_wrap=True)
    if not found:
        console.print("no push feed is registered")


def _settings(folder: Path) -> "Settings":
    from cli.place import settings_for_a_person

    return settings_for_a_person(folder)
