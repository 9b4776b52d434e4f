"""wire: speak to a sandbox chain as any client would, and make transactions for it.

In        an address, a method, parameters; keys and amounts.
Out       results, or the error a node answered with; signed bytes.
"""

import base64
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, TransactionConfig
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from websockets.asyncio.client import ClientConnection

MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
SOL = 1_000_000_000
RENT_MINIMUM = 650_240


class NodeError(Exception):
    """A JSON-RPC error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.data: Any = error.get("data")


class Wire:
    """A JSON-RPC client that hides nothing."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self._http = http
        self._numbers = itertools.count()

    async def post(self, body: object) -> httpx.Response:
        """Send any body."""
        return await self._http.post(self.url, content=json.dumps(body))

    async def raw(self, method: str, *given: object) -> httpx.Response:
        """Call a method and return the HTTP answer."""
        return await self.post(
            {"jsonrpc": "2.0", "id": next(self._numbers), "method": method, "params": list(given)}
        )

    async def call(self, method: str, *given: object) -> Any:  # noqa: ANN401 - whatever JSON it is
        """Call a method and return its result, or raise the error."""
        answer = (await self.raw(method, *given)).json()
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer["result"]

    async def blockhash(self, commitment: str = "processed") -> Hash:
        """Return the latest blockhash."""
        told = await self.call("getLatestBlockhash", {"commitment": commitment})
        return Hash.from_string(told["value"]["blockhash"])

    async def send(self, transaction: VersionedTransaction | bytes, **options: object) -> str:
        """Send a transaction with preflight at processed."""
        text = base64.b64encode(bytes(transaction)).decode()
        asked = {"encoding": "base64", "preflightCommitment": "processed", **options}
        signature: str = await self.call("sendTransaction", text, asked)
        return signature

    async def balance(self, address: Pubkey, commitment: str = "processed") -> int:
        """Return a balance."""
        told = await self.call("getBalance", str(address), {"commitment": commitment})
        lamports: int = told["value"]
        return lamports

    async def status(self, signature: str, *, search: bool = False) -> Any:  # noqa: ANN401 - JSON
        """Return a signature's status."""
        told = await self.call(
            "getSignatureStatuses", [signature], {"searchTransactionHistory": search}
        )
        return told["value"][0]


def pay(source: Keypair, destination: Pubkey, lamports: int) -> Instruction:
    """Make a transfer."""
    return transfer(
        TransferParams(from_pubkey=source.pubkey(), to_pubkey=destination, lamports=lamports)
    )


def memo(text: str, signer: Keypair) -> Instruction:
    """Make a signed memo."""
    return Instruction(MEMO, text.encode(), [AccountMeta(signer.pubkey(), True, False)])


def legacy(
    instructions: Sequence[Instruction], blockhash: Hash, *signers: Keypair
) -> VersionedTransaction:
    """Sign a legacy transaction."""
    message = Message.new_with_blockhash(instructions, signers[0].pubkey(), blockhash)
    return VersionedTransaction(message, signers)


def version_0(
    instructions: Sequence[Instruction], blockhash: Hash, *signers: Keypair
) -> VersionedTransaction:
    """Sign a version 0 transaction."""
    message = MessageV0.try_compile(signers[0].pubkey(), instructions, [], blockhash)
    return VersionedTransaction(message, signers)


def version_1(
    instructions: Sequence[Instruction],
    blockhash: Hash,
    *signers: Keypair,
    priority: int | None = None,
    units: int | None = 200_000,
    loaded: int | None = 200_000,
) -> VersionedTransaction:
    """Sign a version 1 transaction."""
    config = TransactionConfig(priority, units, loaded)
    message = MessageV1.try_compile(signers[0].pubkey(), instructions, blockhash, config)
    return VersionedTransaction(message, signers)


async def subscribe(socket: ClientConnection, method: str, *given: object) -> int:
    """Subscribe and return the number."""
    await socket.send(
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(given)})
    )
    answer = json.loads(await socket.recv())
    number: int = answer["result"]
    return number


async def told(socket: ClientConnection) -> AsyncIterator[Any]:
    """Yield the results of notifications as they come."""
    async for text in socket:
        yield json.loads(text)["params"]["result"]
