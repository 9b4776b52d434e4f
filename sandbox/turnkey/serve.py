"""Serve: Turnkey's API on one port of this machine, with stamps, policies and keys that are real.

In        settings: where to listen, where to keep the organisation, how fast it may be asked.
Out       the address; faults on request.
Promises  a request's P-256 stamp is checked over its exact bytes, a signature is made with the
          account's own key, and a rate is kept; secrets of the organisation stay in its file.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.turnkey.activities import Activities
from sandbox.turnkey.faults import Faults
from sandbox.turnkey.organization import Json, Organization
from sandbox.turnkey.refusals import Refusal, bad_request, not_found, too_many, unauthenticated
from sandbox.turnkey.stamps import stamped_by
from sandbox.web import WebServer, listening_on

BODY_BYTES_MAX: Final = 1_000_000
MINUTE_MS: Final = 60_000
RECORDS: Final = "turnkey.sqlite"
STATUS_UNDER_WAY: Final = "ACTIVITY_STATUS_PENDING"


@dataclass(frozen=True, kw_only=True)
class TurnkeySettings:
    """How the stand-in runs.

    Attributes:
        data_dir: where the organisation is kept.
        port: 0 lets the system choose.
        requests_per_minute: more than these are refused.
    """

    data_dir: Path
    organization: str = "00000000-0000-4000-8000-000000000001"
    host: str = "127.0.0.1"
    port: int = 0
    requests_per_minute: int = 6_000


@dataclass(frozen=True, slots=True)
class RunningTurnkey:
    """A running stand-in, with its insides for whoever runs it in the same process."""

    host: str
    port: int
    organization: Organization
    faults: Faults

    @property
    def url(self) -> str:
        """Return where the API is."""
        return f"http://{self.host}:{self.port}"


@asynccontextmanager
async def running_turnkey(
    settings: TurnkeySettings, clock: Callable[[], int] | None = None
) -> AsyncIterator[RunningTurnkey]:
    """Run the stand-in while the context lasts.

    Raises:
        OSError: when the port is in use.
    """
    faults = Faults()
    path = settings.data_dir / RECORDS
    with (
        listening_on(settings.host, settings.port, "the Turnkey stand-in") as listening,
        closing(Organization(path, settings.organization, os.urandom)) as organization,
    ):
        api = _Api(organization, faults, clock or _clock_ms, settings.requests_per_minute)
        routes = [Route("/public/v1/{path:path}", api.answer, methods=["POST"])]
        server = WebServer(Starlette(routes=routes))
        work = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield RunningTurnkey(settings.host, listening.getsockname()[1], organization, faults)
        finally:
            server.leave()
            await work


async def serve(settings: TurnkeySettings, ready: Callable[[RunningTurnkey], None]) -> None:
    """Run the stand-in until cancelled, and say when it answers.

    Raises:
        OSError: when the port is in use.
    """
    async with running_turnkey(settings) as running:
        ready(running)
        await asyncio.Event().wait()


class _Api:
    def __init__(
        self,
        organization: Organization,
        faults: Faults,
        clock: Callable[[], int],
        requests_per_minute: int,
    ) -> None:
        self._organization = organization
        self._faults = faults
        self._clock: Callable[[], int] = lambda: clock() + faults.clock_off_ms
        self._activities = Activities(organization, self._clock)
        self._per_minute = requests_per_minute
        self._minute, self._asked = 0, 0

    async def answer(self, request: Request) -> Response:
        date = {"date": formatdate(self._clock() / 1000, usegmt=True)}
        try:
            body = await _body(request)
            return self._answer(request, body, date)
        except Refusal as refusal:
            return JSONResponse(refusal.body, refusal.status, date)

    def _answer(self, request: Request, body: bytes, date: dict[str, str]) -> Response:
        self._count()
        public_key = stamped_by(request.headers.get("x-stamp"), body)
        found = self._organization.user(public_key)
        if found is None:
            raise unauthenticated("could not find public key in organization", "API_KEY_NOT_FOUND")
        user, root, expired = found
        if expired:
            raise unauthenticated("api key has expired", "API_KEY_EXPIRED")
        path = request.url.path
        if "/query/" in path:
            return JSONResponse(self._query(path, body, user), 200, date)
        fault = self._faults.next()
        if fault is not None and fault.kind == "error":
            raise Refusal(fault.http, 13, "on request", fault.name)
        activity = self._activities.submit(path, body, user, root, fault)
        if fault is not None and fault.kind == "cut":
            return _CutOff()
        if fault is not None and fault.kind == "garbage":
            return PlainTextResponse("<html>", 200, date)
        return JSONResponse({"activity": _shown(activity)}, 200, date)

    def _query(self, path: str, body: bytes, user: str) -> Json:
        asked = _read(body)
        if asked.get("organizationId") != self._organization.id:
            raise bad_request("organization mismatch", "ORGANIZATION_MISMATCH")
        match path.rsplit("/", 1)[1]:
            case "get_activity":
                return {"activity": _shown(self._activities.look(str(asked.get("activityId"))))}
            case "get_wallet_account":
                wallet, account_path = str(asked.get("walletId")), str(asked.get("path"))
                address = self._organization.account(wallet_id=wallet, path=account_path)
                if address is None:
                    raise not_found("wallet account")
                return {"account": _account(self._organization.id, wallet, account_path, address)}
            case "list_policies":
                return {"policies": self._organization.policies()}
            case "whoami":
                return {"organizationId": self._organization.id, "userId": user, "username": user}
            case _:
                raise not_found(path)

    def _count(self) -> None:
        minute = self._clock() // MINUTE_MS
        if minute != self._minute:
            self._minute, self._asked = minute, 0
        self._asked += 1
        if self._asked > self._per_minute:
            raise too_many()


class _CutOff(Response):
    """Close the connection in the middle of nothing."""

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        raise ClientDisconnect


def _shown(activity: Json) -> Json:
    shown = {name: value for name, value in activity.items() if name != "looks"}
    if activity.get("looks", 0) > 0:
        shown |= {"status": STATUS_UNDER_WAY, "result": {}}
    return shown


def _account(organization: str, wallet: str, path: str, address: str) -> Json:
    return {
        "walletAccountId": f"{wallet}:{path}",
        "organizationId": organization,
        "walletId": wallet,
        "curve": "CURVE_ED25519",
        "pathFormat": "PATH_FORMAT_BIP32",
        "path": path,
        "addressFormat": "ADDRESS_FORMAT_SOLANA",
        "address": address,
    }


def _read(body: bytes) -> Json:
    try:
        asked = json.loads(body)
    except ValueError:
        raise bad_request("not JSON") from None
    if not isinstance(asked, dict):
        raise bad_request("not an object")
    return asked


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise Refusal(413, 8, "the body is too large")
    return bytes(body)


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
