"""Demo: the whole story by itself, told as it happens, and then reckoned to the lamport.

In        a seed for the sandbox market; which story.
Out       the story; a table of every balance before and after, and of every transaction; JSON of
          the same facts when asked for.
Promises  four people act through the real bot; every room ends as the story says; its evidence is
          worked out again; anything that does not add up is named, and the exit code is not 0.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chain.keystore import Keystore, PassphraseCost
from chain.rpc import Rpc
from chain.settings import RpcSettings
from chain.signer import KeyPath
from chain.trouble import NotKnown
from cli.clock import now_ms
from cli.embedded import SANDBOX, Stack
from cli.hearing import faults_of, heard_from
from cli.plot import RECORDED, STORIES, WITHDRAWN, PlannedRoom, Plot, Signed, Steering
from cli.ports import HOST, Ports
from cli.scale import more_ports_of
from cli.settings import read_settings_from
from cli.signers import Signers
from cli.story import Actor
from cli.supervisor import Supervisor
from cli.up import running_stack
from cli.verifying import Asked, verified
from rooms.decimal_text import text_from_whole
from rooms.evidence import evidence_hash
from rooms.refusal import CannotGoOn
from rooms.room import Outcome, State, room_from_code
from rooms.units import BPS_WHOLE, Address, Lamports
from sandbox.telegram.person import Person
from storage import books
from storage.books import Books
from storage.connections import Connections, open_connections

SETTLE_LIMIT_S: Final = 90.0
ENDING_LIMIT_S: Final = 120.0
STEER_LIMIT_S: Final = 30.0
WIDE: Final = 140
_PRICE: Final = re.compile(r"\{([A-Z]+)([+-][0-9]+)\}")
_COLOURS = {"Ann": "magenta", "Bo": "cyan", "Cy": "green", "Di": "yellow"}


class DoesNotAddUpError(CannotGoOn):
    """Something is not as it must be; the message names everything that was found."""


class Teller:
    """Tell the story to a person, or keep it for the JSON."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._begun = time.monotonic()
        self.told: list[dict[str, Any]] = []

    def __call__(self, who: str, what: str) -> None:
        seconds = time.monotonic() - self._begun
        self.told.append({"at_s": round(seconds, 1), "who": who, "what": what})
        if self._quiet:
            return
        text = Text(f"{seconds:5.1f} s  ", style="dim")
        text.append(f"{who:<5}", style=_COLOURS.get(who, "bold"))
        text.append(f" {what}", style="default")
        self._console.print(text, soft_wrap=True)


async def play(
    *,
    seed: int,
    as_json: bool,
    folder: Path | None,
    story: str = "prices",
    kill: str | None = None,
    recording: Path | None = None,
    apache: bool = False,
    turnkey: bool = False,
    copies: Mapping[str, int] | None = None,
) -> None:
    """Play it, print it, and raise when it does not add up.

    Args:
        seed: which sandbox market; the same seed, the same prices.
        as_json: print facts instead of a story.
        folder: where the data is kept; None keeps it nowhere.
        story: which of `cli.plot.STORIES`.
        kill: end this process with -9 while the rooms are watched; then rooms may be void.
        recording: play on captured frames, served at their own pace, instead of the market.
        apache: on Apache Kafka instead of our own broker.
        turnkey: with keys in a Turnkey organisation instead of the keystore.
        copies: how many of a process there are, where that is not one.

    Raises:
        DoesNotAddUpError: with everything that was found.
    """
    console = Console(stderr=as_json, width=None if sys.stdout.isatty() else WIDE)
    tell = Teller(console, quiet=as_json)
    async with AsyncExitStack() as held:
        if folder is None:
            folder = Path(held.enter_context(TemporaryDirectory(prefix="rooms-demo-")))
        stack = Stack(
            folder=folder.resolve(), ports=Ports.free(), venues=SANDBOX, seed=seed,
            logs_to_files=True, recording=recording, apache=apache, turnkey=turnkey,
            copies=copies or {},
            more_ports=more_ports_of(copies or {}),
            extra={"QUORUM": "1"} if recording else {},
        )  # fmt: skip
        supervisor = await held.enter_async_context(running_stack(stack, console))
        world = await held.enter_async_context(
            _world(stack, supervisor, tell, RECORDED if recording else STORIES[story], seed)
        )
        before, after, codes = await world.play(kill)
        faults = await world.reckon(after, strict=kill is None)
        faults += await world.verify(after)
        if as_json:
            sys.stdout.write(json.dumps(_facts(stack, tell, before, after, codes, faults)) + "\n")
        else:
            _show(console, before, after, names_of(codes))
    # Raised only when everything has stopped, so that it is the one line that is left.
    if faults:
        raise DoesNotAddUpError("it does not add up: " + "; ".join(faults))
    if not as_json:
        console.print("\n[green]✔[/] the ledger equals the chain, to the lamport\n")


@dataclass(slots=True)
class World:
    """The running stack, and the people in it."""

    stack: Stack
    supervisor: Supervisor
    connections: Connections
    rpcs: tuple[Rpc, ...]
    venues: httpx.AsyncClient
    actors: dict[str, Actor]
    tell: Teller
    plot: Plot
    outside: Address
    signers: Signers | None
    codes: dict[str, str] = field(default_factory=dict)

    async def play(self, kill: str | None) -> tuple[Books, Books, dict[str, str]]:
        """Play the story; return the books before and after, and the code of each room."""
        async with asyncio.TaskGroup() as tasks:
            saying = None
            if self.signers is not None:
                await self.signers.register(self.connections)
                saying = tasks.create_task(self.signers.say())
            before = await self._play(kill)
            if saying is not None:
                saying.cancel()
        return before, await self.at_rest(), self.codes

    async def _play(self, kill: str | None) -> Books:
        await _together(actor.arrive() for actor in self.actors.values())
        before = await self.books()
        for how in self.plot.before:
            await self._steer(how)
        prices = await self._prices()
        opened = await _gathered(self._open(room, prices) for room in self.plot.rooms)
        codes = {room.feed: code for room, code in zip(self.plot.rooms, opened, strict=True)}
        self.codes |= codes
        await _together(self._bets_of(name, codes) for name in self.actors)
        await _together(
            self.actors[bet.name].hear_of(codes[bet.feed], "Watching")
            for bet in {bet.feed: bet for bet in self.plot.bets}.values()
        )
        if kill is not None:
            self.tell("demo", f"kills {kill} with -9")
            self.supervisor.kill(kill)
        if self.plot.turn:
            self.tell("demo", self.plot.turn_said)
        for how in self.plot.turn:
            await self._steer(how)
        if self.signers is not None:
            self.signers.turn()
        await _together(self._hear_the_end(name, codes, kill) for name in self.actors)
        await self._settled()
        await self.actors[self.plot.withdraws].withdraw(WITHDRAWN, self.outside)
        return before

    async def books(self) -> Books:
        """Read the books now."""
        async with self.connections.acquire() as connection:
            return await books.read(connection)

    async def at_rest(self) -> Books:
        """Wait until nothing moves any more, and read the books."""

        async def rests() -> Books | None:
            now = await self.books()
            return None if now.waiting or await self._differences(now) else now

        now: Books = await _until(rests, SETTLE_LIMIT_S, self.books)
        return now

    async def reckon(self, after: Books, *, strict: bool) -> list[str]:
        """Say everything that does not add up; ``strict`` expects the outcomes of the story."""
        expected = {room.feed: room.endings for room in self.plot.rooms}
        names = names_of(self.codes)
        faults = after.faults() + await self._differences(after)
        if after.waiting:
            faults.append(f"{after.waiting} transfers have not ended")
        for line in after.rooms:
            name = names[line.id]
            if line.state is not State.PAID:
                faults.append(f"the room on {name} is {line.state}, not PAID")
            if strict and line.outcome not in expected[name]:
                faults.append(f"the room on {name} ended {line.outcome} ({line.void_reason})")
        if len(after.rooms) != len(self.plot.rooms):
            faults.append(f"{len(after.rooms)} rooms were opened, not {len(self.plot.rooms)}")
        got = await self._at_chain(self.rpcs[0], [self.outside])
        for name, url in self.stack.gateways.items():
            heard = await heard_from(url, len(after.rooms))
            faults += faults_of(name, heard, len(after.rooms))
        if got[self.outside] != _lamports(WITHDRAWN):
            faults.append(f"the outside address has {got[self.outside]} lamports")
        return faults

    async def verify(self, after: Books) -> list[str]:
        """Work every settlement out again: offline, on the chain, and from the recording."""
        faults: list[str] = []
        names = names_of(self.codes)
        for line in after.rooms:
            room = names[line.id]
            asked = Asked(
                what=str(line.id),
                url=f"http://{HOST}:{self.stack.ports.gateway}",
                rpcs=[self.stack.solana_url],
                segments=[self.stack.folder / "recordings"],
            )
            bundle, findings = await verified(asked, None)
            found = [f"{room}: {each.what}: {each.fault}" for each in findings if each.fault]
            if found:
                faults += found
            else:
                name = evidence_hash(bundle)[:16]
                self.tell(
                    "demo",
                    f"{room}: evidence {name}… holds, offline, on chain and from the recording: "
                    f"{len(findings)} checks",
                )
        return faults

    async def _differences(self, now: Books) -> list[str]:
        """Compare every address with the finalized chain, on every provider."""
        wanted = {line.address: line.lamports for line in now.addresses}
        found: list[str] = []
        for rpc in self.rpcs:
            try:
                there = await self._at_chain(rpc, list(wanted))
            except NotKnown as trouble:
                return [str(trouble)]
            found += [
                f"{rpc.name}: {address} has {there[address]} lamports, the ledger says {lamports}"
                for address, lamports in wanted.items()
                if there[address] != lamports
            ]
        return found

    async def _at_chain(self, rpc: Rpc, addresses: list[Address]) -> dict[Address, Lamports]:
        _, there = await rpc.balances(addresses, "finalized")
        return {address: there[address] or Lamports(0) for address in addresses}

    async def _open(self, room: PlannedRoom, prices: Mapping[str, int]) -> str:
        typed = None if room.typed is None else _filled(room.typed, prices)
        return await self.actors[room.maker].make_room(
            room.feed, room.target, room.lock, room.deadline, typed
        )

    async def _prices(self) -> Mapping[str, int]:
        """Return what every coin of the market costs, times 10^12, where an expression asks."""
        if not any(room.typed for room in self.plot.rooms):
            return {}
        answer = (await self.venues.get("/state")).raise_for_status()
        prices: dict[str, int] = answer.json()["prices_e12"]
        return prices

    async def _bets_of(self, name: str, codes: dict[str, str]) -> None:
        for bet in self.plot.bets:
            if bet.name == name:
                await self.actors[name].bet(codes[bet.feed], bet.side, bet.sol)

    async def _settled(self) -> None:
        """Wait until every room is paid."""

        async def paid() -> bool:
            now = await self.books()
            return all(line.state is State.PAID for line in now.rooms)

        await _until(paid, SETTLE_LIMIT_S, _never)

    async def _hear_the_end(self, name: str, codes: dict[str, str], kill: str | None) -> None:
        """Let each person tell how its bets ended."""
        endings = {room.feed: room.endings for room in self.plot.rooms}
        for bet in self.plot.bets:
            if bet.name == name:
                ending = "You won|You lost|came back"
                if kill is None and len(endings[bet.feed]) == 1:
                    ending = _ending(endings[bet.feed][0], bet.side)
                await self.actors[name].hear_of(codes[bet.feed], ending, ENDING_LIMIT_S)

    async def _steer(self, how: Steering) -> None:
        body = {"coin": how.feed.partition("/")[0], **how.facts}

        async def steered() -> bool:
            try:
                (await self.venues.post(f"/{how.lever}", json=body)).raise_for_status()
            except httpx.TransportError:
                return False  # it is being started again
            return True

        if not await _until(steered, STEER_LIMIT_S, _never):
            raise OSError("the sandbox venues cannot be steered")


def names_of(codes: Mapping[str, str]) -> dict[int, str]:
    """Return what the story calls each room."""
    return {room_from_code(code): name for name, code in codes.items()}


def _filled(typed: str, prices: Mapping[str, int]) -> str:
    """Put prices, so many basis points off, where an expression has places for them."""

    def price(found: re.Match[str]) -> str:
        there = prices[found[1]] * (BPS_WHOLE + int(found[2])) // BPS_WHOLE
        return text_from_whole(there // 10**8, 4)

    return _PRICE.sub(price, typed)


def _ending(outcome: Outcome, side: str) -> str:
    if outcome is Outcome.VOID:
        return "came back"
    return "was paid" if outcome.value == side else "You lost"


@asynccontextmanager
async def _world(
    stack: Stack, supervisor: Supervisor, tell: Teller, plot: Plot, seed: int
) -> AsyncIterator[World]:
    settings = read_settings_from(stack.environment())
    async with AsyncExitStack() as held:
        connections = await held.enter_async_context(
            open_connections(settings.database_url.get_secret_value(), name="demo", size_max=2)
        )
        rpcs = [
            await held.enter_async_context(Rpc(endpoint, RpcSettings()))
            for endpoint in settings.endpoints
        ]
        venues = await held.enter_async_context(
            httpx.AsyncClient(base_url=stack.venues_control_url, timeout=10, trust_env=False)
        )
        actors = {
            name: Actor(await held.enter_async_context(Person.joins(stack.page_url, name)), tell)
            for name in _COLOURS
        }
        yield World(
            stack=stack,
            supervisor=supervisor,
            connections=connections,
            rpcs=tuple(rpcs),
            venues=venues,
            actors=actors,
            tell=tell,
            plot=plot,
            outside=await _outside_address(stack, seed),
            signers=None if plot.signed is None else _signers(stack, plot.signed),
        )


def _signers(stack: Stack, plan: Signed) -> Signers:
    return Signers(plan, stack.folder, f"http://{HOST}:{stack.ports.push}", now_ms)


async def _outside_address(stack: Stack, seed: int) -> Address:
    """Make an address that is not ours, as a person's own wallet elsewhere would be."""
    drawn = Random(seed).randbytes  # noqa: S311 - a wallet of a demo, drawn from its seed
    elsewhere = Keystore.create(
        stack.folder / "elsewhere", "a wallet elsewhere", drawn,
        PassphraseCost(memory_kib=64, rounds=1, lanes=1),
    )  # fmt: skip
    return await elsewhere.address(KeyPath.user(seed))


async def _until(
    done: "Callable[[], Awaitable[Any]]", limit_s: float, instead: "Callable[[], Awaitable[Any]]"
) -> Any:  # noqa: ANN401 - whatever `done` gives
    """Ask again and again until something is so; give ``instead`` when time is up."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        answer = await done()
        if answer:
            return answer
        await asyncio.sleep(0.2)
    return await instead()


async def _never() -> None:
    return None


async def _together(work: "Any") -> None:  # noqa: ANN401 - coroutines of any kind
    await _gathered(work)


async def _gathered(work: "Any") -> list[Any]:  # noqa: ANN401 - coroutines of any kind
    async with asyncio.TaskGroup() as tasks:
        begun = [tasks.create_task(each) for each in work]
    return [task.result() for task in begun]


def _lamports(sol: str) -> Lamports:
    whole, _, fraction = sol.partition(".")
    return Lamports(int(whole) * 10**9 + int(fraction.ljust(9, "0")))


def _sol(lamports: int) -> str:
    return text_from_whole(lamports, 9)


def _show(console: Console, before: Books, after: Books, names: Mapping[int, str]) -> None:
    earlier = {line.address: line.lamports for line in before.addresses}
    table = Table(title="\nBalances on chain, in SOL", title_justify="left")
    for heading in ("whose", "address"):
        table.add_column(heading)
    for heading in ("before", "after", "change", "may be claimed"):
        table.add_column(heading, justify="right")
    for line in after.addresses:
        whose = line.name or (names[line.room] + " vault" if line.room else line.kind)
        was = earlier.get(line.address, 0)
        claimed = "" if line.claimed is None else _sol(line.claimed)
        table.add_row(
            whose.replace("_", " "), _short(line.address), _sol(was), _sol(line.lamports),
            f"{'+' if line.lamports > was else ''}{_sol(line.lamports - was)}", claimed,
        )  # fmt: skip
    console.print(table)
    endings = Table(title="\nRooms", title_justify="left")
    for heading in ("room on", "outcome", "why"):
        endings.add_column(heading)
    for heading in ("pool", "left the vault"):
        endings.add_column(heading, justify="right")
    for room in after.rooms:
        endings.add_row(
            names[room.id], str(room.outcome), room.void_reason or "", _sol(room.pool),
            _sol(room.left_vault),
        )  # fmt: skip
    console.print(endings)
    console.print(f"\n{len(after.transactions)} transactions, in the order of the chain:")
    for one in after.transactions:
        console.print(
            f"  [dim]{one.slot:>6}[/] {one.signature} {_sol(one.lamports):>12}  {one.what[:60]}",
            soft_wrap=True, highlight=False,
        )  # fmt: skip


def _facts(
    stack: Stack,
    tell: Teller,
    before: Books,
    after: Books,
    codes: dict[str, str],
    faults: list[str],
) -> dict[str, Any]:
    earlier = {line.address: line.lamports for line in before.addresses}
    names = names_of(codes)
    return {
        "seed": stack.seed,
        "broker": stack.broker,
        "processes": [child.name for child in stack.processes()],
        "story": tell.told,
        "rooms": [
            {
                "feed": names[line.id], "room": str(line.id), "code": codes[names[line.id]],
                "outcome": line.outcome, "reason": line.void_reason,
                "pool": str(line.pool), "left_vault": str(line.left_vault),
            }
            for line in after.rooms
        ],
        "balances": [
            {
                "kind": line.kind, "name": line.name, "address": line.address,
                "before": str(earlier.get(line.address, 0)), "after": str(line.lamports),
            }
            for line in after.addresses
        ],
        "transactions": [
            {
                "signature": one.signature, "slot": one.slot, "what": one.what,
                "lamports": str(one.lamports),
            }
            for one in after.transactions
        ],
        "faults": faults,
        "adds_up": not faults,
    }  # fmt: skip


def _short(address: str) -> str:
    return f"{address[:4]}…{address[-4:]}"
