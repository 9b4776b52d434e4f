"""Verifying: a settlement worked out again, by anybody, from its evidence alone.

In        a room, a transaction's signature, or a file; where gateway, chain and recording are.
Out       a table of what was checked; exit code 1 with everything that differs.
Promises  nothing is changed anywhere; offline unless told where the chain is; who asks the gateway
          needs neither database nor keys.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from chain.room_record import read_room, settled_memo_of
from chain.rpc import Rpc
from chain.settings import Endpoint, RpcSettings
from chain.trouble import NotKnown
from cli.settings import Settings
from rooms.base58 import bytes_from_base58
from rooms.canonical import canonical, content_hash, plain_of
from rooms.chain_record import compare
from rooms.evidence import Evidence, evidence_of
from rooms.feed_log import Decided, OpenRoom
from rooms.refusal import CannotGoOn, Impossible, Refused
from rooms.room import room_code, room_named
from rooms.units import Signature
from rooms.verification import Finding, verify
from storage import evidence as evidence_rows
from storage import recordings
from storage.connections import open_connections
from streams.replay import OfRoom, Replay, stretches

WIDE: Final = 140
ANSWER_LIMIT_S: Final = 30.0
SIGNATURE_BYTES: Final = 64


class EvidenceDiffersError(CannotGoOn):
    """A settlement does not follow from its evidence; the message says what differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be verified, and against what.

    Attributes:
        what: a room's code or number, or a signature of its settlement.
        content: of a file, instead of that.
        url: of a gateway; None asks the installation's database.
        rpcs: addresses of the chain; none leaves the chain out.
        segments: folders or files of the recording; none leaves it out.
    """

    what: str
    content: bytes | None = None
    url: str | None = None
    rpcs: Sequence[str] = ()
    segments: Sequence[Path] = ()
    as_json: bool = False


async def run_verify(asked: Asked, settings: Settings | None) -> None:
    """Verify and print.

    Raises:
        EvidenceDiffersError: with everything that differs.
        CannotGoOn: when there is nothing to verify, or the chain cannot be read.
    """
    bundle, findings = await verified(asked, settings)
    if asked.as_json:
        sys.stdout.write(json.dumps(facts(bundle, findings)) + "\n")
    else:
        _show(Console(width=None if sys.stdout.isatty() else WIDE), bundle, findings)
    faults = [f"{each.what}: {each.fault}" for each in findings if each.fault]
    if faults:
        raise EvidenceDiffersError("it does not follow: " + "; ".join(faults))


async def verified(asked: Asked, settings: Settings | None) -> tuple[Any, list[Finding]]:
    """Return a bundle and what was found when everything in it was worked out again.

    Raises:
        CannotGoOn: when there is nothing to verify, or the chain cannot be read.
    """
    try:
        bundle, expected = await _bundle(asked, settings)
        findings = verify(bundle, expected)
        if not any(each.what == "form" for each in findings):
            evidence = evidence_of(bundle)
            findings += await against(evidence, content_hash(canonical(bundle)), asked)
    except (Impossible, Refused, NotKnown) as wrong:
        raise CannotGoOn(str(wrong)) from None
    return bundle, findings


async def run_evidence(what: str, url: str | None, settings: Settings | None) -> None:
    """Print the evidence of a room, as it was hashed.

    Raises:
        CannotGoOn: when there is none.
    """
    try:
        text, _ = await _fetched(room_named(what), url, settings)
    except (Refused, Impossible) as wrong:
        raise CannotGoOn(str(wrong)) from None
    # Into a pipe or a file go the very bytes that were hashed.
    sys.stdout.write(text + ("\n" if sys.stdout.isatty() else ""))


async def against(evidence: Evidence, evidence_hash: str, asked: Asked) -> list[Finding]:
    """Compare evidence with the recording and the chain, where those are given."""
    found = [replayed(evidence, asked.segments)] if asked.segments else []
    for rpc in asked.rpcs:
        async with Rpc(Endpoint("the chain", rpc), RpcSettings()) as chain:
            record = await read_room(chain, evidence.room.id, evidence.vault)
        found += compare(evidence, evidence_hash, record)
    return found


def replayed(evidence: Evidence, places: Sequence[Path]) -> Finding:
    """Play the recorded segments again and compare what they make of the room."""
    named = {each.hash for each in evidence.segments}
    segments = [
        recordings.read(path)
        for path in recordings.found(places)
        if path.name.removesuffix(recordings.SUFFIX).rpartition("-")[2] in named
    ]
    said = f"{len(segments)} of {len(named)} segments"
    if len(segments) < len(named):
        return Finding("replay", said, "segments that the evidence names are not there")
    if not segments:
        return Finding("replay", "the evidence names no segment: nothing is replayed")
    is_played = False
    for stretch in stretches(segments):
        if stretch[0].memory is None and stretch[0].after is not None:
            continue  # In the middle of a log, from nothing: it shows nothing.
        is_played = True
        replay = Replay(stretch[0], [_open_room(evidence)])
        for segment in stretch:
            for outcome in replay.play(segment):
                match outcome:
                    case OfRoom(Decided() as decided) if decided.room == evidence.room.id:
                        return Finding("replay", said, _differs(evidence, decided))
    if segments[-1].to_at < evidence.decided_at:
        # The settlement did not wait for it any longer.
        return Finding("replay", f"{said}; they end before the decision")
    if not is_played:
        return Finding("replay", f"{said}; they begin where nothing is remembered")
    return Finding("replay", said, "they do not decide the room")


def facts(bundle: Mapping[str, Any], findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what a program may want to know."""
    return {
        "hash": content_hash(canonical(bundle)),
        "checks": [
            {"what": each.what, "said": each.said, "fault": each.fault} for each in findings
        ],
        "follows": not any(each.fault for each in findings),
    }


def _differs(evidence: Evidence, decided: Decided) -> str | None:
    got = decided.outcome, decided.reason, decided.at, decided.crossing
    told = evidence.outcome, evidence.reason, evidence.decided_at, evidence.crossing
    if got == told:
        return None
    if got[:3] == told[:3]:
        return "they give another crossing"
    return f"they make it {decided.outcome} {decided.reason or ''} at {decided.at}"


def _open_room(evidence: Evidence) -> OpenRoom:
    """Return the room as it was before its watch, so that all of it is found again."""
    rule = evidence.room
    return OpenRoom(
        id=rule.id,
        comparator=rule.comparator,
        move_bps=rule.move_bps,
        target=rule.target if rule.move_bps is None else None,
        opened_at=rule.opened_at,
        lock_at=rule.lock_at,
        watch_at=rule.watch_at,
        deadline_at=rule.deadline_at,
        target_wait_ms=rule.target_wait_ms,
        gap_ms_max=rule.gap_ms_max,
        held_ms=rule.held_ms,
    )


async def _bundle(asked: Asked, settings: Settings | None) -> tuple[Any, str | None]:
    """Return a bundle, and the hash that it should have, where somebody else says it."""
    if asked.content is not None:
        return plain_of(asked.content), None
    on_chain: str | None = None
    if _is_signature(asked.what):
        if not asked.rpcs:
            raise CannotGoOn("say where the chain is, to read what a signature stands for: --rpc")
        async with Rpc(Endpoint("the chain", asked.rpcs[0]), RpcSettings()) as chain:
            memo = await settled_memo_of(chain, Signature(asked.what))
        if memo is None:
            raise CannotGoOn("this transaction, if it is final, says nothing of a settlement")
        room, on_chain = memo
    else:
        room = room_named(asked.what)
    text, kept = await _fetched(room, asked.url, settings)
    return plain_of(text), on_chain or kept


async def _fetched(room: int, url: str | None, settings: Settings | None) -> tuple[str, str | None]:
    if url is not None:
        base = url.rstrip("/").replace("ws://", "http://").replace("wss://", "https://")
        async with httpx.AsyncClient(timeout=ANSWER_LIMIT_S, trust_env=False) as client:
            try:
                answer = await client.get(f"{base}/v1/rooms/{room_code(room)}/evidence")
            except httpx.HTTPError as trouble:
                raise CannotGoOn(f"the gateway at {url} gives no answer: {trouble}") from None
        if answer.status_code != httpx.codes.OK:
            raise CannotGoOn(_refusal(answer))
        return answer.text, answer.headers.get("etag", "").strip('"') or None
    assert settings is not None, "there is a gateway or a database"
    async with (
        open_connections(settings.dsn, name="verify", size_max=1) as connections,
        connections.acquire() as connection,
    ):
        found = await evidence_rows.of(connection, room)
    if found is None:
        raise CannotGoOn("there is no such room, or it is not settled yet")
    return found[1], found[0]


def _refusal(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["sentence"])
    except (ValueError, KeyError, TypeError):
        return f"the gateway answers {answer.status_code}"


def _is_signature(text: str) -> bool:
    try:
        return len(bytes_from_base58(text)) == SIGNATURE_BYTES
    except ValueError:
        return False


def _show(console: Console, bundle: Any, findings: Sequence[Finding]) -> None:  # noqa: ANN401 - what JSON says
    if not any(each.what == "form" for each in findings):
        evidence = evidence_of(bundle)
        room = f"room {room_code(evidence.room.id)} on {evidence.room.feed}"
        console.print(f"{room}: {evidence.division.outcome}", highlight=False)
    table = Table()
    for heading in ("", "what", "the evidence says", "what follows instead"):
        table.add_column(heading, overflow="fold")
    for each in findings:
        mark = "[red]✘[/]" if each.fault else "[green]✔[/]"
        table.add_row(mark, each.what, each.said, each.fault or "")
    console.print(table)
