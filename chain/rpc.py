"""RPC: the few questions we ask of one Solana node, each bounded and strictly read.

In        one provider's endpoint; addresses, signatures, raw transactions.
Out       our own frozen facts; or one of the `NotKnown` exceptions, never a guess.
Promises  every call ends in time and reads a bounded answer; the reply's id and shape are checked;
          nothing is retried here, and the endpoint's key is in no error and no log.
Why       `solana.rpc.async_api.AsyncClient` reads an answer of any size, does not compare its id,
          re-sends by itself, turns HTTP 429 into the name of a type, takes a status without its
          confirmation, and its `confirm_transaction` calls a landed transaction expired. So only
          its request shape and error codes are used here, over httpx and msgspec.
"""

import asyncio
import base64
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING
from functools import cache
from itertools import count
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from msgspec import UNSET
from solana.rpc.jsonrpc import JsonRpcErrorCode, JsonRpcRequest

from chain import wire
from chain.reading import LandedTransaction, read_transaction
from chain.settings import Endpoint, RpcSettings
from chain.transactions import RecentBlockhash, signature_of, without_signatures
from chain.trouble import Garbled, NotKnown, RateLimited, RpcRefused, UnknownVersion, Unreachable
from rooms.refusal import Impossible
from rooms.units import Address, BlockHeight, Lamports, Signature, Slot, UnixMs

# Its INFO line for every request holds the whole URL, and ours carry keys.
logging.getLogger("httpx").setLevel(logging.WARNING)

Commitment = Literal["processed", "confirmed", "finalized"]

ACCOUNTS_MAX = 100
STATUSES_MAX = 256
SIGNATURES_MAX = 1_000
VERSION_MAX = 1
PRIORITY_PRICE_MAX = 10**15
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
# Helius answers this in the body, with or without HTTP 429.
RATE_LIMITED_CODE = -32429

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class HeightAt:
    """A block height, and the slot of that very block."""

    slot: Slot
    height: BlockHeight


@dataclass(frozen=True, slots=True)
class SignatureStatus:
    """Where a signature stands; ``error`` is set when the transaction failed in its block."""

    slot: Slot
    commitment: Commitment
    error: str | None


@dataclass(frozen=True, slots=True)
class ListedSignature:
    """A transaction in an address's history.

    Attributes:
        memo: what the provider says that its memos are; only the transaction itself proves it.
    """

    signature: Signature
    slot: Slot
    commitment: Commitment
    error: str | None
    memo: str | None = None


@dataclass(frozen=True, slots=True)
class AccountAt:
    """What lies at an address, without its data."""

    lamports: Lamports
    owner: Address
    executable: bool


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transaction would do; ``error`` is set when it would fail."""

    error: str | None
    compute_units: int | None
    logs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relay:
    """What a provider did with our bytes: took them on, or said why not. Never a fate."""

    provider: str
    refused: str | None

    @property
    def relayed(self) -> bool:
        """Tell whether the provider took the bytes on (or had them already)."""
        return self.refused is None


class Rpc:
    """One provider. Use as ``async with Rpc(...) as rpc``; one event loop, any number of tasks."""

    def __init__(self, endpoint: Endpoint, settings: RpcSettings) -> None:
        self.name = endpoint.name
        self._settings = settings
        self._url = httpx.URL(endpoint.url)
        self._ids = count(1)
        self._http = httpx.AsyncClient(
            timeout=settings.answer_ms_max / 1_000,
            limits=httpx.Limits(
                max_connections=settings.connections_max,
                max_keepalive_connections=settings.connections_max,
            ),
            follow_redirects=False,
            verify=_trusted(),
            # A proxy set in the environment is for the world, not for this machine.
            trust_env=self._url.host not in LOCAL_HOSTS,
        )

    def __repr__(self) -> str:
        return f"Rpc({self.name})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def latest_blockhash(self, commitment: Commitment = "confirmed") -> RecentBlockhash:
        """Ask for a blockhash to build on; ``confirmed`` is the one that later sends expect."""
        shape = wire.AtSlot[wire.Blockhash]
        reply = await self._ask("getLatestBlockhash", [{"commitment": commitment}], shape)
        return RecentBlockhash(
            blockhash=reply.value.blockhash,
            last_valid_height=BlockHeight(reply.value.last_valid_block_height),
            context_slot=Slot(reply.context.slot),
        )

    async def knows_blockhash(self, blockhash: str, context_slot: Slot) -> bool:
        """Ask whether a transaction that is built on this blockhash could land now.

        A node that has not reached ``context_slot`` says so, and does not call it unknown.
        """
        options = {"commitment": "confirmed", "minContextSlot": context_slot}
        reply = await self._ask("isBlockhashValid", [blockhash, options], wire.AtSlot[bool])
        return bool(reply.value)

    async def block_height(self, commitment: Commitment) -> HeightAt:
        """Ask for the block height, with the slot it belongs to.

        getEpochInfo answers both from one bank; getBlockHeight gives no slot to compare a later
        answer with.
        """
        reply = await self._ask("getEpochInfo", [{"commitment": commitment}], wire.EpochInfo)
        return HeightAt(Slot(reply.absolute_slot), BlockHeight(reply.block_height))

    async def slot(self, commitment: Commitment) -> Slot:
        """Ask for the newest slot."""
        return Slot(await self._ask("getSlot", [{"commitment": commitment}], wire.Count))

    async def first_available_slot(self) -> Slot:
        """Ask how far back this provider's history goes."""
        return Slot(await self._ask("getFirstAvailableBlock", [], wire.Count))

    async def block_time(self, slot: Slot) -> UnixMs | None:
        """Ask when a block was made; nothing when the provider does not know."""
        seconds = await self._ask("getBlockTime", [slot], wire.Epoch | None)
        return None if seconds is None else UnixMs(seconds * 1_000)

    async def signature_statuses(
        self, signatures: Sequence[Signature]
    ) -> tuple[Slot, tuple[SignatureStatus | None, ...]]:
        """Ask where up to 256 signatures stand, in the whole history, and at which slot."""
        assert 0 < len(signatures) <= STATUSES_MAX, "a call asks for 1 to 256 statuses"
        reply = await self._ask(
            "getSignatureStatuses",
            [list(signatures), {"searchTransactionHistory": True}],
            wire.AtSlot[list[wire.Status | None]],
        )
        self._complete("getSignatureStatuses", reply.value, len(signatures))
        return Slot(reply.context.slot), tuple(
            None
            if status is None
            else SignatureStatus(
                Slot(status.slot), status.confirmation_status, wire.error_text(status.err)
            )
            for status in reply.value
        )

    async def send(self, raw: bytes) -> Relay:
        """Hand our bytes to the provider. Whatever it answers, ask for the fate afterwards.

        No preflight: simulate first, once; from then on the same bytes are sent again and again.
        """
        options = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        try:
            named = await self._ask("sendTransaction", [_base64(raw), options], wire.Text)
        except RpcRefused as refusal:
            if "AlreadyProcessed" in refusal.detail or "already been processed" in refusal.message:
                return Relay(self.name, None)
            return Relay(self.name, str(refusal))
        except (Unreachable, RateLimited, Garbled) as trouble:
            return Relay(self.name, str(trouble))
        if named != signature_of(raw):
            return Relay(self.name, f"{self.name} gave our transaction another name")
        return Relay(self.name, None)

    async def simulate(self, raw: bytes, context_slot: Slot) -> Simulation:
        """Ask what a transaction would do, on the newest confirmed state.

        ``context_slot`` is its blockhash's: a node that is not there yet says so, and does not
        call the blockhash unknown.

        The provider gets it without its signatures: what it does not have it cannot send on.
        """
        reply = await self._ask(
            "simulateTransaction",
            [
                _base64(without_signatures(raw)),
                {
                    "encoding": "base64",
                    "commitment": "confirmed",
                    "sigVerify": False,
                    "minContextSlot": context_slot,
                },
            ],
            wire.AtSlot[wire.Simulated],
        )
        return Simulation(
            error=wire.error_text(reply.value.err),
            compute_units=reply.value.units_consumed,
            logs=tuple(reply.value.logs or ()),
        )

    async def accounts(
        self, addresses: Sequence[Address], commitment: Commitment
    ) -> tuple[Slot, dict[Address, AccountAt | None]]:
        """Ask what lies at up to 100 addresses, and at which slot that was so."""
        assert 0 < len(addresses) <= ACCOUNTS_MAX, "a call asks for 1 to 100 accounts"
        options = {
            "commitment": commitment,
            "encoding": "base64",
            "dataSlice": {"offset": 0, "length": 0},
        }
        reply = await self._ask(
            "getMultipleAccounts",
            [list(addresses), options],
            wire.AtSlot[list[wire.Account | None]],
        )
        self._complete("getMultipleAccounts", reply.value, len(addresses))
        return Slot(reply.context.slot), {
            address: None
            if account is None
            else AccountAt(Lamports(account.lamports), Address(account.owner), account.executable)
            for address, account in zip(addresses, reply.value, strict=True)
        }

    async def stored(
        self, addresses: Sequence[Address], commitment: Commitment, bytes_max: int
    ) -> tuple[Slot, dict[Address, wire.StoredAccount | None]]:
        """Ask what lies at up to 100 addresses, with the first bytes of their data."""
        assert 0 < len(addresses) <= ACCOUNTS_MAX, "a call asks for 1 to 100 accounts"
        options = {
            "commitment": commitment,
            "encoding": "base64",
            "dataSlice": {"offset": 0, "length": bytes_max},
        }
        reply = await self._ask(
            "getMultipleAccounts",
            [list(addresses), options],
            wire.AtSlot[list[wire.StoredAccount | None]],
        )
        self._complete("getMultipleAccounts", reply.value, len(addresses))
        return Slot(reply.context.slot), dict(zip(addresses, reply.value, strict=True))

    async def balances(
        self, addresses: Sequence[Address], commitment: Commitment
    ) -> tuple[Slot, dict[Address, Lamports | None]]:
        """Ask for the lamports at up to 100 addresses; nothing where there is no account."""
        slot, accounts = await self.accounts(addresses, commitment)
        return slot, {
            address: None if account is None else account.lamports
            for address, account in accounts.items()
        }

    async def signatures_for(
        self,
        address: Address,
        *,
        until: Signature | None = None,
        before: Signature | None = None,
        limit: int = SIGNATURES_MAX,
        commitment: Commitment = "confirmed",
    ) -> tuple[ListedSignature, ...]:
        """List transactions that name an address, newest first, down to but without ``until``."""
        assert 0 < limit <= SIGNATURES_MAX, "a call lists 1 to 1,000 signatures"
        options: dict[str, object] = {"commitment": commitment, "limit": limit}
        if until is not None:
            options["until"] = until
        if before is not None:
            options["before"] = before
        reply = await self._ask("getSignaturesForAddress", [address, options], list[wire.Listed])
        if len(reply) > limit:
            raise Garbled(f"{self.name} listed more signatures than asked")
        return tuple(
            ListedSignature(
                Signature(each.signature),
                Slot(each.slot),
                each.confirmation_status,
                wire.error_text(each.err),
                each.memo,
            )
            for each in reply
        )

    async def transaction(
        self, signature: Signature, commitment: Commitment = "confirmed"
    ) -> LandedTransaction | None:
        """Read what a landed transaction did; nothing when the provider does not have it.

        Raises:
            UnknownVersion: when it is of a version that we cannot read.
        """
        options = {
            "commitment": commitment,
            "encoding": "base64",
            "maxSupportedTransactionVersion": VERSION_MAX,
        }
        try:
            reply = await self._ask("getTransaction", [signature, options], wire.Transaction | None)
        except RpcRefused as refusal:
            if refusal.code == JsonRpcErrorCode.SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION:
                raise UnknownVersion(signature, "above 1") from None
            raise
        if reply is None:
            return None
        try:
            return read_transaction(signature, reply)
        except Impossible as impossible:
            raise Garbled(f"{self.name} gave a transaction that cannot be: {impossible}") from None

    async def landed(self, signature: Signature, commitment: Commitment) -> LandedTransaction:
        """Read a transaction that is in a block, always with its block's time.

        Raises:
            NotKnown: also when the provider does not have it, or its time, yet.
            UnknownVersion: when it is of a version that we cannot read.
        """
        transaction = await self.transaction(signature, commitment)
        if transaction is None:
            raise NotKnown(f"{self.name} does not have the transaction yet")
        if transaction.block_time is not None:
            return transaction
        at = await self.block_time(transaction.slot)
        if at is None:
            raise NotKnown(f"{self.name} does not know when the transaction's block was made")
        return replace(transaction, block_time=at)

    async def rent_minimum(self, data_bytes: int = 0) -> Lamports:
        """Ask for the least that an address with so much data must hold."""
        return Lamports(
            await self._ask("getMinimumBalanceForRentExemption", [data_bytes], wire.Count)
        )

    async def priority_price(self, addresses: Sequence[Address]) -> int:
        """Ask what transactions that write to these pay on top, in micro-lamports a compute unit.

        Only Helius knows `getPriorityFeeEstimate`; another provider refuses the question.
        """
        question = {"accountKeys": list(addresses), "options": {"recommended": True}}
        estimate = await self._ask("getPriorityFeeEstimate", [question], wire.PriorityEstimate)
        price = estimate.priority_fee_estimate
        if not 0 <= price <= PRIORITY_PRICE_MAX:
            raise Garbled(f"{self.name} gave a priority fee that cannot be")
        return int(price.to_integral_value(ROUND_CEILING))

    async def airdrop(self, address: Address, lamports: Lamports) -> Signature:
        """Ask for test funds; only test clusters and the sandbox have any."""
        named = await self._ask("requestAirdrop", [address, lamports], wire.Text)
        return Signature(named)

    def _complete(self, method: str, answers: Sequence[object], asked: int) -> None:
        if len(answers) != asked:
            raise Garbled(f"{self.name} gave {len(answers)} of {asked} answers to {method}")

    # Any: mypy has no word for "a type form such as `int | None`".
    async def _ask(self, method: str, params: list[Any], shape: Any) -> Any:  # noqa: ANN401
        request = JsonRpcRequest(id=next(self._ids), method=method, params=params)
        content = await self._post(method, request.to_json().encode())
        try:
            envelope = wire.decode(content, wire.Envelope)
        except wire.Misshapen:
            raise Garbled(f"{self.name} did not answer {method} in JSON-RPC") from None
        if isinstance(envelope.error, wire.Trouble):
            raise self._refusal(method, envelope.error)
        if envelope.id != request.id or envelope.result is UNSET:
            raise Garbled(f"{self.name} answered another question than {method}")
        try:
            return wire.decode(bytes(envelope.result), shape)
        except wire.Misshapen as error:
            raise Garbled(f"{self.name} answered {method} in another shape: {error}") from None

    def _refusal(self, method: str, trouble: wire.Trouble) -> RpcRefused | RateLimited:
        if trouble.code == RATE_LIMITED_CODE:
            return RateLimited(f"{self.name} wants fewer questions than {method}")
        detail = (
            "" if trouble.data is UNSET else bytes(trouble.data)[:2_000].decode("utf-8", "replace")
        )
        return RpcRefused(self.name, trouble.code, trouble.message, detail)

    async def _post(self, method: str, content: bytes) -> bytes:
        try:
            # The whole answer has one limit: a client's own timeouts begin anew with each byte.
            async with (
                asyncio.timeout(self._settings.answer_ms_max / 1_000),
                self._http.stream(
                    "POST",
                    self._url,
                    content=content,
                    headers={"content-type": "application/json"},
                ) as response,
            ):
                return await self._body(method, response)
        except TimeoutError:
            raise Unreachable(f"{self.name} did not answer {method} in time") from None
        except httpx.HTTPError as error:
            # Not chained: the request inside it holds the endpoint's key.
            kind = type(error).__name__
            raise Unreachable(f"{self.name} could not be asked for {method}: {kind}") from None

    async def _body(self, method: str, response: httpx.Response) -> bytes:
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            wish = response.headers.get("retry-after", "")
            seconds = int(wish) if wish.isascii() and wish.isdigit() and len(wish) < 5 else None
            raise RateLimited(
                f"{self.name} wants fewer questions than {method}",
                None if seconds is None else seconds * 1_000,
            )
        if response.status_code != httpx.codes.OK:
            raise Unreachable(f"{self.name} answered {method} with HTTP {response.status_code}")
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > self._settings.answer_bytes_max:
                raise Garbled(f"{self.name} answered {method} with too many bytes")
        return bytes(body)


@cache
def _trusted() -> ssl.SSLContext:
    # Reading all certificates takes 20 ms, and every client would do it.
    return httpx.create_ssl_context()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
