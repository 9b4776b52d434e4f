"""Notice phrases: what people hear without asking.

In        an event as it was told, the room it is about if there is one.
Out       HTML, or nothing where a person need not hear it.
Promises  what is about a room names the room, so that hearing it twice confuses nobody.
"""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from bot.phrases import words
from bot.phrases.room import settled_line
from rooms.asset import SOL, Asset
from rooms.event import Kind
from rooms.room import Outcome, Side
from rooms.units import UnixMs
from storage.cards import RoomCard

Facts = Mapping[str, Any]
Phrase = Callable[[Facts, RoomCard, UnixMs, str | None], str]


def notice(facts: Facts, card: RoomCard | None, now: UnixMs, explorer: str | None) -> str:
    """Say what happened, or nothing when nobody needs to hear it."""
    kind = facts["kind"]
    if kind in _OF_PERSON:
        return _OF_PERSON[kind](facts, now, explorer)
    if card is None or kind not in _OF_ROOM:
        return ""
    return _OF_ROOM[kind](facts, card, now, explorer)


def _wallet_ready(facts: Facts, now: UnixMs, explorer: str | None) -> str:
    return (
        "🔑 <b>Your wallet is ready.</b>\n"
        f"<code>{escape(facts['address'])}</code>\n\n"
        "Send SOL to it and you can bet. See /rooms for what is open."
    )


def _room_refused(facts: Facts, now: UnixMs, explorer: str | None) -> str:
    return f"⚠️ <b>Your room was not opened.</b>\n{escape(facts['sentence'])}"


def _deposit(facts: Facts, now: UnixMs, explorer: str | None) -> str:
    return f"💰 <b>+{_money(facts)}</b> arrived in your wallet.\n{_proof(facts, explorer)}"


def _deposit_undone(facts: Facts, now: UnixMs, explorer: str | None) -> str:
    return (
        f"↩️ <b>{_money(facts)}</b> that had arrived is gone: the network dropped that payment "
        "before it was final. Where it came from it was not taken, or it will arrive again."
    )


def _earning(facts: Facts, now: UnixMs, explorer: str | None) -> str:
    return (
        f"🎁 <b>+{_money(facts)}</b> that you earned, as host or by invitations, "
        "is in your wallet.\n"
        f"{_proof(facts, explorer)}"
    )


def _withdrawal_refused(facts: Facts, now: UnixMs, explorer: str | None) -> str:
    return (
        f"⚠️ <b>Your withdrawal of {_money(facts)} was refused.</b>\n"
        f"{escape(facts['sentence'])} Nothing has moved."
    )


def _withdrawal_accepted(facts: Facts, now: UnixMs, explorer: str | None) -> str:
    due_at = int(facts["due_at"])
    when = f"leaves {words.until(due_at, now)}" if due_at > now else "is leaving"
    to_address = escape(words.grouped(facts["to_address"]))
    return f"📤 <b>{_money(facts)}</b> {when}, to:\n<pre>{to_address}</pre>"


def _withdrawal_paid(facts: Facts, now: UnixMs, explorer: str | None) -> str:
    return (
        f"✅ <b>{_money(facts)}</b> landed at {_short(facts['to_address'])}.\n"
        f"{_proof(facts, explorer)}"
    )


def _withdrawal_released(facts: Facts, now: UnixMs, explorer: str | None) -> str:
    if facts.get("cancelled"):
        return f"↩️ Called off: <b>{_money(facts)}</b> is in your wallet again."
    if facts.get("sentence"):
        return (
            f"↩️ Your withdrawal of <b>{_money(facts)}</b> did not leave; it is back in your wallet."
            f"\n{escape(facts['sentence'])}"
        )
    return (
        f"↩️ Your withdrawal of <b>{_money(facts)}</b> never landed; it is back in your wallet. "
        "You can try again."
    )


def _bet_taken(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    return (
        f"🎟 <b>{facts['side']} · {_money(facts)}</b> is in: {_room(card)}\n"
        "Reserved from your wallet; the stake is on its way to the room."
    )


def _bet_refused(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    return (
        f"⚠️ <b>Your bet was not taken:</b> {_room(card)}\n"
        f"{escape(facts['sentence'])} Nothing has moved."
    )


def _bet_confirmed(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    return (
        f"📥 <b>{facts['side']} · {_money(facts)}</b> landed in {_room(card)}\n"
        f"{_proof(facts, explorer)}"
    )


def _stake_missed(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    return (
        f"↩️ Your stake of <b>{_money(facts)}</b> reached {_room(card)} after the cut. "
        "It is not in the pool and goes back to you in full."
    )


def _stake_released(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    return (
        f"↩️ Your stake of <b>{_money(facts)}</b> never reached {_room(card)}. "
        "It is in your wallet again."
    )


def _opened(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    return (
        f"🟢 <b>Your room is open:</b> {_room(card)}\n"
        f"Bets lock {words.until(card.room.lock_at, now)}. Share it: the more people, the better."
    )


def _locked(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    asset, total = card.room.money, card.yes.lamports + card.no.lamports
    return (
        f"🔒 <b>Bets are closed:</b> {_room(card)}\n"
        f"YES {words.about(card.yes.lamports, asset)} {asset.name} · "
        f"NO {words.about(card.no.lamports, asset)} {asset.name} · "
        f"pool {words.about(total, asset)} {asset.name}"
    )


def _watched(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    room = card.room
    target = words.value(int(facts["target"]), room.scale, card.unit)
    return (
        f"👀 <b>Watching:</b> {_room(card)}\n"
        f"Target <b>{target}</b>, until {words.moment(room.deadline_at, now)}"
    )


def _decided(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    outcome = Outcome(facts["outcome"])
    said = f"{settled_line(outcome, facts.get('reason'))} · {_room(card)}"
    if facts.get("value") is not None and outcome is not Outcome.VOID:
        at = words.value(int(facts["value"]), card.room.scale, card.unit)
        said += f"\nThe index price reached {at}."
    elif outcome is Outcome.NO:
        said += "\nThe deadline passed and the target was not reached."
    return said


def _settled(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    pool = int(facts["pool"])
    how = "given back" if facts.get("outcome") == Outcome.VOID else "divided"
    return (
        f"🧾 <b>Settled:</b> {_room(card)}\n"
        f"Pool {words.money(pool, card.room.money)}, {how}. "
        f"{words.evidence(card.room.id, facts['evidence_hash'])}"
    )


def _won(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    won = words.money(int(facts["lamports"]), card.room.money)
    return f"🏆 <b>You won {won}</b> in {_room(card)}\nIt is on its way to your wallet."


def _lost(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    side = f"{Side(facts['side'])} · " if facts.get("side") else ""
    staked = words.money(int(facts["staked"]), card.room.money)
    return f"🎈 You lost {side}{staked} in {_room(card)}\nNext time. /rooms"


def _paid(facts: Facts, card: RoomCard, now: UnixMs, explorer: str | None) -> str:
    if facts.get("refund"):
        head = f"↩️ <b>{_money(facts)}</b> came back to your wallet from {_room(card)}"
    else:
        head = f"💸 <b>{_money(facts)}</b> was paid to your wallet from {_room(card)}"
    return f"{head}\n{_proof(facts, explorer)}"


_OF_PERSON: dict[str, Callable[[Facts, UnixMs, str | None], str]] = {
    Kind.WALLET_READY: _wallet_ready,
    Kind.ROOM_REFUSED: _room_refused,
    Kind.DEPOSIT_POSTED: _deposit,
    Kind.DEPOSIT_UNDONE: _deposit_undone,
    Kind.EARNING_LANDED: _earning,
    Kind.WITHDRAWAL_REFUSED: _withdrawal_refused,
    Kind.WITHDRAWAL_ACCEPTED: _withdrawal_accepted,
    Kind.WITHDRAWAL_PAID: _withdrawal_paid,
    Kind.WITHDRAWAL_RELEASED: _withdrawal_released,
}

_OF_ROOM: dict[str, Phrase] = {
    Kind.BET_TAKEN: _bet_taken,
    Kind.BET_REFUSED: _bet_refused,
    Kind.BET_CONFIRMED: _bet_confirmed,
    Kind.STAKE_MISSED: _stake_missed,
    Kind.STAKE_RELEASED: _stake_released,
    Kind.BET_WON: _won,
    Kind.BET_LOST: _lost,
    Kind.BET_PAID: _paid,
    Kind.ROOM_OPENED: _opened,
    Kind.ROOM_LOCKED: _locked,
    Kind.WATCH_STARTED: _watched,
    Kind.ROOM_DECIDED: _decided,
    Kind.ROOM_SETTLED: _settled,
}


def _room(card: RoomCard) -> str:
    return f"{words.title_of(card)} · room {words.code(card.room.id)}"


def _money(facts: Facts) -> str:
    asset = Asset(facts["asset"], int(facts["decimals"])) if "asset" in facts else SOL
    return words.money(int(facts["lamports"]), asset)


def _short(address: str) -> str:
    return f"{escape(address[:4])}…{escape(address[-4:])}"


def _proof(facts: Facts, explorer: str | None) -> str:
    return words.proof(facts.get("signature"), explorer)
