"""PumpPortal's data socket: trades on curves, for one connection at a time.

In        subscriptions by mint; `subscribeNewToken` and `subscribeMigration` are taken too.
Out       answers in plain words, trades with the reserves after them.
"""

import json
from collections.abc import Iterable

from sandbox.venues.market import Trade
from sandbox.venues.session import (
    Act,
    Place,
    PlainSession,
    Say,
    Session,
    Spoken,
    Told,
    compact,
    object_of,
    texts_of,
)
from sandbox.venues.tokens import curve, mint

TRADES = "trade"
VIRTUAL_SOL = 30.119251714755496


class PumpPortalSession(PlainSession):
    """One client of the data socket."""

    def heard(self, text: str, now: int) -> Iterable[Act]:
        """Answer a subscription."""
        del now
        asked = object_of(text)
        fields = asked or {}
        keys = texts_of(fields, "keys")
        match fields.get("method"):
            case "subscribeTokenTrade" if keys:
                self.subscribed |= {(TRADES, key) for key in keys if self._place.knows(key)}
                yield _message("Successfully subscribed to keys.")
            case "unsubscribeTokenTrade" if keys:
                self.subscribed -= {(TRADES, key) for key in keys}
                yield _message("Successfully unsubscribed from keys.")
            case "subscribeNewToken":
                yield _message("Successfully subscribed to token creation events.")
            case "subscribeMigration":
                yield _message("Subscribed to 'migration' events.")
            case _:
                yield Say(compact({"errors": "Invalid method or keys."}))


def _message(message: str) -> Say:
    return Say(compact({"message": message}))


def _publish(trade: Trade, now: int) -> Told:
    del now
    tokens = VIRTUAL_SOL / float(trade.price)
    told = {
        "signature": f"{trade.coin}{trade.number}",
        "mint": mint(trade.coin),
        "traderPublicKey": "952LPLt7zzU4RGUmBoPV7zQwsCire85P12Ht6Tp8Dno9",
        "txType": "buy" if trade.is_buy else "sell",
        "tokenAmount": float(trade.quantity),
        "solAmount": 0.00001,
        "bondingCurveKey": curve(trade.coin),
        "vTokensInBondingCurve": tokens,
        "vSolInBondingCurve": VIRTUAL_SOL,
        "marketCapSol": VIRTUAL_SOL / tokens * 1e9,
        "pool": "pump",
    }
    return Told(TRADES, mint(trade.coin), compact(told))


def _describe(frame: str) -> Told | None:
    told = json.loads(frame)
    if told.get("txType") not in ("buy", "sell") or told.get("pool") != "pump":
        return None
    return Told(TRADES, told["mint"], frame)


def _restamp(text: str, shift_ms: int, id_shift: int) -> str:
    del shift_ms
    told = json.loads(text, parse_float=str)
    return text.replace(told["signature"], f"{told['signature'][:60]}{id_shift}")


def _session(place: Place, path: str, now: int) -> Session:
    del path
    return PumpPortalSession(place, now)


PUMPPORTAL = Spoken(
    name="pumpportal",
    paths=("/pumpportal/api/data",),
    symbol=mint,
    publish=_publish,
    describe=_describe,
    restamp=_restamp,
    session=_session,
    key_query="api-key",
    is_alone=True,
)
