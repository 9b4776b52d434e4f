"""Kraken v1: recordings of the older protocol, told in the newer one's words.

In        a v1 ``[channel, [[price, volume, time, …], …], "trade", pair]`` frame.
Out       the v2 ``trade`` update with the same digits; None for what is no trade.
Why       v1 gives trades no number, so they are counted in the order of the recording.
"""

import json

from sandbox.venues.session import rfc3339

_SIDES = {"b": "buy", "s": "sell"}
_KINDS = {"m": "market", "l": "limit"}


def update_from_v1(frame: str, number: int) -> str | None:
    """Rewrite the frame; ``number`` is its first trade's."""
    told = json.loads(frame)
    if not isinstance(told, list) or len(told) != 4 or told[2] != "trade":
        return None
    rows = []
    for offset, (price, volume, time, side, kind, _) in enumerate(told[1]):
        seconds, _, fraction = time.partition(".")
        micros = fraction.ljust(6, "0")[:6]
        at = rfc3339(int(seconds) * 1000 + int(micros[:3]), int(micros[3:]))
        rows.append(
            f'{{"symbol":"{told[3]}","side":"{_SIDES[side]}","price":{price},"qty":{volume},'
            f'"ord_type":"{_KINDS[kind]}","trade_id":{number + offset},"timestamp":"{at}"}}'
        )
    return f'{{"channel":"trade","type":"update","data":[{",".join(rows)}]}}'
