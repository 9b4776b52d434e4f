"""Doctor: asks every part what it is and whether it can be reached, and says so in plain words.

In        the settings; or, where none are given, those of the embedded stack in its folder.
Out       one line a finding: good, worth knowing, or wrong with what to do; exit code 1 when
          something is wrong.
Promises  it changes nothing; no secret is shown; every question has a time limit.
"""

import asyncio
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from rich.console import Console
from rich.table import Table

from chain.rpc import Rpc
from chain.settings import RpcSettings
from chain.transactions import TRANSFERS_MAX
from chain.trouble import NotKnown, SignerBusy, SignerRefused
from chain.turnkey.api import TurnkeyApi
from chain.turnkey.shapes import WHO_AM_I, WhoAmI
from cli.clock import now_ms
from cli.place import settings_here
from cli.probes import reaches
from cli.settings import BadSettings, Settings
from cli.signer import turnkey_settings
from rooms.decimal_text import text_from_whole
from rooms.refusal import CannotGoOn
from storage import flags, health, leases
from storage.connections import open_connections
from storage.leases import Lease
from storage.live import open_live
from storage.migrate import missing_migrations
from streams.feeds.sources import SOURCES
from streams.rounds import Pace
from streams.topics import BrokerAway, TopicsDiffer, check_topics

LIMIT_S = 8.0
SLOT_LAG_MAX = 150
UNSENT_MAX = 1_000
STILL_MS = 10_000
SECONDS = 60
FINAL_MS = 13_000
SENDS_A_TRANSACTION = 1 + FINAL_MS // Pace().resend_ms
"""At once, and again until it is final."""
QUORUM = 3


class Grade(Enum):
    """How a finding is."""

    GOOD = "[green]✔[/]"
    KNOW = "[yellow]•[/]"
    WRONG = "[red]✘[/]"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found out, in a sentence."""

    part: str
    grade: Grade
    sentence: str


Question = Callable[[Settings], Awaitable[Sequence[Finding]]]


async def examine(folder: Path) -> None:
    """Ask everything, print what was found, and end with 1 when something is wrong."""
    console = Console()
    try:
        settings, said = settings_here(folder)
    except BadSettings as error:
        console.print(f"{Grade.WRONG.value} settings: {error}")
        sys.exit(1)
    console.print(f"[dim]{said}[/]")
    questions: dict[str, Question] = {
        "database": _database,
        "live prices": _valkey,
        "broker": _broker,
        "chain": _chain,
        "keystore": _keystore,
        "signer": _signer,
        "pace": _pace,
        "telegram": _telegram,
        "sources": _sources,
        "gateway": _gateway,
    }
    found = await asyncio.gather(
        *(_asked(name, question, settings) for name, question in questions.items())
    )
    table = Table(show_header=False, box=None, padding=(0, 1))
    findings = [finding for each in found for finding in each]
    for finding in findings:
        table.add_row(finding.grade.value, f"[bold]{finding.part}[/]", finding.sentence)
    console.print(table)
    wrong = sum(finding.grade is Grade.WRONG for finding in findings)
    console.print(f"\n{wrong} wrong" if wrong else "\neverything that was asked is well")
    if wrong:
        sys.exit(1)


async def _asked(name: str, question: Question, settings: Settings) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(LIMIT_S):
            return await question(settings)
    except TimeoutError:
        return [Finding(name, Grade.WRONG, f"gave no answer within {LIMIT_S:.0f} s")]


async def _database(settings: Settings) -> Sequence[Finding]:
    part, dsn = "database", settings.database_url.get_secret_value()
    try:
        missing = await asyncio.to_thread(missing_migrations, dsn)
    except CannotGoOn as trouble:
        return [Finding(part, Grade.WRONG, str(trouble)[:200])]
    if missing:
        return [Finding(part, Grade.WRONG, f"{len(missing)} migrations are missing: rooms migrate")]
    findings = [Finding(part, Grade.GOOD, f"answers at {_place(dsn)}, its schema is up to date")]
    async with (
        open_connections(dsn, name="doctor", size_max=1) as connections,
        connections.acquire() as connection,
    ):
        known = await flags.known(connection)
        seen = await health.look(connection)
        audited = await leases.is_taken(connection, Lease.AUDITOR)
        why = await flags.reasons(connection)
    closed = [flag.value for flag in flags.Flag if not known.get(flag, False)]
    if closed:
        findings.append(Finding("flags", Grade.KNOW, f"closed: {', '.join(closed)}"))
        findings += [
            Finding("flags", Grade.KNOW, f"{flag.value} was closed because {reason}")
            for flag, reason in why.items()
        ]
    if not audited:
        findings.append(Finding("auditor", Grade.KNOW, "none runs: no breach would be noticed"))
    if seen.set_aside:
        findings.append(
            Finding("set aside", Grade.KNOW, f"{seen.set_aside} messages wait for a person to look")
        )
    if seen.unsent > UNSENT_MAX:
        findings.append(
            Finding("outbox", Grade.WRONG, f"{seen.unsent} rows are not sent: is a worker running?")
        )
    findings += [
        Finding("deposits", Grade.WRONG, f"{address} is read no further: {why}")
        for address, why in seen.stopped
    ]
    if seen.where_lamports != seen.whose_lamports:
        findings.append(
            Finding(
                "ledger",
                Grade.WRONG,
                f"the books differ: {seen.where_lamports} lie somewhere, "
                f"{seen.whose_lamports} are somebody's: stop signing and look",
            )
        )
    else:
        findings.append(
            Finding("ledger", Grade.GOOD, f"both books hold {sol(seen.where_lamports)} SOL")
        )
    if seen.fee_payer is not None:
        address, lamports = seen.fee_payer
        empty = lamports < settings.fee_payer_lamports_min
        low = lamports < settings.fee_payer_lamports_low
        hint = ", so that nothing is signed" if empty else ""
        hint += f": send SOL to {address}" if empty or low else ""
        grade = Grade.WRONG if empty or low else Grade.GOOD
        findings.append(Finding("fee payer", grade, f"has {sol(lamports)} SOL for fees{hint}"))
    return findings


async def _valkey(settings: Settings) -> Sequence[Finding]:
    place = _place(settings.redis_url.get_secret_value())
    async with open_live(settings.redis_url.get_secret_value()) as live:
        if not await live.ping():
            return [Finding("live prices", Grade.WRONG, f"Valkey cannot be reached at {place}")]
        prices = await live.prices_of(settings.standing_feeds)
    findings = [Finding("live prices", Grade.GOOD, f"Valkey answers at {place}")]
    now = time.time_ns() // 1_000_000
    for feed in settings.standing_feeds:
        price = prices.get(feed)
        if price is None or now - price.seen_at > STILL_MS:
            findings.append(
                Finding(feed, Grade.KNOW, "no price lately: are feeds and worker running?")
            )
        elif price.silence is not None:
            findings.append(
                Finding(
                    feed,
                    Grade.KNOW,
                    f"silent ({price.silence.value}): {price.agreeing} of {price.known} sources "
                    f"agree, {price.quorum} must",
                )
            )
        else:
            findings.append(
                Finding(feed, Grade.GOOD, f"{price.agreeing} of {price.known} sources agree")
            )
    return findings


async def _broker(settings: Settings) -> Sequence[Finding]:
    try:
        await check_topics(
            settings.kafka, partitions=settings.kafka_partitions, replicas=settings.kafka_replicas
        )
    except (BrokerAway, TopicsDiffer) as trouble:
        return [Finding("broker", Grade.WRONG, str(trouble))]
    return [Finding("broker", Grade.GOOD, f"answers at {settings.kafka}, topics are as declared")]


async def _chain(settings: Settings) -> Sequence[Finding]:
    findings: list[Finding] = []
    slots: list[int] = []
    for endpoint in settings.endpoints:
        async with Rpc(endpoint, RpcSettings(answer_ms_max=3_000)) as rpc:
            try:
                slots.append(await rpc.slot("finalized"))
            except NotKnown as trouble:
                findings.append(Finding("chain", Grade.WRONG, str(trouble)))
            else:
                findings.append(
                    Finding("chain", Grade.GOOD, f"{endpoint.name} has finalized slot {slots[-1]}")
                )
    if len(slots) > 1 and max(slots) - min(slots) > SLOT_LAG_MAX:
        findings.append(
            Finding("chain", Grade.WRONG, f"providers are {max(slots) - min(slots)} slots apart")
        )
    return findings


async def _keystore(settings: Settings) -> Sequence[Finding]:
    path = settings.keystore
    if not path.exists():
        return [Finding("keystore", Grade.WRONG, f"there is none at {path}: custody cannot start")]
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return [Finding("keystore", Grade.WRONG, f"others can read {path}: chmod 600 {path}")]
    if not settings.keystore_passphrase.get_secret_value():
        return [Finding("keystore", Grade.WRONG, "ROOMS_KEYSTORE_PASSPHRASE is not set")]
    return [Finding("keystore", Grade.GOOD, f"is at {path}, and only its owner can read it")]


async def _signer(settings: Settings) -> Sequence[Finding]:
    part, account = "signer", settings.turnkey
    if not account.organization:
        return []
    if not account.keys.get_secret_value():
        return [Finding(part, Grade.KNOW, "Turnkey, whose API key custody alone is given")]
    try:
        async with TurnkeyApi(turnkey_settings(account), now_ms) as api:
            who = await api.query(WHO_AM_I, {}, WhoAmI)
    except (BadSettings, SignerBusy, SignerRefused) as trouble:
        return [Finding(part, Grade.WRONG, str(trouble))]
    return [Finding(part, Grade.GOOD, f"Turnkey answers as user {who.user_id}")]


async def _pace(settings: Settings) -> Sequence[Finding]:
    """Say how many bets or payouts a minute can be signed and sent."""
    part = "pace"
    sends = settings.sends_per_second * SECONDS // SENDS_A_TRANSACTION
    bounds = {f"providers take {sends} transactions, each sent {SENDS_A_TRANSACTION} times": sends}
    if settings.turnkey.organization:
        rate = settings.turnkey.requests_per_minute
        bounds[f"Turnkey signs {rate}"] = rate
    least = min(bounds.values())
    payouts = least * TRANSFERS_MAX[settings.transaction_version]
    why = ", ".join(bounds)
    findings = [Finding(part, Grade.GOOD, f"{least} bets or {payouts} payouts a minute: {why}")]
    promised = settings.stakes_per_second * SECONDS
    if promised > least:
        findings.append(
            Finding(
                part,
                Grade.WRONG,
                f"ROOMS_STAKES_PER_SECOND promises {promised} stakes a minute and only {least} can "
                "be signed and sent: lower it, or raise the plan",
            )
        )
    return findings


async def _telegram(settings: Settings) -> Sequence[Finding]:
    token = settings.telegram_token.get_secret_value()
    if not token:
        return [Finding("telegram", Grade.WRONG, "ROOMS_TELEGRAM_TOKEN is not set")]
    async with httpx.AsyncClient(timeout=LIMIT_S / 2) as client:
        try:
            answer = await client.get(f"{settings.telegram_url}{token}/getMe")
        except httpx.HTTPError as error:
            why = type(error).__name__  # its text holds the address, and that the token
            return [Finding("telegram", Grade.WRONG, f"the Bot API cannot be reached: {why}")]
    if answer.status_code != httpx.codes.OK:
        return [
            Finding("telegram", Grade.WRONG, f"the token was refused: HTTP {answer.status_code}")
        ]
    return [Finding("telegram", Grade.GOOD, f"speaks as @{answer.json()['result']['username']}")]


async def _sources(settings: Settings) -> Sequence[Finding]:
    findings: list[Finding] = []
    for name, venue in SOURCES.items():
        if venue.needs_key and name not in settings.source_keys:
            sentence = "is off: it wants an API key in ROOMS_SOURCE_KEYS"
            findings.append(Finding(name, Grade.KNOW, sentence))
            continue
        place = urlsplit(settings.venue_urls.get(name, venue.default_url))
        port = place.port or (443 if place.scheme in ("wss", "https") else 80)
        reached = await reaches(place.hostname or "", port)
        grade = Grade.GOOD if reached else Grade.KNOW
        sentence = "can be reached" if reached else "cannot be reached"
        findings.append(Finding(name, grade, f"{sentence} at {place.hostname}:{port}"))
    if sum(finding.grade is Grade.GOOD for finding in findings) < (settings.quorum or QUORUM):
        findings.append(
            Finding("sources", Grade.WRONG, "fewer can be reached than must agree: no price")
        )
    return findings


async def _gateway(settings: Settings) -> Sequence[Finding]:
    place = f"{settings.gateway_host}:{settings.gateway_port}"
    if not await reaches(settings.gateway_host, settings.gateway_port):
        return [Finding("gateway", Grade.KNOW, f"does not listen at {place}")]
    return [Finding("gateway", Grade.GOOD, f"listens at {place}")]


def sol(lamports: int) -> str:
    """Write lamports as SOL, exactly."""
    return text_from_whole(lamports, 9)


def _place(url: str) -> str:
    """Return host, port and path of an address, without who and with which password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}{parts.path}"
