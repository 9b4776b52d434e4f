"""Main: the `rooms` command.

Promises  `--help` says what each command does; whatever cannot work is one clear line and an exit
          code that is not 0; Ctrl-C is no error.
"""

import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli import pushing, sandbox, tokens, turnkey
from cli.logs import set_up_logs
from cli.ports import BASE, HOST, Ports
from cli.reason import Reason, stated
from cli.running import run_until_told
from cli.settings import BadSettings, Settings, read_settings

if TYPE_CHECKING:
    from storage.flags import Flag

app = typer.Typer(
    help="Bets in Telegram on whether a price reaches a target in time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(turnkey.app, name="turnkey")
app.add_typer(pushing.app, name="push")
app.add_typer(tokens.app, name="token")

Folder = Annotated[Path, typer.Option("--data", help="Where everything is kept.")]
What = Annotated[str, typer.Argument(help="bets, rooms, withdrawals, signing or all")]
Seed = Annotated[int, typer.Option(help="Which sandbox market: the same seed, the same prices.")]
Scale = Annotated[
    list[str] | None,
    typer.Option("--scale", help="How many of a process: worker=3. Once for each process."),
]
Broker = Annotated[
    str, typer.Option("--kafka", help="The broker: embedded, or apache (needs java, and mvn once).")
]
Turnkey = Annotated[
    bool,
    typer.Option("--turnkey", help="Keys lie in a Turnkey organisation of this machine's own."),
]


@app.command()
def up(
    data: Folder = Path(".rooms"),
    ports: Annotated[
        int, typer.Option(help="The first of the ports that are used.", min=1_024, max=65_522)
    ] = BASE,
    venues: Annotated[
        str, typer.Option(help="Where prices come from: auto, public or sandbox.")
    ] = "auto",
    recording: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="Serve captured frames (a file or a folder) through the sandbox venues.",
        ),
    ] = None,
    quorum: Annotated[
        int | None, typer.Option(help="How many sources must agree; 3 unless said.", min=1, max=5)
    ] = None,
    logs: Annotated[str, typer.Option(help="How to log: people or json.")] = "people",
    kafka: Broker = "embedded",
    in_turnkey: Turnkey = False,
    scale: Scale = None,
    seed: Seed = 1,
) -> None:
    """Start everything on this machine and print where the chat page is."""
    from cli.embedded import SANDBOX, Stack
    from cli.scale import more_ports_of
    from cli.up import choose_venues
    from cli.up import up as start

    if venues not in ("auto", "public", "sandbox"):
        raise typer.BadParameter("choose auto, public or sandbox", param_hint="--venues")
    if logs not in ("people", "json"):
        raise typer.BadParameter("choose people or json", param_hint="--logs")
    copies = _copies(scale)

    async def work() -> None:
        chosen = SANDBOX if recording else await choose_venues(venues)
        stack = Stack(
            folder=data.resolve(), ports=Ports.from_base(ports), venues=chosen, seed=seed,
            recording=recording.resolve() if recording else None,
            log_format="json" if logs == "json" else "people", coloured=sys.stdout.isatty(),
            apache=_is_apache(kafka), turnkey=in_turnkey, copies=copies,
            more_ports=more_ports_of(copies),
            extra={"QUORUM": str(quorum)} if quorum else {},
        )  # fmt: skip
        await start(stack, Console())

    run_until_told(work())


@app.command()
def demo(
    seed: Seed = 1,
    story: Annotated[
        str,
        typer.Option(
            help="prices; or conditions: a market cap, a condition, a value that people sign."
        ),
    ] = "prices",
    as_json: Annotated[bool, typer.Option("--json", help="Print facts as JSON.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Keep the demo's data here instead of nowhere.")
    ] = None,
    kill: Annotated[
        str | None,
        typer.Option(help="End this process with -9 while the rooms are watched, for trying out."),
    ] = None,
    recording: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="Play on captured frames (a file or a folder) at their own pace."
        ),
    ] = None,
    kafka: Broker = "embedded",
    in_turnkey: Turnkey = False,
    scale: Scale = None,
) -> None:
    """Play the whole story by itself and check that every lamport adds up."""
    from cli.demo import play
    from cli.embedded import names_with_copies, servers_needed
    from cli.plot import STORIES

    copies = _copies(scale)
    killable = [*names_with_copies(copies), *servers_needed(turnkey=in_turnkey)]
    if kill is not None and kill not in killable:
        raise typer.BadParameter(f"choose {', '.join(killable)}", param_hint="--kill")
    if story not in STORIES:
        raise typer.BadParameter(f"choose {' or '.join(STORIES)}", param_hint="--story")
    run_until_told(
        play(
            seed=seed, as_json=as_json, folder=data, story=story, kill=kill, recording=recording,
            apache=_is_apache(kafka), turnkey=in_turnkey, copies=copies,
        )
    )  # fmt: skip


@app.command()
def migrate() -> None:
    """Bring the database, the topics and the feeds up to this version."""
    from cli.migrate import migrate_all

    settings = _settings("migrate")

    async def work() -> None:
        applied = await migrate_all(settings)
        Console().print("\n".join(applied) if applied else "everything is up to date already")

    run_until_told(work())


@app.command()
def keystore() -> None:
    """Make custody's keystore where ROOMS_KEYSTORE says, once; it is never written over."""
    from cli.keystore import make_keystore

    run_until_told(make_keystore(_settings("keystore")))


@app.command()
def doctor(data: Folder = Path(".rooms")) -> None:
    """Say in plain words what is reachable and what is misconfigured."""
    from cli.doctor import examine

    run_until_told(examine(data.resolve()))


@app.command()
def pause(what: What, reason: Reason, data: Folder = Path(".rooms")) -> None:
    """Stop new bets, rooms, withdrawals or signatures; never watching, deciding or posting."""
    from cli.pausing import pause as close

    flag = _flag(what)
    run_until_told(close(_settings_here(data), flag, reason))


@app.command()
def resume(
    what: What,
    reason: Reason,
    data: Folder = Path(".rooms"),
    despite: Annotated[
        bool, typer.Option("--despite", help="Though the ledger shows a breach.")
    ] = False,
) -> None:
    """Open what was paused, unless the ledger shows a breach."""
    from cli.pausing import resume as reopen

    flag = _flag(what)
    run_until_told(reopen(_settings_here(data), flag, reason, despite=despite))


@app.command()
def restore(
    begin: Annotated[
        bool, typer.Option("--begin", help="Close everything and have the chain read back.")
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option(help="Why it begins; it is written down for good.", callback=stated),
    ] = None,
    data: Folder = Path(".rooms"),
    give_up: Annotated[
        bool, typer.Option("--set-aside", help="What cannot be placed, so that it can end.")
    ] = False,
) -> None:
    """Say how far a restore is; after a backup was restored, --begin one."""
    from cli import restoring

    if begin and give_up:
        raise typer.BadParameter("begin a restore, or set aside what is left of one")
    if begin and reason is None:
        sys.exit("say why: --reason")
    if reason is not None and not begin:
        sys.exit("only `rooms restore --begin` takes a reason; nothing was changed")
    settings = _settings_here(data)
    if reason is not None:
        run_until_told(restoring.begin(settings, reason))
    elif give_up:
        run_until_told(restoring.give_up(settings))
    else:
        run_until_told(restoring.tell(settings))


@app.command()
def audit(
    data: Folder = Path(".rooms"),
    as_json: Annotated[bool, typer.Option("--json", help="Print facts as JSON.")] = False,
    leaves: Annotated[
        Path | None,
        typer.Option(help="Write every claim with its salt and proof into this file; secret."),
    ] = None,
    adopt_head: Annotated[
        bool,
        typer.Option("--adopt-head", help="Keep the end of the audit log as it is as its head."),
    ] = False,
) -> None:
    """Verify the audit log; compare ledger and chain; say what is owed and what there is."""
    from cli.auditing import run_audit

    run_until_told(
        run_audit(_settings_here(data), as_json=as_json, leaves=leaves, adopt_head=adopt_head)
    )


@app.command()
def simulate(
    seeds: Annotated[str, typer.Option(help="Which: 1..1000, or one such as 17.")] = "1..100",
    jobs: Annotated[int, typer.Option(help="How many are played side by side.", min=1)] = 2,
    tell: Annotated[
        bool, typer.Option("--tell", help="Tell everything that happens, to find a failure.")
    ] = False,
    sniper: Annotated[
        int,
        typer.Option(
            help="Play so many rooms of each kind against one who bets last, knowing more."
        ),
    ] = 0,
) -> None:
    """Play seeds of the simulation: everything goes wrong, and no lamport may be lost."""
    if sniper:
        from cli.sniper import simulate as snipe

        if not snipe(sniper, 1, Console()):
            sys.exit(1)
        return
    from cli.simulate import BadSeedsError, seeds_of
    from cli.simulate import simulate as play

    try:
        wanted = seeds_of(seeds)
    except BadSeedsError as error:
        raise typer.BadParameter(str(error), param_hint="--seeds") from None
    if not play(wanted, jobs=jobs, tell=tell, console=Console()):
        sys.exit(1)


@app.command()
def tail(
    what: Annotated[str, typer.Argument(help="prices or settlements")],
    url: Annotated[
        str | None,
        typer.Option(help="Where the gateway is; that of the stack in --data unless said."),
    ] = None,
    feeds: Annotated[
        str, typer.Option(help="Which feeds' prices, with commas between.")
    ] = "SOL/USD,BTC/USD,ETH/USD",
    cursor: Annotated[int | None, typer.Option(help="Go on after this number.")] = None,
    data: Folder = Path(".rooms"),
) -> None:
    """Follow live prices or settlement events, one JSON line each, without missing one."""
    from cli.tail import follow

    if what not in ("prices", "settlements"):
        raise typer.BadParameter("follow prices or settlements", param_hint="WHAT")
    if url is None:
        url = f"ws://{HOST}:{_settings_here(data).gateway_port}"
    run_until_told(follow(what, url, feeds, cursor))


@app.command()
def feeds() -> None:
    """Run the process that hears the venues."""
    from cli.processes.feeds import run as run_feeds

    _run_process("feeds", run_feeds)


@app.command()
def worker() -> None:
    """Run the process that decides prices, bets, settlements and withdrawals."""
    from cli.processes.worker import run as run_worker

    _run_process("worker", run_worker)


@app.command()
def custody() -> None:
    """Run the one process that signs and sends."""
    from cli.processes.custody import run as run_custody

    _run_process("custody", run_custody)


@app.command()
def bot() -> None:
    """Run the process that talks to people."""
    from cli.processes.bot import run as run_bot

    _run_process("bot", run_bot)


@app.command()
def auditor() -> None:
    """Run the process that checks that money adds up, and pauses when it does not."""
    from cli.processes.auditor import run as run_auditor

    _run_process("auditor", run_auditor)


@app.command()
def gateway() -> None:
    """Run the process that streams prices and settlement events to programs."""
    from cli.processes.gateway import run as run_gateway

    _run_process("gateway", run_gateway)


@app.command()
def record() -> None:
    """Run the process that keeps everything that the feeds' logs carried, for replay."""
    from cli.processes.recorder import run as run_recorder

    _run_process("recorder", run_recorder)


@app.command()
def replay(
    files: Annotated[
        list[Path], typer.Argument(help="Segments of a recording, or folders of them.")
    ],
    feed: Annotated[
        list[str] | None, typer.Option(help="Only this feed; may be given again.")
    ] = None,
    speed: Annotated[
        float, typer.Option(help="Times as fast as it was; 0 is as fast as possible.", min=0)
    ] = 0,
    to: Annotated[
        str | None, typer.Option(help="Write what it tells into this file, a JSON line each; or -.")
    ] = None,
    until: Annotated[
        int | None, typer.Option(help="No segment that begins after this time, in milliseconds.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Compare with the database of the embedded stack in this folder."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with the database of the ROOMS_* variables.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print facts as JSON.")] = False,
) -> None:
    """Play a recording again: the same prices, crossings and outcomes, byte for byte."""
    from cli.replaying import Wish, run_replay
    from rooms.units import UnixMs

    against = _settings_here(data or Path(".rooms")) if data or compare else None
    wish = Wish(
        files=files, feeds=frozenset(feed or ()), speed=speed, to=to, as_json=as_json,
        until=None if until is None else UnixMs(until),
    )  # fmt: skip
    run_until_told(run_replay(wish, against))


Gateway = Annotated[
    str | None,
    typer.Option("--url", help="Where a gateway is; without one the database is asked."),
]
RoomName = Annotated[str, typer.Argument(help="The room's code or number.")]


@app.command()
def evidence(room: RoomName, url: Gateway = None, data: Folder = Path(".rooms")) -> None:
    """Print everything that a room's settlement follows from, as it was hashed."""
    from cli.verifying import run_evidence

    settings = None if url else _settings_here(data)
    run_until_told(run_evidence(room, url, settings))


@app.command()
def verify(
    what: Annotated[
        str, typer.Argument(help="A room, a signature of its settlement, or a file of evidence.")
    ],
    url: Gateway = None,
    data: Folder = Path(".rooms"),
    rpc: Annotated[
        list[str] | None,
        typer.Option(help="Compare with the chain at this address; may be given again."),
    ] = None,
    segments: Annotated[
        list[Path] | None,
        typer.Option(help="Replay the recording in this folder or file too; may be given again."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print facts as JSON.")] = False,
) -> None:
    """Work a settlement out again from its evidence alone, and say what differs."""
    from cli.verifying import Asked, run_verify

    content = Path(what).read_bytes() if Path(what).is_file() else None
    asked = Asked(
        what=what, content=content, url=url, rpcs=tuple(rpc or ()),
        segments=tuple(segments or ()), as_json=as_json,
    )  # fmt: skip
    settings = None if url or content is not None else _settings_here(data)
    run_until_told(run_verify(asked, settings))


def run() -> None:
    """Be the `rooms` command."""
    try:
        app()
    except ModuleNotFoundError as missing:
        sys.exit(
            f"the package {missing.name} is not installed: `make run` installs what is needed, "
            "then starts"
        )


def _flag(what: str) -> "Flag":
    from storage.flags import Flag

    if what not in tuple(Flag):
        raise typer.BadParameter(f"choose one of {', '.join(Flag)}", param_hint="WHAT")
    return Flag(what)


def _settings_here(folder: Path) -> Settings:
    from cli.place import settings_for_a_person

    return settings_for_a_person(folder)


def _is_apache(broker: str) -> bool:
    if broker not in ("embedded", "apache"):
        raise typer.BadParameter("choose embedded or apache", param_hint="--kafka")
    return broker == "apache"


def _copies(scale: list[str] | None) -> Mapping[str, int]:
    from cli.scale import BadScaleError, copies_of

    try:
        return copies_of(scale or ())
    except BadScaleError as error:
        raise typer.BadParameter(str(error), param_hint="--scale") from None


def _settings(process: str) -> Settings:
    try:
        settings = read_settings()
    except BadSettings as error:
        sys.exit(f"rooms {process}: {error}")
    set_up_logs(process, settings.log_format)
    return settings


def _run_process(name: str, process: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    run_until_told(process(_settings(name)))
