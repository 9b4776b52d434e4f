"""Turnkey's API: stamped requests, sent as the exact bytes that were written down.

In        a path and a body; the settings; a clock.
Out       an answer in its shape; or `SignerBusy` (ask again with the same bytes), or
          `SignerRefused` (this will not be done).
Promises  every request ends in time and reads a bounded answer; a rate is kept; after failures in a
          row it is left alone for a while; a clock that is off sends nothing; neither a private
          key nor a stamp is in any error or log.
Why       the vendor's client blocks the loop, and writes a new time into each body, which makes
          each retry a new activity; only its stamper is used.
"""

import asyncio
import email.utils
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec
import structlog
from turnkey_api_key_stamper import ApiKeyStamper, ApiKeyStamperConfig

from chain.trouble import SignerBusy, SignerRefused
from chain.turnkey.pace import Breaker, Bucket
from chain.turnkey.settings import ApiKey, TurnkeySettings
from chain.turnkey.shapes import (
    GET_ACTIVITY,
    PATHS,
    UNDER_WAY,
    WHO_AM_I,
    Activity,
    ActivityAnswer,
    Trouble,
)
from rooms.units import UnixMs

# Its INFO line names every address that is asked.
logging.getLogger("httpx").setLevel(logging.WARNING)

log = structlog.get_logger()

Shape = TypeVar("Shape")

SENDS_MAX: Final = 3
BURST: Final = 10
WAITS: Final = frozenset(
    {"RATE_LIMIT_EXCEEDED", "SIGNING_QUOTA_EXCEEDED", "API_OPERATIONS_DISABLED"}
)
"""Turnkey's own words for: later, with the same bytes."""

EXPIRED: Final = "API_KEY_EXPIRED"


class _Failed(Exception):
    """A request that was not answered, or by a server in trouble: the same bytes may go again."""


class NotThere(SignerRefused):
    """What was asked for does not exist there."""


class TurnkeyApi:
    """A client of one organisation. Use as ``async with TurnkeyApi(settings, clock)``."""

    def __init__(self, settings: TurnkeySettings, clock: Callable[[], UnixMs]) -> None:
        self._settings = settings
        self._clock = clock
        self._stampers = [_stamper(key) for key in settings.keys]
        self._bucket = Bucket(settings.requests_per_minute, BURST)
        self._breaker = Breaker(settings.failures_max, settings.rest_ms)
        self._off_ms = 0
        self._http = httpx.AsyncClient(
            base_url=settings.url,
            timeout=settings.answer_ms_max / 1000,
            follow_redirects=False,
        )

    def __repr__(self) -> str:
        return f"TurnkeyApi({self._settings.url})"

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    @property
    def settings(self) -> TurnkeySettings:
        """Return how this organisation is asked."""
        return self._settings

    async def query(self, path: str, parameters: dict[str, Any], shape: type[Shape]) -> Shape:
        """Ask what changes nothing.

        Raises:
            NotThere: when it does not exist.
            SignerBusy: when there is no answer now.
            SignerRefused: when we may not know.
        """
        body = msgspec.json.encode(
            {"organizationId": self._settings.organization, **parameters}, order="sorted"
        )
        return await self._ask(path, body, shape)

    async def carry_out(self, kind: str, body: bytes) -> Activity:
        """Have an activity done, and wait until it is completed; ``body`` names it.

        The same bytes are the same activity there, however often they are sent.

        Raises:
            SignerBusy: when it is not completed yet.
            SignerRefused: when it failed or was rejected.
        """
        answer = await self._ask(PATHS[kind], body, ActivityAnswer)
        activity = answer.activity
        waited_ms = 0
        while activity.status in UNDER_WAY and waited_ms < self._settings.wait_ms_max:
            await asyncio.sleep(self._settings.poll_ms / 1000)
            waited_ms += self._settings.poll_ms
            asked = {"activityId": activity.id}
            activity = (await self.query(GET_ACTIVITY, asked, ActivityAnswer)).activity
        if activity.type != kind or activity.organization_id != self._settings.organization:
            raise SignerRefused(f"Turnkey answered another activity than the {kind} asked for")
        if activity.status == "ACTIVITY_STATUS_COMPLETED":
            return activity
        state = activity.status.removeprefix("ACTIVITY_STATUS_")
        if activity.status in ("ACTIVITY_STATUS_FAILED", "ACTIVITY_STATUS_REJECTED"):
            why = activity.failure.message if activity.failure else ""
            raise SignerRefused(f"Turnkey's activity {activity.id} is {state}: {why[:200]}")
        raise SignerBusy(f"Turnkey's activity {activity.id} is {state}")

    async def _ask(self, path: str, body: bytes, shape: type[Shape]) -> Shape:
        for sent in range(SENDS_MAX):
            if sent:
                await asyncio.sleep(self._settings.back_off_ms * 2**sent / 1000)
            await self._wait_for_our_turn()
            try:
                if self._is_off:
                    await self._look_at_the_clock()
                content = await self._post(path, body)
            except _Failed as trouble:
                self._breaker.failed(self._clock())
                last = str(trouble)
                continue
            self._breaker.succeeded()
            # What was done at a wrong time is done, and not used: the same bytes bring it again.
            self._must_be_right()
            try:
                return msgspec.json.decode(content, type=shape)
            except msgspec.MsgspecError as error:
                raise SignerBusy(f"Turnkey answered {path} in another shape: {error}") from None
        raise SignerBusy(f"Turnkey did not answer {path}: {last}")

    async def _wait_for_our_turn(self) -> None:
        now = self._clock()
        if rest_ms := self._breaker.rest(now):
            raise SignerBusy(f"Turnkey failed too often and is left alone for {rest_ms} ms more")
        wait_ms = self._bucket.take(now)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)

    @property
    def _is_off(self) -> bool:
        return abs(self._off_ms) > self._settings.clock_off_ms_max

    def _must_be_right(self) -> None:
        if self._is_off:
            raise SignerBusy(
                f"this machine's clock differs from Turnkey's by {self._off_ms} ms: nothing is "
                "signed; set the clock"
            )

    async def _look_at_the_clock(self) -> None:
        """Ask what changes nothing, for the time in its answer."""
        body = msgspec.json.encode({"organizationId": self._settings.organization})
        await self._post(WHO_AM_I, body)
        self._must_be_right()
        await self._wait_for_our_turn()

    async def _post(self, path: str, body: bytes) -> bytes:
        if not self._stampers:
            raise SignerBusy("every Turnkey API key has expired: give a new one and start again")
        stamp = self._stampers[0].stamp(body.decode())
        try:
            async with (
                asyncio.timeout(self._settings.answer_ms_max / 1000),
                self._http.stream(
                    "POST",
                    path,
                    content=body,
                    headers={
                        stamp.stamp_header_name: stamp.stamp_header_value,
                        "content-type": "application/json",
                    },
                ) as response,
            ):
                self._note_clock(response)
                content = await self._content(path, response)
        except TimeoutError:
            raise _Failed("not in time") from None
        except httpx.HTTPError as error:
            # Not chained: the request inside it holds the stamp.
            raise _Failed(type(error).__name__) from None
        if response.status_code == httpx.codes.OK:
            return content
        return await self._refused(path, body, response.status_code, content)

    async def _content(self, path: str, response: httpx.Response) -> bytes:
        content = bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > self._settings.answer_bytes_max:
                raise SignerBusy(f"Turnkey answered {path} with too many bytes")
        return bytes(content)

    async def _refused(self, path: str, body: bytes, status: int, content: bytes) -> bytes:
        try:
            trouble = msgspec.json.decode(content, type=Trouble)
        except msgspec.MsgspecError:
            trouble = Trouble()
        if trouble.name == EXPIRED:
            log.error("Turnkey API key has expired", key=self._stampers[0].api_public_key)
            del self._stampers[0]
            return await self._post(path, body)
        said = f"HTTP {status} {trouble.name} {trouble.message[:200]}".strip()
        if trouble.name in WAITS or status == httpx.codes.TOO_MANY_REQUESTS:
            log.warning("Turnkey wants us to wait", path=path, why=said)
            raise SignerBusy(f"Turnkey wants us to wait with {path}: {said}")
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise _Failed(said)
        if status == httpx.codes.NOT_FOUND:
            raise NotThere(f"Turnkey has nothing at {path}: {said}")
        raise SignerRefused(f"Turnkey refused {path}: {said}")

    def _note_clock(self, response: httpx.Response) -> None:
        told = response.headers.get("date")
        if told is None:
            return
        try:
            there = email.utils.parsedate_to_datetime(told)
        except ValueError:
            return
        # The header has whole seconds, so half a second of it is no difference.
        self._off_ms = self._clock() - int(there.timestamp()) * 1000
        if self._is_off:
            log.error("this machine's clock is off", off_ms=self._off_ms)


def _stamper(key: ApiKey) -> ApiKeyStamper:
    return ApiKeyStamper(ApiKeyStamperConfig(key.public, key.private))
