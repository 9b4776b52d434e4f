"""Auditing: the whole audit at once, for a person or a program: log, ledger, chain, what is owed.

In        the settings; the head of the audit log, which is kept apart.
Out       a table of every address beside the chain, what is owed and what there is, the root over
          all claims; exit code 1 with everything that does not add up.
Promises  it changes nothing but what it is asked to write: the leaves, the adopted head.
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from chain.audit_heads import newest_heads
from chain.providers import Providers
from chain.settings import ChainSettings, DepositSettings
from cli.settings import Settings
from rooms import solvency
from rooms.audit import Breach, Difference, Place
from rooms.audit_log import BadRow, Head
from rooms.decimal_text import text_from_whole
from rooms.refusal import CannotGoOn
from rooms.solvency import Claim, Node
from rooms.units import Address, Lamports
from storage import addresses, audit, audit_log
from storage.audit import Owed
from storage.connections import Connection, Connections, open_connections
from streams.comparison import Compared, compare

ROWS_AT_ONCE: Final = 50_000
LOOKS: Final = 4
"""What is posted between two questions looks like a difference, and is none at the next look."""
LOOK_AGAIN_S: Final = 1.5
OTHERS: Final = "others"
"""The one claim that is no single person's: strangers' lamports, shares on their way."""
WIDE: Final = 140


class DoesNotAddUp(CannotGoOn):
    """Something is not as it must be; the message names everything that was found."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one audit found.

    Attributes:
        log: the end of the audit log, or its first bad row.
        reserves: what lies at our addresses by the provider that saw least; None when unknown.
        root: over every claim.
        heads: how many heads of the log on the chain are those of its rows; ``other_heads`` the
            rows of which the chain says something else.
    """

    log: Head | BadRow
    breaches: tuple[Breach, ...]
    compared: Compared
    owed: Owed
    reserves: int | None
    claims: tuple[Claim, ...]
    root: Node
    heads: int
    other_heads: tuple[int, ...]

    def faults(self) -> list[str]:
        """Say everything that does not add up."""
        found = [self.log.why] if isinstance(self.log, BadRow) else []
        found += [
            f"the chain has another hash of row {number} of the audit log"
            for number in self.other_heads
        ]
        found += [each.what for each in self.breaches]
        found += [each.what for each in self.compared.strangers]
        found += [_difference_said(each) for each in self.compared.unexplained]
        found += [
            f"{address} could not be compared"
            for address in self.compared.owners
            if address not in self.compared.differences
        ]
        if self.owed.unaccounted:
            found.append(f"{self.owed.unaccounted:+} lamports are owed to nobody")
        there = None if self.reserves is None else self.reserves + self.owed.arriving
        if there is not None and there < self.owed.liabilities:
            found.append(
                f"{self.owed.liabilities} lamports are owed to others and {there} are there"
            )
        return found


async def run_audit(
    settings: Settings, *, as_json: bool, leaves: Path | None, adopt_head: bool
) -> None:
    """Audit everything and print it.

    Args:
        settings: of the installation.
        as_json: facts instead of tables.
        leaves: where to write every claim with its salt and proof, for its owner; secret.
        adopt_head: keep the end of the log that is there as its head from now on.

    Raises:
        DoesNotAddUp: with everything that was found.
    """
    async with (
        open_connections(settings.dsn, name="audit", size_max=4) as connections,
        Providers.of(ChainSettings(endpoints=settings.endpoints)) as providers,
    ):
        if adopt_head:
            await _adopt_head(connections, settings.audit_head)
        report = await look(connections, providers, settings.audit_head)
    if leaves is not None:
        _write_leaves(leaves, report)
    if as_json:
        sys.stdout.write(json.dumps(facts(report)) + "\n")
    else:
        _show(Console(width=None if sys.stdout.isatty() else WIDE), report)
    faults = report.faults()
    if faults:
        raise DoesNotAddUp("it does not add up: " + "; ".join(faults))


async def look(connections: Connections, providers: Providers, head_path: Path) -> Report:
    """Look over everything once."""
    async with connections.acquire() as connection:
        log = await audit_log.verify_all(connection, audit_log.read_head(head_path))
        breaches = await _ledger(connection)
    compared = await compare(connections, providers, DepositSettings())
    for _ in range(LOOKS - 1):
        if not compared.unexplained and not compared.not_known:
            break
        await asyncio.sleep(LOOK_AGAIN_S)
        compared = await compare(connections, providers, DepositSettings())
    async with connections.acquire() as connection:
        owed = await audit.owed(connection)
    heads, others = await _heads(connections, providers)
    claims = _claims(owed, secrets.token_bytes(solvency.SALT_BYTES))
    return Report(
        log,
        tuple(breaches),
        compared,
        owed,
        _reserves(compared),
        claims,
        solvency.root(claims),
        heads,
        others,
    )


async def _heads(connections: Connections, providers: Providers) -> tuple[int, tuple[int, ...]]:
    """Compare the heads on the chain with the log: how many agree, and rows that do not."""
    async with connections.acquire() as connection:
        operator = await addresses.operator(connection)
        if operator is None:
            return 0, ()
        told = await providers.first(lambda rpc: newest_heads(rpc, operator.fee_payer))
        there = {head.number: await audit_log.hash_at(connection, head.number) for head, _ in told}
    others = sorted({head.number for head, _ in told if there[head.number] != head.hash})
    return len(told) - len(others), tuple(others)


def facts(report: Report) -> dict[str, Any]:
    """Return what was found as JSON; amounts are text, so that every reader keeps them exact."""
    faults = report.faults()
    log = report.log
    return {
        "log": {"bad_row": log.number, "why": log.why}
        if isinstance(log, BadRow)
        else {"rows": log.number, "head": log.hash},
        "heads_on_chain": {"agree": report.heads, "differ": list(report.other_heads)},
        "addresses": [
            {
                "address": address, "kind": report.compared.owners[address].kind,
                "ledger": str(report.compared.ledger[address]),
                "chain": [
                    {
                        "provider": each.lying.provider, "slot": each.lying.slot,
                        "lamports": str(each.lying.lamports), "ledger": str(each.ledger),
                        "waiting": str(each.waiting), "unexplained": str(each.unexplained),
                    }
                    for each in seen
                ],
            }
            for address, seen in _sorted(report.compared)
        ],
        "not_known": list(report.compared.not_known),
        "liabilities": str(report.owed.liabilities),
        "own": str(report.owed.own),
        "arriving": str(report.owed.arriving),
        "reserves": None if report.reserves is None else str(report.reserves),
        "root": {
            "hash": report.root.hash.hex(), "lamports": str(report.root.lamports),
            "claims": len(report.claims),
        },
        "faults": faults,
        "adds_up": not faults,
    }  # fmt: skip


async def _ledger(connection: Connection) -> list[Breach]:
    """Look over the ledger from its first entry."""
    found = await audit.whole(connection)
    end = (await audit.look(connection)).place
    low = Place()
    while low != end:
        high = Place(
            min(low.entry + ROWS_AT_ONCE, end.entry),
            min(low.transfer + ROWS_AT_ONCE, end.transfer),
            min(low.attempt + ROWS_AT_ONCE, end.attempt),
        )
        found += await audit.between(connection, low, high)
        low = high
    return found


async def _adopt_head(connections: Connections, path: Path) -> None:
    async with connections.acquire() as connection:
        led = await audit_log.verify_rows(connection)
    if isinstance(led, BadRow):
        raise DoesNotAddUp(f"the head of a log that is bad cannot be adopted: {led.why}")
    audit_log.write_head(path, led)


def _claims(owed: Owed, secret: bytes) -> tuple[Claim, ...]:
    """Return one claim a person, and one for what is no single person's."""
    amounts: Mapping[str, int] = {
        **{str(user): lamports for user, lamports in owed.people.items()},
        OTHERS: owed.stray + owed.shares,
    }
    return tuple(
        Claim(owner, Lamports(lamports), solvency.salt_of(secret, "audit", owner))
        for owner, lamports in amounts.items()
        if lamports > 0
    )


def _reserves(compared: Compared) -> int | None:
    """Return what lies at all our addresses, each by the provider that saw least."""
    if set(compared.differences) != set(compared.owners):
        return None
    return sum(min(each.lying.lamports for each in seen) for seen in compared.differences.values())


def _write_leaves(path: Path, report: Report) -> None:
    """Write every claim with its salt and its proof into a file that only we may read."""
    body = {
        "root": {"hash": report.root.hash.hex(), "lamports": str(report.root.lamports)},
        "leaves": [
            {
                "owner": claim.owner, "lamports": str(claim.lamports), "salt": claim.salt.hex(),
                "proof": [
                    {
                        "hash": step.beside.hash.hex(), "lamports": str(step.beside.lamports),
                        "side": "left" if step.left else "right",
                    }
                    for step in solvency.prove(report.claims, claim.owner)
                ],
            }
            for claim in report.claims
        ],
    }  # fmt: skip
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        json.dump(body, file)


def _sorted(compared: Compared) -> list[tuple[Address, Sequence[Difference]]]:
    def order(address: Address) -> tuple[str, str]:
        return compared.owners[address].kind, address

    return [
        (address, compared.differences.get(address, ()))
        for address in sorted(compared.owners, key=order)
    ]


def _show(console: Console, report: Report) -> None:
    table = Table(title="\nLedger and chain, in SOL", title_justify="left")
    for heading in ("whose", "address", "slot"):
        table.add_column(heading)
    for heading in ("ledger", "chain", "on the way", "unexplained"):
        table.add_column(heading, justify="right")
    for address, seen in _sorted(report.compared):
        kind = report.compared.owners[address].kind.replace("_", " ")
        if not seen:
            table.add_row(kind, address, "?", _sol(report.compared.ledger[address]), "?", "", "?")
        for each in seen if any(one.unexplained for one in seen) else seen[:1]:
            odd = each.unexplained
            table.add_row(
                kind, address, str(each.lying.slot), _sol(each.ledger), _sol(each.lying.lamports),
                _sol(each.waiting) if each.waiting else "",
                f"[red]{_sol(odd)} by {each.lying.provider}[/]" if odd else "",
            )  # fmt: skip
    console.print(table)
    for trouble in report.compared.not_known:
        console.print(f"[yellow]•[/] {trouble}")
    log = report.log
    if isinstance(log, BadRow):
        console.print(f"[red]✘[/] the audit log: {log.why}")
    else:
        console.print(f"[green]✔[/] the audit log: {log.number} rows, head {log.hash[:16]}…")
    said = (
        f"{report.heads} of {report.heads + len(report.other_heads)} heads on the chain are its own"
    )
    console.print(f"{'[red]✘[/]' if report.other_heads else '[green]✔[/]'} {said}")
    reserves = "unknown" if report.reserves is None else f"{_sol(report.reserves)} SOL"
    console.print(f"  owed to others   {_sol(report.owed.liabilities)} SOL")
    console.print(f"  the operator's   {_sol(report.owed.own)} SOL")
    console.print(f"  reserves         {reserves}")
    console.print(f"  not final yet    {_sol(report.owed.arriving)} SOL")
    console.print(
        f"  root             {report.root.hash.hex()} over {len(report.claims)} claims",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
    if not report.faults():
        console.print("\n[green]✔[/] the ledger equals the chain, address by address\n")


def _difference_said(each: Difference) -> str:
    return (
        f"{each.lying.lamports} lamports lie at {each.lying.address} at slot {each.lying.slot} by "
        f"{each.lying.provider}, the ledger says {each.ledger}, nothing explains "
        f"{each.unexplained:+}"
    )


def _sol(lamports: int) -> str:
    return text_from_whole(lamports, 9)
