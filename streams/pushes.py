"""Pushes: the door through which signed values come in, over HTTP.

In        ``POST /v1/push``: a JSON object with feed, signer, value, at, sequence, signature.
Out       a tick for the feed's log and 202; or a 4xx with a code and a sentence.
Promises  nothing is taken without a good signature of a registered signer; a body is small, and so
          is the number of requests that are looked at in a second; a refusal changes nothing.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rooms.push import PREFIX, SEQUENCE_MAX, Order, Push
from rooms.refusal import Refused
from rooms.tick import Tick
from rooms.units import UnixMs
from storage.feeds import WantedFeed
from streams.doors import body_of
from streams.signatures import is_signed

PATH: Final = "/v1/push"
BODY_BYTES_MAX: Final = 1_024
PUSHES_PER_S: Final = 10
"""Of one signer for one feed."""
LOOKED_AT_PER_S: Final = 500
"""Of all who come to the door, whoever they are: a signature takes some 0.1 ms to check."""

STATUS: Final = {
    "bad_request": 400,
    "bad_value": 400,
    "bad_signature": 401,
    "no_feed": 404,
    "no_signer": 403,
    "replayed": 409,
    "out_of_order": 409,
    "too_large": 413,
    "too_old": 422,
    "too_early": 422,
    "too_many": 429,
}
"""What each refusal is in HTTP."""

log = structlog.get_logger()


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    """The shape of a body."""

    feed: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    signer: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    value: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    at: Annotated[int, msgspec.Meta(ge=10**12, lt=10**13)]
    sequence: Annotated[int, msgspec.Meta(ge=0, le=SEQUENCE_MAX)]
    signature: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{128}$")]


class _Pace:
    """Count what each name does in a second."""

    def __init__(self) -> None:
        self._second = 0
        self._counts: dict[object, int] = {}

    def note(self, name: object, limit: int, now: UnixMs) -> None:
        if now // 1000 != self._second:
            self._second = now // 1000
            self._counts.clear()
        count = self._counts.get(name, 0) + 1
        self._counts[name] = count
        if count > limit:
            raise Refused("too_many", f"At most {limit} a second; try again in the next.")


class Pushes:
    """Judge what comes to the door.

    Args:
        feed_of: returns a feed that is wanted now, or None.
        hear: takes a tick into a feed's log.
        clock: the time now.
    """

    def __init__(
        self,
        feed_of: Callable[[str], WantedFeed | None],
        hear: Callable[[str, Tick], None],
        clock: Callable[[], UnixMs],
    ) -> None:
        self._feed_of = feed_of
        self._hear = hear
        self._clock = clock
        self._order = Order()
        self._pace = _Pace()

    def take(self, body: bytes) -> None:
        """Take a body.

        Raises:
            Refused: with a code of `STATUS`.
        """
        now = self._clock()
        self._pace.note(None, LOOKED_AT_PER_S, now)
        sent = _read(body)
        feed = self._feed_of(sent.feed) if sent.feed.startswith(PREFIX) else None
        if feed is None:
            raise Refused("no_feed", "No push feed of this name is wanted now.")
        key = feed.symbols.get(sent.signer)
        if key is None:
            raise Refused("no_signer", "This feed knows no signer of this name.")
        push = Push(
            feed=sent.feed, signer=sent.signer, value=sent.value, at=UnixMs(sent.at),
            sequence=sent.sequence,
        )  # fmt: skip
        if not is_signed(key, bytes.fromhex(sent.signature), push.signed_text().encode()):
            raise Refused("bad_signature", "The signature is not this signer's over these values.")
        self._pace.note((push.feed, push.signer), PUSHES_PER_S, now)
        self._hear(push.feed, self._order.take(push, feed.scale, now))


def door(pushes: Pushes) -> Starlette:
    """Make the HTTP application."""

    async def push(request: Request) -> Response:
        try:
            body = await body_of(request, BODY_BYTES_MAX, "A push")
            pushes.take(body)
        except Refused as refusal:
            said = {"error": {"code": refusal.code, "sentence": refusal.sentence}}
            # What was not read to its end is not waited for either.
            unread = {"Connection": "close"} if refusal.code == "too_large" else None
            return JSONResponse(said, STATUS[refusal.code], unread)
        except ClientDisconnect:
            return Response(status_code=400)
        return JSONResponse({"taken": True}, 202)

    return Starlette(routes=[Route(PATH, push, methods=["POST"])])


def _read(body: bytes) -> _Sent:
    try:
        return _SENT.decode(body)
    except (ValueError, RecursionError) as error:
        raise Refused("bad_request", f"This is not a push: {error}.") from None


_SENT: Final = msgspec.json.Decoder(_Sent)
