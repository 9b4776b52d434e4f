"""Checks: what must be so at the end of every story, whatever went wrong in it.

In        the rows; the chain's own history, read behind all nodes; the feeds' log.
Out       everything that is not so, in words.
Promises  the chain is the judge: transfers are counted there by memo and instruction, and compared
          with the rows both ways; the ledger is made anew from the facts by its plain model.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from chain import wire
from chain.reading import LandedTransaction, read_transaction
from rooms import ledger
from rooms.audit_log import BadRow
from rooms.feed_log import Decided, FeedLog
from rooms.ledger import Account, Entry
from rooms.pool import Stake
from rooms.room import Outcome, Side, VoidReason
from rooms.settlement import settle
from rooms.units import Address, Bps, Lamports, Signature, UnixMs
from sandbox.solana.json_forms import transaction_json
from sandbox.solana.parameters import Parameters, form_of
from storage import audit_log
from streams import messages
from tests.simulation.market import FEED
from tests.simulation.world import World

_NOT_BY_THE_LOG = (
    VoidReason.ONE_SIDED,
    VoidReason.TOO_FEW_BETTORS,
    VoidReason.LOG_ENDED,
)

WAITING = """
SELECT 'room request ' || id FROM room_requests WHERE done_at IS NULL
UNION ALL SELECT 'room ' || id || ' ' || state FROM rooms
    WHERE state NOT IN ('DRAFT', 'PAID')
UNION ALL SELECT 'draft ' || r.id FROM rooms r WHERE r.state = 'DRAFT' AND NOT EXISTS
    (SELECT FROM room_requests q WHERE q.room_id = r.id AND q.refusal IS NOT NULL)
UNION ALL SELECT 'bet request ' || id FROM bet_requests WHERE done_at IS NULL
UNION ALL SELECT 'stake ' || id FROM stakes WHERE state = 'HELD'
UNION ALL SELECT 'withdrawal ' || id || ' ' || state FROM withdrawals
    WHERE state NOT IN ('REFUSED', 'PAID', 'RELEASED')
UNION ALL SELECT 'transfer ' || key || ' ' || state FROM transfers
    WHERE state IN ('PLANNED', 'ATTEMPTED')
UNION ALL SELECT 'attempt ' || id FROM attempts WHERE state = 'SIGNED'
UNION ALL SELECT 'deposit ' || signature || ' is not final' FROM deposits
    WHERE final_at IS NULL AND undone_at IS NULL
UNION ALL SELECT 'outbox ' || id || ' ' || topic FROM outbox WHERE sent_at IS NULL
"""


REACHED = """
SELECT 'room ' || outcome || coalesce(' ' || void_reason, ''), count(*) FROM rooms
    WHERE outcome IS NOT NULL GROUP BY 1
UNION ALL SELECT 'room refused ' || (refusal ->> 'code'), count(*) FROM room_requests
    WHERE refusal IS NOT NULL GROUP BY 1
UNION ALL SELECT 'bet refused ' || (refusal ->> 'code'), count(*) FROM bet_requests
    WHERE refusal IS NOT NULL GROUP BY 1
UNION ALL SELECT 'withdrawal refused ' || (refusal ->> 'code'), count(*) FROM withdrawals
    WHERE refusal IS NOT NULL GROUP BY 1
UNION ALL SELECT 'stake ' || state, count(*) FROM stakes GROUP BY 1
UNION ALL SELECT 'transfer ' || kind || ' ' || state, count(*) FROM transfers GROUP BY 1
UNION ALL SELECT 'attempt ' || state, count(*) FROM attempts GROUP BY 1
UNION ALL SELECT 'deposit to ' || split_part(owner, ':', 1), count(*) FROM deposits GROUP BY 1
UNION ALL SELECT 'deposit undone', count(*) FROM entries WHERE starts_with(key, 'undo:')
    HAVING count(*) > 0
UNION ALL SELECT 'deposit that came again', count(*) FROM deposits WHERE times > 1
    HAVING count(*) > 0
"""


def reached(world: World) -> dict[str, int]:
    """Say how many of everything came to each end."""
    return dict(world.database.look(REACHED))


def at_any_moment(world: World) -> list[str]:
    """Say what must be so at every moment and is not: both books are one, nothing is negative."""
    [(difference, low)] = world.database.look(
        "SELECT coalesce(sum(CASE WHEN is_where THEN balance ELSE -balance END), 0)::bigint,"
        " coalesce(min(balance), 0)::bigint FROM accounts"
    )
    found = []
    if difference:
        found.append(f"I1: at {world.turns.now_s:.0f} s the books differ by {difference}")
    if low < 0:
        found.append(f"I2: at {world.turns.now_s:.0f} s an account has {low}")
    return found


def waiting(world: World) -> list[str]:
    """Name every intent, transfer and message that has not come to its end (I4)."""
    found = [row[0] for row in world.database.look(WAITING)]
    if not found:
        found = list(_differing(world))
    return found


def faults(world: World) -> list[str]:
    """Say everything that is not as it must be."""
    return [*_Checks(world).all()]


def _differing(world: World) -> Iterator[str]:
    """Compare every address of ours with the chain, to the lamport (I8)."""
    for address, lamports, lies in _addresses(world):
        if lamports != lies:
            yield f"I8: at {address} the ledger has {lamports}, on chain lie {lies}"


def _addresses(world: World) -> list[tuple[str, int, int]]:
    rows = world.database.look(
        "SELECT a.address, coalesce(c.balance, 0) FROM addresses a"
        " LEFT JOIN accounts c ON c.name = 'chain:' || a.address ORDER BY 1"
    )
    return [(address, lamports, balance_of(world, address)) for address, lamports in rows]


def balance_of(world: World, address: str) -> int:
    """Return what lies at an address now."""
    from solders.pubkey import Pubkey

    chain = world.solana.chain
    account = chain.account(Pubkey.from_string(address), chain.heads().processed)
    return account.lamports if account else 0


@dataclass
class _Checks:
    world: World

    def __post_init__(self) -> None:
        self.landed = list(self._read_chain())
        kinds = self._rows("SELECT address, kind, user_id, room_id FROM addresses")
        self.ours = {row["address"]: row for row in kinds}
        self.by_kind = {row["kind"]: row["address"] for row in kinds}
        self.vaults = {
            row["room_id"]: row["address"] for row in kinds if row["room_id"] is not None
        }
        self.wallets = {
            row["user_id"]: row["address"] for row in kinds if row["user_id"] is not None
        }
        self.transfers = self._rows("SELECT * FROM transfers ORDER BY id")
        self.attempts = self._rows("SELECT * FROM attempts ORDER BY id")
        self.stakes = {row["id"]: row for row in self._rows("SELECT * FROM stakes ORDER BY id")}
        self.rooms = {row["id"]: row for row in self._rows("SELECT * FROM rooms ORDER BY id")}
        self.settlements = {row["room_id"]: row for row in self._rows("SELECT * FROM settlements")}
        self.linked: dict[int, list[int]] = defaultdict(list)
        for row in self._rows("SELECT * FROM attempt_transfers"):
            self.linked[row["attempt_id"]].append(row["transfer_id"])
        self.floors: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for row in self._rows("SELECT * FROM attempt_floors"):
            self.floors[row["attempt_id"]].append((row["address"], row["lamports"]))

    def all(self) -> Iterator[str]:
        """Give every fault."""
        yield from self._books_balance()
        yield from self._ledger_is_its_facts()
        yield from self._chain_is_its_rows()
        yield from self._pools_are_the_chains()
        yield from self._settlements_follow()
        yield from _differing(self.world)
        yield from self._claims_lie_where_they_must()
        yield from self._no_lamport_is_made()
        yield from self._events_have_no_gaps()
        yield from self._memos_say_what_moved()
        yield from self._log_decides_the_same()
        for circle in self.world.turns.circles:
            yield f"two transactions waited for each other: {circle}"
        for row in self._rows("SELECT origin, reason FROM set_aside"):
            yield f"{row['origin']} was set aside: {row['reason']}"

    def _rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        cursor = self.world.database.admin.execute(query, arguments)
        assert cursor.description is not None, "a query has columns"
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _read_chain(self) -> Iterator[LandedTransaction]:
        history = self.world.solana.chain.history
        form = form_of(Parameters([{"encoding": "base64"}]).config(0))
        for landed in history.between(0, len(history)):
            reply: Any = {
                "slot": landed.slot,
                "blockTime": self.world.solana.chain.time_of_s(landed.slot),
                **transaction_json(landed, form, 1),
            }
            read = wire.decode(msgspec.json.encode(reply), wire.Transaction)
            yield read_transaction(Signature(landed.signature), read)

    def _books_balance(self) -> Iterator[str]:
        """I1 and I2."""
        for row in self._rows(
            "SELECT e.key FROM entries e JOIN postings p ON p.entry_id = e.id"
            " JOIN accounts a ON a.name = p.account GROUP BY e.id"
            " HAVING sum(CASE WHEN a.is_where THEN p.lamports ELSE -p.lamports END) <> 0"
        ):
            yield f"I1: entry {row['key']} does not balance"
        for row in self._rows(
            "SELECT a.name, a.balance, coalesce(sum(p.lamports), 0)::bigint AS posted,"
            " min(p.balance) AS low, a.version, count(p.*) AS count"
            " FROM accounts a LEFT JOIN postings p ON p.account = a.name GROUP BY a.name"
        ):
            if row["balance"] != row["posted"] or row["version"] != row["count"]:
                yield f"I1: {row['name']} has {row['balance']}, its postings make {row['posted']}"
            if row["balance"] < 0 or (row["low"] or 0) < 0:
                yield f"I2: {row['name']} was negative"

    def _ledger_is_its_facts(self) -> Iterator[str]:
        """I3: each fact has made its entry, once, and nothing else has."""
        expected = {entry.key: entry for entry in self._entries()}
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for row in self._rows(
            "SELECT e.key, p.account, p.lamports FROM entries e"
            " JOIN postings p ON p.entry_id = e.id"
        ):
            found[row["key"]][row["account"]] = row["lamports"]
        yield from _undone(found)
        for key in sorted(expected.keys() - found.keys()):
            yield f"I3: {key} was never posted"
        for key in sorted(found.keys() - expected.keys()):
            yield f"I3: {key} was posted and never happened"
        for key in sorted(found.keys() & expected.keys()):
            legs = {leg.account.name: leg.lamports for leg in expected[key].postings}
            if legs != found[key]:
                yield f"I3: {key} was posted as {found[key]}, it was {legs}"
        totals = ledger.balances(expected.values())
        for row in self._rows("SELECT name, balance FROM accounts"):
            made = totals.get(Account(row["name"]), 0)
            if made != row["balance"]:
                yield f"I3: {row['name']} has {row['balance']}, its facts make {made}"

    def _entries(self) -> Iterator[Entry]:
        """Make the ledger anew from rows and the chain, by its plain model."""
        by_signature = {each.signature: each for each in self.landed}
        for stake in self.stakes.values():
            cause, user = f"stake:{stake['id']}", stake["user_id"]
            yield ledger.hold(cause, user, stake["lamports"])
            if stake["state"] == "RELEASED":
                yield ledger.release(cause, user, stake["lamports"])
            elif stake["state"] in ("LANDED", "MISSED"):
                yield ledger.stake(
                    stake["id"], user, stake["room_id"], self.wallets[user],
                    self.vaults[stake["room_id"]], stake["lamports"],
                    in_time=stake["state"] == "LANDED",
                )  # fmt: skip
        for row in self._rows("SELECT * FROM withdrawals"):
            cause, user = f"withdrawal:{row['id']}", row["user_id"]
            if row["state"] in ("WAITING", "LEAVING", "PAID", "RELEASED"):
                yield ledger.hold(cause, user, row["lamports"])
            if row["state"] == "RELEASED":
                yield ledger.release(cause, user, row["lamports"])
            if row["state"] == "PAID":
                yield ledger.withdrawal(row["id"], user, self.wallets[user], row["lamports"])
        for room, settled in self.settlements.items():
            if settled["pool"]:
                yield ledger.settlement(room, settled["pool"])
        for row in self.transfers:
            if row["state"] == "LANDED":
                yield from self._of_transfer(row)
        fee_payer = self.by_kind["fee_payer"]
        for attempt in self.attempts:
            landed = by_signature.get(attempt["signature"])
            if landed is None:
                continue
            yield ledger.fee(landed.signature, fee_payer, landed.fee)
            if landed.error is None:
                for address, lamports in self.floors[attempt["id"]]:
                    yield ledger.floor_laid(
                        landed.signature, fee_payer, Address(address), Lamports(lamports)
                    )
        yield from self._deposits()

    def _of_transfer(self, row: Mapping[str, Any]) -> Iterator[Entry]:
        source, destination, lamports = row["from_address"], row["to_address"], row["lamports"]
        match row["kind"]:
            case "payout":
                yield ledger.payout(row["room_id"], row["user_id"], source, destination, lamports)
            case "refund":
                yield ledger.refund(
                    row["subject_id"], row["room_id"], row["user_id"], source, destination, lamports
                )
            case "shares":
                settled = self.settlements[row["room_id"]]
                yield ledger.shares(
                    row["room_id"], source, destination, settled["house"],
                    [(user, part) for user, part in settled["shares"]],
                )  # fmt: skip
            case "return":
                yield ledger.floor_returned(row["key"], source, destination, lamports)
            case "earning":
                yield ledger.earning(row["key"], row["user_id"], source, destination, lamports)

    def _deposits(self) -> Iterator[Entry]:
        """Everything that anybody else sent to an address of ours, out of the chain's history."""
        from tests.simulation.world import DEPOSIT_LAMPORTS_MIN

        mine = {row["signature"] for row in self.attempts}
        for landed in self.landed:
            if landed.signature in mine or landed.error is not None:
                continue
            for address, row in self.ours.items():
                lamports = landed.received(Address(address))
                if not lamports:
                    continue
                owner = ledger.HOUSE
                if row["kind"] == "vault":
                    owner = ledger.stray(Address(address))
                elif row["kind"] == "user":
                    enough = lamports >= DEPOSIT_LAMPORTS_MIN
                    owner = (
                        ledger.available(row["user_id"])
                        if enough
                        else ledger.stray(Address(address))
                    )
                yield ledger.deposit(landed.signature, Address(address), lamports, owner)

    def _chain_is_its_rows(self) -> Iterator[str]:
        """I5 and I6: what left our addresses on chain is what the rows say, each once."""
        happened: Counter[tuple[str, str, int]] = Counter()
        memos: Counter[str] = Counter()
        for landed in self.landed:
            for moved in landed.moved:
                if moved.source in self.ours:
                    happened[moved.source, moved.destination, moved.lamports] += 1
            for address in self.ours:
                memos.update(landed.memos_of(Address(address)))
        written: Counter[tuple[str, str, int]] = Counter()
        for row in self.transfers:
            if row["state"] == "LANDED":
                written[row["from_address"], row["to_address"], row["lamports"]] += 1
        fee_payer = self.by_kind["fee_payer"]
        for attempt in self.attempts:
            if attempt["state"] == "LANDED":
                for address, lamports in self.floors[attempt["id"]]:
                    written[fee_payer, address, lamports] += 1
        for what, times in sorted((happened - written).items()):
            yield f"I5: {what} moved {times} times more than the rows say"
        for what, times in sorted((written - happened).items()):
            yield f"I6: {what} is written {times} times more than it moved"
        for memo, times in sorted(memos.items()):
            if times > 1:
                yield f"I5: {memo!r} is on chain {times} times"
        by_signature = {each.signature: each for each in self.landed}
        for attempt in self.attempts:
            found = by_signature.get(attempt["signature"])
            there = "absent" if found is None else "LANDED" if found.error is None else "REFUSED"
            said = attempt["state"] if attempt["state"] in ("LANDED", "REFUSED") else "absent"
            if there != said:
                yield f"I6: attempt {attempt['id']} is {attempt['state']}, on chain it is {there}"
        counts = Counter(
            transfer
            for attempt in self.attempts
            if attempt["state"] == "LANDED"
            for transfer in self.linked[attempt["id"]]
        )
        for row in self.transfers:
            if counts[row["id"]] != (row["state"] == "LANDED"):
                yield f"I5: {row['key']} is {row['state']} and landed {counts[row['id']]} times"

    def _pools_are_the_chains(self) -> Iterator[str]:
        """Read each pool from the vault's own history: what is in a block up to the cut counts."""
        at = {each.signature: each for each in self.landed}
        landed_at: dict[int, int] = {}
        for attempt in self.attempts:
            if attempt["state"] == "LANDED":
                for transfer in self.linked[attempt["id"]]:
                    landed_at[transfer] = at[attempt["signature"]].block_time or 0
        for row in self.transfers:
            if row["kind"] != "stake" or row["id"] not in landed_at:
                continue
            in_time = landed_at[row["id"]] <= self.rooms[row["room_id"]]["cut_at"]
            state = self.stakes[row["subject_id"]]["state"]
            if state != ("LANDED" if in_time else "MISSED"):
                yield f"stake {row['subject_id']} is {state}; on chain in time: {in_time}"
        for room in self.rooms.values():
            if room["sealed_at"] is None:
                continue
            sides = {
                side: sum(
                    stake["lamports"]
                    for stake in self.stakes.values()
                    if (stake["room_id"], stake["side"], stake["state"])
                    == (room["id"], side, "LANDED")
                )
                for side in ("YES", "NO")
            }
            if (room["sealed_yes"], room["sealed_no"]) != (sides["YES"], sides["NO"]):
                yield f"room {room['id']} was sealed otherwise than what landed in time: {sides}"

    def _settlements_follow(self) -> Iterator[str]:
        """Divide every pool again, and compare what was planned."""
        referrers = {row["id"]: row["referrer"] for row in self._rows("SELECT * FROM users")}
        planned: dict[int, Counter[tuple[str, int]]] = defaultdict(Counter)
        for row in self.transfers:
            if row["kind"] in ("payout", "refund", "shares"):
                planned[row["room_id"]][row["key"], row["lamports"]] += 1
        for room in self.rooms.values():
            if room["state"] != "PAID":
                continue
            number = room["id"]
            counted = [
                Stake(
                    stake["id"], stake["bet_id"], stake["user_id"], Side(stake["side"]),
                    Lamports(stake["lamports"]), Bps(stake["weight_bps"]),
                    referrers[stake["user_id"]],
                )
                for stake in self.stakes.values()
                if stake["room_id"] == number and stake["state"] == "LANDED"
            ]  # fmt: skip
            divided = settle(
                counted,
                Outcome(room["outcome"]),
                VoidReason(room["void_reason"]) if room["void_reason"] else None,
                host=room["creator"],
                protocol_fee_bps=room["protocol_fee_bps"],
                host_fee_bps=room["host_fee_bps"],
            )
            due: Counter[tuple[str, int]] = Counter()
            for payout in divided.payouts:
                due[f"payout:{number}:{payout.user}", payout.lamports] += 1
            for refund in divided.refunds:
                due[f"refund:{refund.stake}", refund.lamports] += 1
            for stake in self.stakes.values():
                if stake["room_id"] == number and stake["state"] == "MISSED":
                    due[f"refund:{stake['id']}", stake["lamports"]] += 1
            rest = divided.house + sum(part for _, part in divided.shares)
            if rest:
                due[f"shares:{number}", rest] += 1
            if planned[number] != due:
                yield f"room {number} is divided otherwise: {planned[number]}, not {due}"

    def _claims_lie_where_they_must(self) -> Iterator[str]:
        """I8: at every address lies what somebody may claim there."""
        balances = {row["name"]: row["balance"] for row in self._rows("SELECT * FROM accounts")}

        def on(name: str) -> int:
            return int(balances.get(name, 0))

        operator = 0
        for address, row in self.ours.items():
            beside = on(f"floor:{address}") + on(f"stray:{address}")
            lies = on(f"chain:{address}")
            match row["kind"]:
                case "user":
                    claimed = on(f"available:{row['user_id']}") + on(f"held:{row['user_id']}")
                case "vault":
                    claimed = on(f"pool:{row['room_id']}") + on(f"due:{row['room_id']}")
                    if claimed:
                        yield f"I4: {claimed} of room {row['room_id']} are still in its vault"
                case _:
                    operator += lies - beside
                    continue
            if lies != claimed + beside:
                yield f"I8: at {address} lie {lies}, claimed are {claimed} and {beside}"
        earned = sum(balance for name, balance in balances.items() if name.startswith("earned:"))
        if operator != earned + on("house"):
            yield f"I8: the operator has {operator}, claimed are {earned + on('house')}"
        for name, balance in balances.items():
            if name.startswith("held:") and balance:
                yield f"I4: {name} still has {balance}"

    def _no_lamport_is_made(self) -> Iterator[str]:
        """On the whole chain nothing is made or lost but fees, which are burnt."""
        chain = self.world.solana.chain
        head = chain.heads().processed
        held = sum(
            account.lamports
            for address in chain._accounts._versions
            if (account := chain.account(address, head)) is not None
        )
        burnt = sum(landed.fee for landed in self.landed)
        made = chain.settings.faucet_lamports
        if held + burnt != made:
            yield f"of {made} lamports {held} lie somewhere and {burnt} were burnt"

    def _memos_say_what_moved(self) -> Iterator[str]:
        """Each landed transfer is named on chain, by a memo that the owner of the money signed."""
        by_signature = {each.signature: each for each in self.landed}
        by_id = {row["id"]: row for row in self.transfers}
        told: Counter[int] = Counter()
        for attempt in self.attempts:
            if attempt["state"] != "LANDED":
                continue
            moved = [by_id[transfer] for transfer in self.linked[attempt["id"]]]
            owner = Address(moved[0]["from_address"])
            memos = by_signature[attempt["signature"]].memos_of(owner)
            first = min(moved, key=lambda row: int(row["id"]))
            room, subject = first["room_id"], first["subject_id"]
            allowed: tuple[str, ...]
            match first["kind"]:
                case "stake":
                    allowed = (f"r1 stake {room} {subject} {self.stakes[subject]['side'][0]}",)
                case "withdrawal":
                    allowed = (f"r1 out {subject}",)
                case "return":
                    allowed = (f"r1 floor {first['id']}",)
                case "earning":
                    allowed = tuple(f"r1 earned {row['id']}" for row in moved)
                case _:
                    settled = self.settlements.get(room, {})
                    verdict = f"{settled.get('outcome')} {settled.get('evidence_hash')}"
                    allowed = (
                        f"r1 settled {room} {verdict}",
                        *(f"r1 pay {room} {row['id']}" for row in moved),
                        *(f"r1 back {row['subject_id']}" for row in moved if len(moved) == 1),
                    )
                    told[room] += memos[:1] == allowed[:1]
            if len(memos) != 1 or memos[0] not in allowed:
                yield f"attempt {attempt['id']} says {memos} on chain, not one of {allowed}"
        for room in self.settlements:
            if told[room] > 1 or (not told[room] and any(self._follows(room))):
                yield f"the settlement of room {room} is told on chain {told[room]} times"

    def _follows(self, room: int) -> Iterator[int]:
        """Give the transfers that a room's settlement planned and that landed."""
        for row in self.transfers:
            refunded = row["kind"] == "refund" and self.stakes[row["subject_id"]]["state"]
            if row["room_id"] == room and (
                row["kind"] in ("payout", "shares") or refunded == "LANDED"
            ):
                yield row["id"]

    def _log_decides_the_same(self) -> Iterator[str]:
        """I9: the feeds' log, read again from its beginning, decides every room the same."""
        log = FeedLog(FEED.guards)
        decided: dict[int, Decided] = {}
        for kept in self.world.bus.log:
            match messages.read_heard(kept.value):
                case messages.Opened() as opened:
                    if opened.room.id not in decided:
                        log.open(opened.room)
                case messages.Stopped() as stopped:
                    log.stop(int(stopped.room))
                case messages.Ticks() as heard:
                    for effect in log.hear(UnixMs(heard.at), heard.told()):
                        if isinstance(effect, Decided):
                            decided[effect.room] = effect
        for (payload,) in self.world.database.look(
            "SELECT payload FROM outbox WHERE topic = 'events'"
            " AND payload ->> 'kind' = 'room.decided'"
        ):
            if payload.get("reason") in _NOT_BY_THE_LOG:
                continue
            again = decided.get(int(payload["room"]))
            was = payload["outcome"], payload.get("reason"), payload["at"]
            if again is None or was != (again.outcome, again.reason, again.at):
                yield f"I9: room {payload['room']} became {was}, read again {again}"

    def _events_have_no_gaps(self) -> Iterator[str]:
        """Every event has its number, and every public one its place in its room."""
        rows = self._rows(
            "SELECT number, payload FROM outbox WHERE topic = 'events' ORDER BY number NULLS LAST"
        )
        if [row["number"] for row in rows] != list(range(1, len(rows) + 1)):
            yield "events are numbered with gaps"
        seen: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            if "seq" in row["payload"]:
                seen[row["payload"]["room"]].append(row["payload"]["seq"])
        for room, sequence in seen.items():
            if sequence != list(range(1, len(sequence) + 1)):
                yield f"room {room} tells its events as {sequence}"
        sent: dict[int, bytes] = {}
        for event in self.world.bus.events:
            number = msgspec.json.decode(event)["number"]
            if sent.setdefault(number, event) != event:
                yield f"event {number} was sent with two contents"
        if sorted(sent) != [row["number"] for row in rows]:
            yield "not every event was sent"


async def audited(world: World) -> list[str]:
    """Say whether the auditor found a breach where none was, and whether its log is whole (I10)."""
    found = [
        f"the auditor found a breach: {reason}"
        for (reason,) in world.database.look("SELECT reason FROM acts WHERE kind = 'breach'")
    ]
    if world.audited:
        async with world.database.aside() as connection:
            led = await audit_log.verify_all(connection, audit_log.read_head(world.audit_head))
        if isinstance(led, BadRow):
            found.append(f"I10: row {led.number} of the audit log: {led.why}")
    return found


def _undone(found: dict[str, dict[str, int]]) -> Iterator[str]:
    """Take out what was posted and undone again: a deposit that a fork took, to the lamport."""
    for undo in [key for key in found if key.startswith("undo:")]:
        key = undo.removeprefix("undo:")
        there, back = found.pop(key, {}), found.pop(undo)
        if not key.startswith("deposit:") or {a: -n for a, n in there.items()} != back:
            yield f"I3: {undo} is {back} and was {there}"
    for key in list(found):
        # A later coming is the same fact under a name of its own.
        first, _, times = key.removesuffix(":other").rpartition(":")
        if key.startswith("deposit:") and times.isdecimal():
            rest = ":other" if key.endswith(":other") else ""
            found[f"{first}{rest}"] = found.pop(key)
