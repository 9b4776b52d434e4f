"""Webhooks: the door on which Helius says that something came in.

In        ``POST /v1/helius``: an array of transactions, *enhanced* or *raw*, with the header
          ``Authorization`` as it was given to Helius.
Out       where custody is to look, written down, and then 200; or a 4xx that changes nothing.
Promises  without the right header not even the body is read; a body is bounded; what was told
          before is nothing new; 200 means stored, so what is not stored is told again.
Why       Helius tells once, and a few times more when it is not answered; what it says is a hint,
          as everybody who learns the header can say it.
"""

from hmac import compare_digest
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chain.trouble import Garbled
from chain.webhooks import read_delivery
from rooms.refusal import Refused
from storage import deposit_hints
from storage.again import PASSING
from storage.connections import Connections
from streams.doors import body_of

PATH: Final = "/v1/helius"
BODY_BYTES_MAX: Final = 2_000_000
AUTHORIZATION_MIN: Final = 32
"""Letters: a header that is guessed is a header that is not there."""

log = structlog.get_logger()


def door(connections: Connections, authorization: str) -> Starlette:
    """Make the HTTP application; ``authorization`` is the header's whole value."""
    assert len(authorization) >= AUTHORIZATION_MIN, "the settings refuse a short one"
    expected = authorization.encode()

    async def deliver(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if not compare_digest(given.encode(), expected):
            return _no(401, "forged", "The header Authorization is not the one that was agreed.")
        try:
            told = read_delivery(await body_of(request, BODY_BYTES_MAX, "A delivery"))
        except Refused as refusal:
            return _no(413, refusal.code, refusal.sentence)
        except Garbled as why:
            return _no(400, "garbage", str(why))
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            async with connections.acquire() as connection:
                new = await deposit_hints.hear(connection, told)
        except PASSING as trouble:
            log.warning("webhook not stored", why=type(trouble).__name__)
            return _no(503, "away", "It could not be stored now; tell it again.")
        if new:
            log.info("deposits_told", new=new)
        return JSONResponse({"new": new})

    return Starlette(routes=[Route(PATH, deliver, methods=["POST"])])


def _no(status: int, code: str, sentence: str) -> Response:
    # What was not read to its end is not waited for either.
    said = {"error": {"code": code, "sentence": sentence}}
    return JSONResponse(said, status, {"Connection": "close"})
