"""webhooks: tells an address of what landed, as Helius does.

In        what landed and is confirmed; where to tell it, with which header, in which form.
Out       one POST for what is new at a time: an array of transactions, enhanced or raw.
Promises  told when confirmed, in order, and again three times when it is not answered with 200,
          then never; a failed transaction is told in the raw form only.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import msgspec
import structlog
from solders.pubkey import Pubkey

from sandbox.solana.chain import Chain
from sandbox.solana.history import Landed
from sandbox.solana.json_forms import transaction_json
from sandbox.solana.parsed import parsed_instruction
from sandbox.solana.refusals import Json

KINDS = ("enhanced", "raw")
RETRIES = 3
ANSWER_WITHIN_S = 10

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wish:
    """Where and how somebody wants to be told; no addresses means of all."""

    url: str
    authorization: str
    kind: str
    addresses: frozenset[Pubkey]
    retry_ms: int


class Webhooks:
    """Tell one address of what landed."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._wish: Wish | None = None
        self._told_upto = 0
        self._wanted = asyncio.Event()
        self._rung = asyncio.Event()

    def set(
        self,
        url: str,
        authorization: str,
        kind: str = "enhanced",
        addresses: Sequence[str] = (),
        retry_ms: int = 60_000,
    ) -> None:
        """Tell this address from now on."""
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}")
        places = frozenset(Pubkey.from_string(each) for each in addresses)
        self._wish = Wish(url, authorization, kind, places, retry_ms)
        self._told_upto = self._chain.history.count_upto(self._chain.heads().confirmed)
        self._wanted.set()

    def clear(self) -> None:
        """Tell nobody any more."""
        self._wish = None
        self._wanted.clear()

    def ring(self) -> None:
        """Note that the chain may have changed."""
        self._rung.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        async with (
            httpx.AsyncClient(timeout=ANSWER_WITHIN_S, trust_env=False) as client,
            asyncio.TaskGroup() as tasks,
        ):
            while True:
                await self._wanted.wait()
                self._rung.clear()
                wish, news = self._wish, self._news()
                if wish is not None and news:
                    body = msgspec.json.encode([_written(wish, self._chain, each) for each in news])
                    tasks.create_task(self._deliver(client, wish, body))
                try:
                    # Blocks are confirmed as time passes, with nobody ringing.
                    async with asyncio.timeout(max(0.01, self._chain.until_next_slot_ms() / 1_000)):
                        await self._rung.wait()
                except TimeoutError:
                    continue

    def _news(self) -> list[Landed]:
        wish = self._wish
        confirmed = self._chain.history.count_upto(self._chain.heads().confirmed)
        first, self._told_upto = min(self._told_upto, confirmed), confirmed
        if wish is None:
            return []
        return [
            landed
            for landed in self._chain.history.between(first, confirmed)
            if (not wish.addresses or not wish.addresses.isdisjoint(landed.keys.all))
            and (wish.kind == "raw" or landed.outcome.error is None)
        ]

    async def _deliver(self, client: httpx.AsyncClient, wish: Wish, body: bytes) -> None:
        headers = {"Authorization": wish.authorization, "Content-Type": "application/json"}
        for _ in range(1 + RETRIES):
            try:
                answer = await client.post(wish.url, content=body, headers=headers)
            except httpx.HTTPError as error:
                why = type(error).__name__
            else:
                if answer.status_code == 200:
                    return
                why = str(answer.status_code)
            log.info("webhook_not_taken", why=why)
            await asyncio.sleep(wish.retry_ms / 1_000)


def _written(wish: Wish, chain: Chain, landed: Landed) -> dict[str, Json]:
    at = chain.time_of_s(landed.slot)
    if wish.kind == "raw":
        return {
            "blockTime": at,
            "indexWithinBlock": landed.index,
            "slot": landed.slot,
            **transaction_json(landed, "json", 1),
        }
    keys = landed.keys.all
    instructions = landed.transaction().message.instructions
    return {
        "accountData": [
            {
                "account": str(key),
                "nativeBalanceChange": after - before,
                "tokenBalanceChanges": [],
            }
            for key, before, after in zip(keys, landed.before, landed.after, strict=True)
        ],
        "description": "",
        "events": {},
        "fee": landed.outcome.fee,
        "feePayer": str(keys[0]),
        "nativeTransfers": [
            moved
            for each in instructions
            if (moved := _transfer(parsed_instruction(each, keys))) is not None
        ],
        "signature": landed.signature,
        "slot": landed.slot,
        "source": "SYSTEM_PROGRAM",
        "timestamp": at,
        "tokenTransfers": [],
        "transactionError": None,
        "type": "TRANSFER",
    }


def _transfer(instruction: Json) -> Json:
    """Write a System transfer as the enhanced form has it; nothing for another instruction."""
    if not isinstance(instruction, dict) or instruction.get("program") != "system":
        return None
    parsed = instruction.get("parsed")
    if not isinstance(parsed, dict) or parsed.get("type") != "transfer":
        return None
    told = parsed["info"]
    assert isinstance(told, dict), "a transfer says between whom"
    return {
        "amount": told["lamports"],
        "fromUserAccount": told["source"],
        "toUserAccount": told["destination"],
    }
